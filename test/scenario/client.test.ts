import { expect, it, onTestFinished } from 'vitest'
import { chain, currentJob, group } from 'celeriac'
import { createClient } from 'celeriac/client'
import { Proxy } from '../fixtures/proxy.ts'
import { served } from '../fixtures/serving.ts'

interface Told {
  readonly type: string
  readonly state?: string
  readonly attempt?: number
  readonly jobId?: string
  readonly job_id?: string
}

/** Resolves when the first event has been read; `over` when the last has. */
async function listen(iterable: AsyncIterable<Told>): Promise<{ readonly over: Promise<string[]> }> {
  const events = iterable[Symbol.asyncIterator]()
  await events.next()
  const rest = async (): Promise<string[]> => {
    const told: string[] = []
    for (let next = await events.next(); !next.done; next = await events.next()) {
      const { type, jobId, job_id = jobId, state, attempt } = next.value
      if (type !== 'progress') told.push(`${type} ${job_id} ${state} ${attempt}`)
    }
    return told
  }
  return { over: rest() }
}

/** What happens in the same order for everybody: that of one job's changes. */
const ofEachJob = (told: readonly string[]): unknown => Object.groupBy(told, (one) => one.split(' ')[1] ?? '')

it.each(['WebSocket', 'server-sent events'])(
  '200 listeners to 100 collections are told every change once, in order, while connections are cut: by %s',
  async (way) => {
    const { app, url, stage, work } = await served({ auth: 'none' })
    const retry = { limit: 1, backoff: { base: 1 } }
    const step = app.task('step', { retry }, async (_before: unknown, gate: string) => {
      await stage.wait(gate, currentJob().signal)
      if (currentJob().attempt === 1) throw new Error('once')
      return gate
    })
    const gates = ['one', 'two', 'three', 'four']
    const links = gates.map((gate) => group(step.s(gate), step.s(gate)))
    const canvas = chain(step.s(null, 'begin'), ...(links as never[]))
    const collections = await app.submitMany(Array.from({ length: 100 }, () => canvas))

    const proxy = await Proxy.before(url)
    onTestFinished(() => proxy.close())
    const Socket = globalThis.WebSocket
    if (way !== 'WebSocket') globalThis.WebSocket = undefined as never
    onTestFinished(() => void (globalThis.WebSocket = Socket))
    const clients = [1, 2].map(() => createClient({ url: proxy.url(url) }))
    const truths = await Promise.all(collections.map((collection) => listen(collection.events())))
    const listeners = await Promise.all(
      collections.flatMap(({ id }) => clients.map((client) => listen(client.collection(id).follow()))),
    )
    await work()
    for (const [n, gate] of ['begin', ...gates].entries()) {
      // In the middle of what the gate before let go.
      const { bytes } = proxy.counts['to client']
      stage.open(gate)
      await proxy.until((counts) => counts['to client'].bytes > bytes + 10_000)
      if (n % 2 === 0) proxy.reset()
      else proxy.cut()
    }
    for (const [n, truth] of truths.entries()) {
      const expected = await truth.over
      for (const { over } of listeners.slice(2 * n, 2 * n + 2)) {
        const told = await over
        expect(ofEachJob(told)).toEqual(ofEachJob(expected))
        expect(told.at(-1)).toMatch(/^settled/)
      }
    }
  },
)
