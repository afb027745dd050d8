import { expect, onTestFinished, test } from 'vitest'
import { Celeriac, group } from 'celeriac'
import { Worker } from 'celeriac/worker'
import type { Graph, GraphJob } from '../../src/core/graph.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { partsOf } from '../../src/engine/parts.ts'
import type { ClaimedJob } from '../../src/engine/work.ts'
import { alone, groupOf, plainJob, sideJob, submission } from '../fixtures/graphs.ts'
import { failed, failure, hand, type Hand, retried, succeeded, sweepAll } from '../fixtures/hand.ts'
import { type Listener, listenTo } from '../fixtures/silence.ts'
import { describeEngines, onEveryEngine } from '../fixtures/store.ts'

/** The sizes of test/contract/sizes.test.ts and test/scenario/sizes.test.ts that take long to play, on every engine. */
const kibibyte = 1024
const mebibyte = 1024 * kibibyte

/** Side by side, behind them a body that is given their results, and behind that a side branch that is told how all of it went. */
function wide(count: number): Graph {
  const members = Array.from({ length: count }, (): GraphJob => ({ ...plainJob('member'), feeds: 0 }))
  const body: GraphJob = { ...plainJob('body'), behind: 0, feeds: 1, input: { from: 'results', shape: 'list' } }
  const after: GraphJob = {
    ...plainJob('after'),
    ...sideJob('always', 1, { from: 'summary', first: 0, last: count }),
  }
  return {
    ...groupOf(),
    jobs: [...members, body, after],
    barriers: [
      { inputs: count, feeds: null, gate: null },
      { inputs: 1, feeds: null, gate: null },
    ],
    exit: 1,
  }
}

async function submitLarge(engine: Engine, graph: Graph, now: number): Promise<void> {
  for (let part = 0; part < partsOf(graph, engine.partSize).length; part++) await engine.upload(graph, part, null)
  await engine.submit([submission(graph)])
  await sweepAll(engine, now)
}

/** Runs so many of a task. */
async function run(engine: Engine, worker: Hand, count: number, outcome = () => succeeded(1)): Promise<void> {
  for (let left = count; left > 0;) {
    const jobs = await worker.claim(Math.min(left, 500))
    if (jobs.length === 0) throw new Error('Nothing is queued.')
    await engine.settle(jobs.map(({ ref, token }) => ({ ref, token, outcome: outcome() })))
    left -= jobs.length
  }
}

/** Of an engine whose server goes on serving others meanwhile nothing is measured. */
const listen = async <T>(to: Listener | null, during: () => Promise<T>): Promise<{ silence: number; answer: T }> =>
  to === null ? { silence: 0, answer: await during() } : to.longest(during)

async function countResults(engine: Engine, { input }: ClaimedJob): Promise<number> {
  if (input.from !== 'results') throw new Error('Expected results.')
  let count = 0
  for (let after: string | null = null; ;) {
    const page = await engine.results(input.barrier, after)
    count += page.results.length
    if (page.next === null) return count
    after = page.next
  }
}

onEveryEngine((open) => {
  test('30,000 attempts of one job', async () => {
    const { engine, clock } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    for (let attempt = 1; attempt < 30_000; attempt++) {
      const job = await worker.take()
      await worker.settle(job, retried(1))
      clock.pass(1)
      if (attempt % 5_000 === 0) await worker.beat()
    }
    const last = await worker.take()
    expect(last.attempt).toBe(30_000)
    await worker.succeed(last)
    const detail = await engine.job(graph.id)
    expect(detail).toMatchObject({ state: 'succeeded', attempt: 30_000 })
    expect(detail?.attempts.map(({ attempt }) => attempt)).toEqual([
      ...Array.from({ length: 10 }, (_, n) => n + 1),
      // The one it ended with is among them.
      ...Array.from({ length: 90 }, (_, n) => n + 29_911),
    ])
  })

  test('a collection of 100,000 jobs: its snapshot, results, summary and removal', async () => {
    const { engine, clock } = await open()
    const graph = wide(100_000 - 2)
    await submitLarge(engine, graph, clock.now())
    const worker = await hand(engine)
    const listener = engine.url?.startsWith('redis') ? await listenTo(engine.url) : null
    onTestFinished(async () => listener?.stop())
    // Claims and settlements of 500 jobs: for those nobody minds waiting.
    const usual = await listen(listener, () => run(engine, worker, 10_000))
    const isHeard = async <T>(during: () => Promise<T>): Promise<T> => {
      const { silence, answer } = await listen(listener, during)
      expect(silence).toBeLessThanOrEqual(12 * usual.silence)
      return answer
    }
    await run(engine, worker, 100_000 - 2 - 10_000)
    const [body] = await isHeard(() => worker.claim(1))
    expect(body?.task).toBe('body')
    expect(await isHeard(() => countResults(engine, body!))).toBe(100_000 - 2)
    await isHeard(() => worker.succeed(body!))
    const [after] = await isHeard(() => worker.claim(1))
    expect(after?.input).toMatchObject({ from: 'summary', counts: { succeeded: 99_999 } })
    const detail = await isHeard(() => engine.collection(graph.id))
    expect(detail?.jobs.map(({ id }) => id)).toEqual(graph.jobs.map(({ id }) => id))
    expect(detail?.counts).toMatchObject({ succeeded: 99_999, running: 1 })
    expect((await isHeard(() => engine.collections({ limit: 50 }))).items).toHaveLength(1)
    await worker.succeed(after!)
    expect(await isHeard(() => engine.remove(graph.id))).toBe('removed')
    await isHeard(() => sweepAll(engine, clock.now()))
    expect((await engine.jobs({ limit: 1 })).items).toEqual([])
  })

  test('40,000 failures with messages of 2 KB: a snapshot of some megabytes, and a retry of all', async () => {
    const { engine, clock } = await open()
    const graph: Graph = {
      ...groupOf(),
      jobs: Array.from({ length: 40_000 }, (): GraphJob => ({ ...plainJob('member'), feeds: 0 })),
      barriers: [{ inputs: 40_000, feeds: null, gate: null }],
      exit: 0,
    }
    await submitLarge(engine, graph, clock.now())
    const worker = await hand(engine)
    const thrown = failure('m'.repeat(2_048))
    await run(engine, worker, 40_000, () => ({ type: 'failed', reason: 'failed', failure: thrown }))
    await sweepAll(engine, clock.now())
    const detail = await engine.collection(graph.id)
    expect(detail).toMatchObject({ state: 'failed', counts: { failed: 40_000 } })
    expect(detail?.jobs).toHaveLength(40_000)
    expect(JSON.stringify(detail).length).toBeLessThan(40 * mebibyte)
    const failures = detail!.jobs.reduce((sum, job) => sum + (job.failure?.message.length ?? 0), 0)
    expect(failures).toBeLessThan(13 * mebibyte)
    const retry = { selection: { collectionId: graph.id }, expectedRound: 1, mode: 'failed' } as const
    expect(await engine.retry(retry)).toBe('retried')
    await sweepAll(engine, clock.now())
    await run(engine, worker, 40_000)
    await sweepAll(engine, clock.now())
    expect(await engine.collection(graph.id, { jobs: false })).toMatchObject({ state: 'succeeded', round: 2 })
  })

  test('10,000 queues with ten jobs each, half of them paused', async () => {
    const { engine } = await open()
    const names = Array.from({ length: 10_000 }, (_, n) => `customer-${n}`)
    for (let round = 0; round < 10; round++)
      for (let from = 0; from < names.length; from += 1_000)
        await engine.submit(names.slice(from, from + 1_000).map((queue) => submission(alone('task', { queue }))))
    const paused = names.filter((_, n) => n % 2 === 0)
    await engine.putQueues(paused.map((name) => ({ name, paused: true })))
    const worker = await hand(engine)
    const took = new Map<string, number>()
    for (let jobs = await worker.claim(500); jobs.length > 0; jobs = await worker.claim(500)) {
      for (const { queue } of jobs) took.set(queue, (took.get(queue) ?? 0) + 1)
      await engine.settle(jobs.map(({ ref, token }) => ({ ref, token, outcome: failed() })))
    }
    expect([...took.keys()].sort()).toEqual(names.filter((_, n) => n % 2 === 1).sort())
    expect(new Set(took.values())).toEqual(new Set([10]))
    const listed = (await engine.queues()).filter(({ counts }) => counts.queued === 10)
    expect(listed.map(({ name }) => name).sort()).toEqual([...paused].sort())
  })

  test('25,000 values of one kind', async () => {
    const { engine } = await open()
    const ids = Array.from({ length: 25_000 }, (_, n) => String(n).padStart(5, '0'))
    for (const id of ids) await engine.putValue({ kind: 'key', id, text: `text of ${id}`, lifetime: null }, 'replace')
    const found: string[] = []
    for (let after: string | null = null; ;) {
      const page: readonly { readonly id: string }[] = await engine.values('key', after)
      expect(page.length).toBeLessThanOrEqual(1_000)
      if (page.length === 0) break
      found.push(...page.map(({ id }) => id))
      after = page.at(-1)!.id
    }
    expect(found).toEqual(ids)
  })
})

describeEngines(({ place }) => {
  test('a group of 900 calls of 250 KiB each is stored whole and run', async () => {
    const { url, remove } = await place()
    onTestFinished(remove)
    const app = new Celeriac({ url, sendTimeout: 60_000 })
    onTestFinished(() => app.close())
    const notices: string[] = []
    const worker = new Worker(app, { concurrency: 50, log: ({ message }) => void notices.push(message) })
    onTestFinished(() => worker.stop())
    const argument = 'x'.repeat(250 * kibibyte)
    const keep = app.task('keep', (text: string) => text.length)
    const sent = await app.submit(group(...Array.from({ length: 900 }, () => keep.s(argument))))
    await worker.start()
    expect(await sent.result()).toEqual(Array<number>(900).fill(argument.length))
    expect(notices).toEqual([])
  })
})
