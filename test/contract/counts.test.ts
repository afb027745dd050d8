import { expect, test } from 'vitest'
import { type CollectionRecord, collectionStates } from '../../src/core/collection.ts'
import { jobStates } from '../../src/core/job.ts'
import type { Engine } from '../../src/engine/engine.ts'
import type { StateCounts } from '../../src/engine/inspect.ts'
import { alone, chainOf, graphOf, groupOf, sideJob, submission } from '../fixtures/graphs.ts'
import { continued, failed, hand, retried, succeeded, sweepAll } from '../fixtures/hand.ts'
import { copyBetween, onEveryPair } from '../fixtures/pairs.ts'
import { onEveryEngine, type Store } from '../fixtures/store.ts'

const ann = { id: 'ann "the first"\n☃' }
const bob = { id: 'bob' }

/** What counts must be, from all that the lists tell. */
async function counted(engine: Engine, actor?: string): Promise<StateCounts> {
  const all: CollectionRecord[] = []
  for (let cursor: string | null | undefined; cursor !== null;) {
    const page = await engine.collections({ limit: 100, ...(actor && { actor }), ...(cursor && { cursor }) })
    all.push(...page.items)
    cursor = page.next
  }
  const sum = (count: (record: CollectionRecord) => number): number =>
    all.reduce((total, record) => total + count(record), 0)
  return {
    jobs: Object.fromEntries(jobStates.map((name) => [name, sum(({ counts }) => counts[name])])),
    collections: Object.fromEntries(collectionStates.map((name) => [name, sum(({ state }) => Number(state === name))])),
  } as unknown as StateCounts
}

async function expectSums(engine: Engine): Promise<StateCounts> {
  for (const { id } of [ann, bob, { id: 'nobody' }])
    expect(await engine.counts({ actor: id })).toEqual(await counted(engine, id))
  const all = await engine.counts({})
  expect(all).toEqual(await counted(engine))
  return all
}

/** Collections and jobs alone in every state, of two and of nobody; what is not needed; what is history. */
async function fill({ engine, clock }: Pick<Store, 'engine' | 'clock'>): Promise<void> {
  const branches = graphOf(
    {
      a: { feeds: 0 },
      bad: { behind: 0, feeds: 1 },
      never: { behind: 1, feeds: 2 },
      mourn: sideJob('failure', 1),
      cheer: sideJob('success', 1),
      note: sideJob('always', 2),
    },
    [{}, {}, {}],
  )
  const whole = graphOf({ whole: { feeds: 0 } }, [{}])
  const grows = alone('grows')
  const cancelled = chainOf('c1', 'c2')
  await engine.submit([
    submission(branches, { actor: ann }),
    submission(whole, { actor: bob }),
    submission(grows, { actor: ann, tags: ['t'], description: 'Grows' }),
    submission(cancelled),
    submission(alone('bad'), { actor: bob }),
    submission(alone('again')),
    submission(alone('late', { startIn: 60_000 }), { actor: ann }),
  ])
  await engine.cancel({ collectionId: cancelled.id })
  const worker = await hand(engine)
  const inside = (): ReturnType<typeof groupOf> => groupOf('x', 'y')
  const outcome = (task: string): ReturnType<typeof succeeded> =>
    task === 'bad'
      ? failed()
      : task === 'again'
        ? retried(90_000)
        : task === 'whole' || task === 'grows'
          ? continued(inside())
          : succeeded(task)
  await worker.drain((job) => outcome(job.task))
  await engine.retry({ selection: { collectionId: whole.id }, expectedRound: 1, mode: 'all' })
  await worker.settle(await worker.take('whole'), continued(inside()))
  await worker.succeed(await worker.take('x'))
  clock.pass(1_000)
  await engine.submit([submission(groupOf('p', 'q'), { actor: bob }), submission(alone('z'), { actor: ann })])
  await worker.take()
}

onEveryEngine((open) => {
  test('nothing is counted where there is nothing', async () => {
    const { engine } = await open()
    const { jobs, collections } = await expectSums(engine)
    expect([...Object.values(jobs), ...Object.values(collections)].every((count) => count === 0)).toBe(true)
    expect(Object.keys(jobs)).toEqual([...jobStates])
    expect(Object.keys(collections)).toEqual([...collectionStates])
  })

  test('counts jobs and collections by state, of everybody and of one, as the lists tell them', async () => {
    const store = await open()
    await fill(store)
    const all = await expectSums(store.engine)
    expect(all.jobs).toMatchObject({ scheduled: 2, running: 1, cancelled: 2, skipped: 1, failed: 2 })
    expect(all.collections).toEqual({ running: 5, succeeded: 1, failed: 2, cancelled: 1 })
    const own = await store.engine.counts({ actor: ann.id })
    expect(own.collections).toEqual({ running: 2, succeeded: 1, failed: 1, cancelled: 0 })
    expect(own.jobs.succeeded).toBe(6)
    // One whose name another one begins with.
    expect(await store.engine.counts({ actor: 'ann' })).toEqual(await store.engine.counts({ actor: '' }))
  })

  test('what is being uploaded or removed does not count', async () => {
    const { engine, clock } = await open()
    const large = groupOf(...Array.from({ length: 3_000 }, (_, at) => `m${at}`))
    await engine.submit([submission(alone('old')), submission(groupOf('o'))])
    const before = await engine.counts({})
    await engine.upload(large, 0, null)
    expect(await expectSums(engine)).toEqual(before)
    for (let part = 1; part * engine.partSize < large.jobs.length; part++) await engine.upload(large, part, null)
    await engine.submit([submission(large, { actor: ann })])
    // What is let go later is let go by now.
    await sweepAll(engine, clock.now())
    expect((await expectSums(engine)).jobs.queued).toBe(3_002)
    await (await hand(engine)).drain()
    expect((await expectSums(engine)).jobs.succeeded).toBe(3_002)
    expect(await engine.remove(large.id)).toBe('removed')
    expect(await engine.counts({ actor: ann.id })).toEqual(await engine.counts({ actor: '' }))
    expect((await engine.counts({})).jobs.succeeded).toBe(2)
  })

  test('nor does a continuation that is being uploaded', async () => {
    const { engine } = await open()
    await engine.submit([submission(alone('grow'), { actor: ann })])
    const { ref, token } = await (await hand(engine)).take()
    const before = await engine.counts({})
    const large = groupOf(...Array.from({ length: engine.partSize + 1 }, (_, at) => `m${at}`))
    await engine.upload(large, 0, { ref, token })
    expect(await engine.counts({})).toEqual(before)
    expect(await engine.counts({ actor: ann.id })).toEqual(before)
  })

  test('counts more than it looks at in one go', async () => {
    const { engine } = await open()
    for (let at = 0; at < 12; at++)
      await engine.submit(Array.from({ length: 1_000 }, () => submission(alone(), { actor: at % 2 ? ann : bob })))
    expect((await engine.counts({})).jobs.queued).toBe(12_000)
    expect((await engine.counts({ actor: ann.id })).collections.running).toBe(6_000)
  })

  test('where much was removed, what came before and after it is counted', async () => {
    const { engine, clock } = await open()
    const kept = alone('kept')
    await engine.submit([submission(kept)])
    for (let at = 0; at < 3; at++)
      await engine.submit(Array.from({ length: 900 }, () => submission(alone('gone'), { retention: 1 })))
    const worker = await hand(engine)
    await worker.drain()
    clock.pass(10_000)
    for (let at = 0; at < 20; at++) {
      await engine.sweep()
      clock.pass(1)
    }
    await engine.submit([submission(alone('new'))])
    const { jobs } = await expectSums(engine)
    expect(jobs).toMatchObject({ queued: 1, succeeded: 1 })
  })
})

onEveryPair((open) => {
  test('a store that was copied counts as the one that it was copied from', async () => {
    const pair = await open()
    await fill({ engine: pair.source, clock: pair.clock })
    const worker = await hand(pair.source)
    await worker.beat({ ended: true })
    pair.clock.pass(100_000)
    await pair.source.sweep()
    await copyBetween(pair)
    const all = await expectSums(pair.target)
    expect(all).toEqual(await counted(pair.source))
  })
})
