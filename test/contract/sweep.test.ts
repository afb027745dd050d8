import { expect, test } from 'vitest'
import type { RetryPolicy } from '../../src/core/job.ts'
import { alone, chainOf, chordOf, graphOf, sideJob, submission } from '../fixtures/graphs.ts'
import { collectionState, continued, freshToken, goOn, hand, lease, statesOf, sweepAll } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const day = 86_400_000

onEveryEngine((open) => {
  test('makes due jobs queued and says how many and when to come again', async () => {
    const { engine, clock } = await open()
    const graphs = [alone('a', { startIn: 1_000 }), alone('b', { startIn: 1_000 }), alone('c', { startIn: 9_000 })]
    await engine.submit(graphs.map((graph) => submission(graph)))
    await sweepAll(engine, clock.now())
    const early = await engine.sweep()
    expect(early.released).toBe(0)
    expect(early.nextAt).toBeLessThanOrEqual(clock.now() + 1_000)
    clock.pass(1_000)
    expect(await sweepAll(engine, clock.now())).toBe(2)
    expect(await Promise.all(graphs.map(async (graph) => (await engine.job(graph.id))?.state))).toEqual([
      'queued',
      'queued',
      'scheduled',
    ])
    expect(await sweepAll(engine, clock.now())).toBe(0)
  })

  test('sweeping at the same instant from two connections does everything once', async () => {
    const { engine, clock, second } = await open()
    await engine.submit(Array.from({ length: 10 }, () => submission(alone('a', { startIn: 100 }))))
    clock.pass(100)
    const other = second()
    const [one, two] = await Promise.all([sweepAll(engine, clock.now()), sweepAll(other, clock.now())])
    expect(one + two).toBe(10)
  })

  test('after a gap longer than a lease it expires nothing for one lease', async () => {
    const { engine, clock } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take()
    await engine.sweep()
    // Everything slept: the store was away, or the machine was.
    clock.pass(10 * lease)
    await engine.sweep()
    expect(await statesOf(engine, graph)).toEqual({ task: 'running' })
    expect((await worker.beat()).lost).toEqual([])
    await goOn({ engine, clock }, lease, worker)
    expect(await worker.succeed(job)).toBe('accepted')
  })

  test('after a gap it does expire those who stay silent for one more lease', async () => {
    const { engine, clock } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    await (await hand(engine)).take()
    await engine.sweep()
    clock.pass(10 * lease)
    await engine.sweep()
    await goOn({ engine, clock }, lease + 3_000)
    expect(await statesOf(engine, graph)).toEqual({ task: 'queued' })
  })

  const policy = (limit: number): RetryPolicy => ({ limit, base: 1_000, factor: 2, max: 60_000, jitter: false })

  test('an attempt past its deadline fails as a time-out when its worker does not say so', async () => {
    const { engine, clock } = await open()
    const graph = graphOf(
      { a: { feeds: 0, options: { timeout: 2_000 } }, mourn: sideJob('failure', 0, { from: 'failure' }) },
      [{}],
    )
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take('a')
    await goOn({ engine, clock }, 60_000, worker)
    expect((await engine.collection(graph.id))?.jobs[0]).toMatchObject({
      state: 'failed',
      reason: 'timeout',
      attempt: 1,
    })
    expect(await worker.succeed(job)).toBe('superseded')
    expect((await worker.take('mourn')).input).toMatchObject({ from: 'failure', report: { reason: 'timeout' } })
  })

  test('an attempt past its deadline is tried again a tenth of a second later at the soonest', async () => {
    const { engine, clock } = await open()
    const retry = { ...policy(1), base: 0 }
    const graph = alone('a', { timeout: 2_000, retry })
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.take('a')
    const state = async () => (await engine.job(graph.id))?.state
    while ((await state()) === 'running') await goOn({ engine, clock }, 50, worker)
    expect(await state()).toBe('scheduled')
    clock.pass(49)
    await sweepAll(engine, clock.now())
    expect(await state()).toBe('scheduled')
    clock.pass(100)
    await sweepAll(engine, clock.now())
    expect(await state()).toBe('queued')
  })

  test('an attempt within its deadline is left alone', async () => {
    const { engine, clock } = await open()
    await engine.submit([submission(alone('a', { timeout: 2_000 }))])
    const worker = await hand(engine)
    const job = await worker.take()
    clock.pass(1_999)
    await engine.sweep()
    expect(await worker.succeed(job)).toBe('accepted')
  })

  test('an attempt that ended within its deadline leaves nothing to come back for', async () => {
    const { engine, clock } = await open()
    await engine.submit([submission(alone('a', { timeout: 2_000 })), submission(alone('b', { timeout: 2_000 }))])
    const worker = await hand(engine)
    await worker.succeed(await worker.take('a'))
    await worker.fail(await worker.take('b'))
    await worker.beat({ ended: true })
    clock.pass(60_000)
    await sweepAll(engine, clock.now())
    expect((await engine.sweep()).nextAt).toBeNull()
  })

  test('the retry policy applies to a time-out', async () => {
    const { engine, clock } = await open()
    const graph = alone('a', { timeout: 2_000, retry: policy(1) })
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.take()
    let passed = 0
    for (; (await engine.job(graph.id))?.state === 'running' && passed < 120_000; passed += 1_000)
      await goOn({ engine, clock }, 1_000, worker)
    expect(await engine.job(graph.id)).toMatchObject({ failures: 1, attempt: 1, attempts: [{ outcome: 'retried' }] })
    await goOn({ engine, clock }, 3_000, worker)
    await worker.take()
    await goOn({ engine, clock }, 60_000, worker)
    expect(await engine.job(graph.id)).toMatchObject({ state: 'failed', reason: 'timeout', attempt: 2 })
  })

  test('removes settled collections when their time is over, whole, and no other', async () => {
    const { engine, clock } = await open()
    const [short, long, running] = [chordOf(['a', 'b']), chainOf('c'), chainOf('d')]
    const lone = alone('e', { retention: 1_000 })
    await engine.submit([
      submission(short, { retention: 1_000 }),
      submission(long, { retention: 30 * day }),
      submission(lone, { retention: 1_000 }),
      submission(running, { retention: 1_000 }),
    ])
    const worker = await hand(engine)
    for (const job of await worker.claim(5)) if (job.task !== 'd') await worker.succeed(job)
    await worker.drain()
    await goOn({ engine, clock }, 999, worker)
    expect(await collectionState(engine, short)).toBe('succeeded')
    await goOn({ engine, clock }, 3 * 3_600, worker)
    clock.pass(60_000)
    await worker.beat()
    await sweepAll(engine, clock.now())
    expect(await engine.collection(short.id)).toBeNull()
    expect(await engine.collection(lone.id)).toBeNull()
    for (const job of short.jobs) expect(await engine.job(job.id)).toBeNull()
    expect(await collectionState(engine, long)).toBe('succeeded')
    expect(await collectionState(engine, running)).toBe('running')
  })

  test('keeps a collection whose callback is not done', async () => {
    const { engine, clock } = await open()
    const graph = graphOf({ a: { feeds: 0 }, back: { role: 'callback', when: 'always', behind: 0 } }, [{}])
    await engine.submit([submission(graph, { retention: 1_000 })])
    const worker = await hand(engine)
    await worker.succeed(await worker.take('a'))
    const back = await worker.take('back')
    await goOn({ engine, clock }, 120_000, worker)
    expect(await collectionState(engine, graph)).toBe('succeeded')
    await worker.succeed(back)
    await goOn({ engine, clock }, 120_000, worker)
    expect(await engine.collection(graph.id)).toBeNull()
  })

  test('removes by hand what is settled, and nothing else', async () => {
    const { engine } = await open()
    const graph = chainOf('outer', 'b')
    await engine.submit([submission(graph)])
    expect(await engine.remove(graph.id)).toBe('unsettled')
    const worker = await hand(engine)
    const inner = chainOf('inner')
    await worker.settle(await worker.take('outer'), continued(inner))
    await worker.drain()
    expect(await engine.remove(graph.id)).toBe('removed')
    expect(await engine.collection(graph.id)).toBeNull()
    for (const job of [...graph.jobs, ...inner.jobs]) expect(await engine.job(job.id)).toBeNull()
    expect((await engine.jobs({ limit: 10 })).items).toEqual([])
    expect(await engine.remove(graph.id)).toBe('not-found')
  })

  test('trims old events', async () => {
    const { engine, clock } = await open()
    const start = await engine.cursor()
    await engine.submit([submission(alone('a'))])
    await (await hand(engine)).drain()
    expect((await engine.events({ after: start, collections: null, limit: 100 })).gap).toBe(false)
    for (let passed = 0; passed < 60; passed++) {
      clock.pass(day)
      await sweepAll(engine, clock.now())
    }
    const page = await engine.events({ after: start, collections: null, limit: 100 })
    expect(page.gap).toBe(true)
    const fresh = await engine.events({ after: page.cursor, collections: null, limit: 100 })
    expect(fresh).toMatchObject({ gap: false, changes: [], more: false })
  })

  test('says that nothing is foreseen in an empty store, and claims agree', async () => {
    const { engine } = await open()
    expect(
      await engine.claim({ session: (await hand(engine)).session.id, token: freshToken(), limit: 5, queues: null }),
    ).toEqual({ jobs: [], nextAt: null })
  })
})
