// What is measured of Celeriac alike on every server: an app and its worker in one process, as a user writes them.
import { setTimeout as wait } from 'node:timers/promises'
import { chain, chord } from 'celeriac'
import { Worker } from 'celeriac/worker'
import type { Figures } from '../case.ts'
import { quantiles } from '../statistics.ts'
import { timed } from '../timed.ts'
import { argumentPairs, drain, fill, withBench, type Awaitable, type Bench } from './celeriac.ts'
import { latencyHere } from './latency.ts'
import { costed } from './processor-time.ts'

export function drained(url: string, count: number): Promise<Figures> {
  return withBench(url, async (bench) => {
    const handles = await fill(bench.add, count)
    return costed(url, count, () => drain(bench, count, handles))
  })
}

export function added(url: string, count: number): Promise<Figures> {
  return withBench(url, async ({ app, add }) => {
    await app.queues.list()
    return costed(url, count, async () => {
      const startedAt = performance.now()
      await fill(add, count)
      return performance.now() - startedAt
    })
  })
}

/** A thousand calls that are not awaited one by one. */
export function addedAtOnce(url: string, count: number): Promise<Figures> {
  return withBench(url, async ({ app, add }) => {
    await app.queues.list()
    const pairs = argumentPairs(1000)
    return timed(count, async () => {
      for (let sent = 0; sent < count; sent += pairs.length) await Promise.all(pairs.map(([x, y]) => add.delay(x, y)))
    })
  })
}

/** Calls that are each awaited before the next, in milliseconds. */
export function requestsInTurn(url: string, count: number): Promise<Figures> {
  return withBench(url, async ({ app, add }) => {
    await app.queues.list()
    const times: number[] = []
    for (let index = 0; index < count; index++) {
      const startedAt = performance.now()
      await add.delay(index, 1)
      times.push(performance.now() - startedAt)
    }
    return quantiles(times)
  })
}

/** From the call to the first line of the handler in the same process. */
export function celeriacLatency(url: string, count: number): Promise<Figures> {
  return withBench(url, async ({ app }) => {
    let began = (): void => {}
    const mark = app.task('bench.mark', () => began())
    const worker = new Worker(app)
    await worker.start()
    const figures = await latencyHere(count, (begins) => {
      began = begins
      return mark.delay()
    })
    await worker.stop()
    return figures
  })
}

/** After the start of a worker its heartbeat thread is loading, in milliseconds. */
const rest = 1_000
const linksPerChain = 20

/** Many chains that are under way together: links a second. */
export function chained(url: string, links: number): Promise<Figures> {
  return withBench(url, async (bench) => {
    const chains = Array.from({ length: links / linksPerChain }, () => chainOf(bench, linksPerChain))
    const handles: Awaitable[] = []
    for (let sent = 0; sent < chains.length; sent += 50) {
      handles.push(...(await bench.app.submitMany(chains.slice(sent, sent + 50))))
    }
    return costed(url, links, () => drain(bench, links, handles))
  })
}

/** Nothing to do side by side: each link is claimed, run and settled alone. */
export function oneChain(url: string, links: number): Promise<Figures> {
  return withBench(url, async (bench) => {
    const handle = await bench.app.submit(chainOf(bench, links))
    const worker = new Worker(bench.app)
    const figures = await timed(links, async () => {
      await worker.start()
      await handle.result()
    })
    await worker.stop()
    return figures
  })
}

function chainOf({ add }: Bench, length: number) {
  return chain(add.s(0, 1), ...Array.from({ length: length - 1 }, () => add.s(1)))
}

/** From `submit` to the result of the body in hand, in seconds. */
export function chordOf(url: string, members: number): Promise<Figures> {
  return withBench(url, async ({ app, add }) => {
    const sum = app.task('bench.sum', (values: number[]) => values.reduce((total, value) => total + value, 0))
    const worker = new Worker(app)
    await worker.start()
    // What is loaded, connected and compiled with the first jobs is not of the chord.
    await (await app.submit(chord([add.s(1, 1), add.s(1, 1)], sum.s()))).result()
    await wait(rest)
    const startedAt = performance.now()
    const header = Array.from({ length: members }, (_, index) => add.s(index, 1))
    const handle = await app.submit(chord(header, sum.s()))
    const total = await handle.result()
    const seconds = (performance.now() - startedAt) / 1000
    await worker.stop()
    if (total !== (members * (members + 1)) / 2) throw new Error(`the chord gave ${total}`)
    return { seconds }
  })
}
