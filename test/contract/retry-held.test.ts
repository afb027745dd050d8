import { expect, test } from 'vitest'
import type { Graph } from '../../src/core/graph.ts'
import type { StoredOptions } from '../../src/core/job.ts'
import type { RetryRequest } from '../../src/engine/control.ts'
import type { Store } from '../fixtures/store.ts'
import { alone, graphOf, jobId, submission } from '../fixtures/graphs.ts'
import { goOn, hand, jobsOf, statesOf, sweepAll } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const minute = 60_000
const hour = 60 * minute

const link = (options: StoredOptions): Graph =>
  graphOf({ before: { feeds: 0 }, held: { behind: 0, feeds: 1, options } }, [{}, {}])
const graphs: readonly [string, (options: StoredOptions) => Graph][] = [
  ['a job alone', (options) => alone('held', options)],
  ['an entry of a collection', (options) => graphOf({ held: { feeds: 0, options } }, [{}])],
  ['a link', link],
]
const ways: readonly [string, (now: number, wait?: number) => StoredOptions][] = [
  ['startIn', (_, wait = 2 * hour) => ({ startIn: wait })],
  ['startAt', (now, wait = 2 * hour) => ({ startAt: now + wait })],
]
/** Short enough for those who live to say so meanwhile. */
const soon = 6_000

async function again(
  { engine }: Store,
  selection: RetryRequest['selection'],
  request: Partial<RetryRequest> = {},
): Promise<void> {
  const id = 'jobId' in selection ? selection.jobId : selection.collectionId
  const collectionId = (await engine.job(id))?.collectionId ?? id
  const { round } = (await engine.collection(collectionId))!
  expect(await engine.retry({ selection, expectedRound: round, mode: 'failed', ...request })).toBe('retried')
}

onEveryEngine((open) => {
  /** A job with these options that waits for no other. */
  async function begin(make: (options: StoredOptions) => Graph, optionsAt: (now: number) => StoredOptions) {
    const store = await open()
    const graph = make(optionsAt(store.clock.now()))
    await store.engine.submit([submission(graph)])
    const worker = await hand(store.engine)
    if (graph.jobs.length > 1) await worker.succeed(await worker.take('before'))
    return { ...store, store, graph, worker }
  }
  /** A link whose time has come. */
  async function beginDue(optionsAt: (now: number, wait: number) => StoredOptions) {
    const begun = await begin(link, (now) => optionsAt(now, soon))
    await goOn(begun.store, soon, begun.worker)
    await begun.engine.sweep()
    expect(await statesOf(begun.engine, begun.graph)).toMatchObject({ held: 'queued' })
    return begun
  }

  const cases = graphs.flatMap(([what, make]) => ways.map(([way, optionsAt]) => [what, way, make, optionsAt] as const))

  test.each(cases)(
    '%s that was cancelled an hour before its %s is held for that hour',
    async (_, way, make, optionsAt) => {
      const { store, engine, clock, graph, worker } = await begin(make, optionsAt)
      const due = clock.now() + 2 * hour
      clock.pass(hour)
      for (const id of [{ collectionId: graph.id }, { jobId: jobId(graph, 'held') }]) {
        await engine.cancel(id)
        await sweepAll(engine, clock.now())
        expect((await jobsOf(engine, graph))['held']).toMatchObject({ state: 'cancelled', dueAt: null })
        await again(store, id)
        expect((await jobsOf(engine, graph))['held']).toMatchObject({ state: 'scheduled', dueAt: due })
      }
      clock.pass(hour - 1)
      expect(await worker.claim(10)).toEqual([])
      clock.pass(1)
      await worker.take('held')
      expect(way).toMatch(/^start/)
    },
  )

  test.each(cases)('%s with %s is not held where it is to start now', async (_, __, make, optionsAt) => {
    const { store, engine, clock, graph, worker } = await begin(make, optionsAt)
    for (const selection of [{ collectionId: graph.id }, { jobId: jobId(graph, 'held') }]) {
      await engine.cancel(selection)
      await sweepAll(engine, clock.now())
      await again(store, selection, { now: true })
      expect(await statesOf(engine, graph)).toMatchObject({ held: 'queued' })
    }
    await worker.take('held')
  })

  test.each(ways)('a job whose %s had come when it was cancelled is not held again', async (_, optionsAt) => {
    const { store, engine, graph, worker } = await beginDue(optionsAt)
    await engine.cancel({ collectionId: graph.id })
    await again(store, { collectionId: graph.id })
    await worker.take('held')
  })

  test.each(ways)('a job with %s that has begun before is not held again', async (_, optionsAt) => {
    const { store, graph, worker } = await beginDue(optionsAt)
    await worker.fail(await worker.take('held'))
    await again(store, { collectionId: graph.id })
    await worker.take('held')
  })

  test('a link that was skipped counts its startIn from when it is let go', async () => {
    const store = await open()
    const { engine, clock } = store
    const graph = link({ startIn: hour })
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.fail(await worker.take('before'))
    expect(await statesOf(engine, graph)).toMatchObject({ held: 'skipped' })
    await again(store, { collectionId: graph.id })
    await worker.succeed(await worker.take('before'))
    expect((await jobsOf(engine, graph))['held']).toMatchObject({ state: 'scheduled', dueAt: clock.now() + hour })
  })

  test('what was cancelled while it paused for a further try runs at once', async () => {
    const store = await open()
    const { engine } = store
    const graph = alone('a', { startIn: 0 })
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take(), { type: 'snoozed', delay: hour })
    await engine.cancel({ jobId: graph.id })
    await again(store, { jobId: graph.id })
    await worker.take('a')
  })
})
