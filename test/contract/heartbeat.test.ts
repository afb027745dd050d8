import { expect, test } from 'vitest'
import { alone, chainOf, freshId, groupOf, submission } from '../fixtures/graphs.ts'
import { freshToken, goOn, hand, lease, statesOf, succeeded, sweepAll } from '../fixtures/hand.ts'
import { onEveryEngine, type Store } from '../fixtures/store.ts'

onEveryEngine((open) => {
  /** A store that somebody has been sweeping, so that the rule of the gap does not come into it. */
  const openSwept = async (): Promise<Store> => {
    const store = await open()
    await store.engine.sweep()
    await goOn(store, 2 * lease)
    return store
  }

  test('a session that beats keeps its jobs', async () => {
    const store = await openSwept()
    const graph = alone()
    await store.engine.submit([submission(graph)])
    const worker = await hand(store.engine)
    const job = await worker.take()
    await goOn(store, 10 * lease, worker)
    expect(await worker.beat()).toEqual({ lost: [], toCancel: [] })
    expect(await worker.succeed(job)).toBe('accepted')
  })

  test('a session that is silent for a lease loses its jobs to the next', async () => {
    const store = await openSwept()
    const { engine } = store
    const graph = alone()
    await engine.submit([submission(graph)])
    const [gone, worker] = [await hand(engine), await hand(engine)]
    const lost = await gone.take()
    await goOn(store, lease - 1, worker)
    expect(await worker.claim()).toEqual([])
    await goOn(store, 1, worker)
    const again = await worker.take()
    expect(again).toMatchObject({ id: lost.id, attempt: 2, failures: 0 })
    expect((await gone.beat()).lost).toEqual([{ id: lost.id, token: lost.token }])
    expect(await gone.succeed(lost, 'late')).toBe('superseded')
    expect(await worker.succeed(again)).toBe('accepted')
    expect((await engine.job(graph.id))?.attempts).toMatchObject([
      { attempt: 1, outcome: 'lost' },
      { attempt: 2, outcome: 'succeeded' },
    ])
  })

  test('a late outcome is refused even before anybody else takes the job', async () => {
    const store = await openSwept()
    const graph = alone()
    await store.engine.submit([submission(graph)])
    const gone = await hand(store.engine)
    const job = await gone.take()
    await goOn(store, lease)
    expect(await store.engine.job(graph.id)).toMatchObject({ state: 'queued' })
    expect(await gone.succeed(job)).toBe('superseded')
  })

  test("the length of the lease is the worker's choice", async () => {
    const store = await openSwept()
    await store.engine.submit([submission(alone())])
    const worker = await hand(store.engine)
    await worker.beat({ lease: 3_000 })
    await worker.take()
    await goOn(store, 3_000)
    expect((await (await hand(store.engine)).claim()).length).toBe(1)
  })

  test('a session that ends gives back what it holds at once', async () => {
    const { engine } = await open()
    const graph = groupOf('a', 'b')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [a] = await worker.claim(2)
    if (!a) throw new Error('Expected a job.')
    await worker.succeed(a)
    await worker.beat({ ended: true })
    expect(await statesOf(engine, graph)).toEqual({ a: 'succeeded', b: 'queued' })
    expect(await (await hand(engine)).drain()).toEqual(['b'])
  })

  test('a claim that the worker does not know of is given back after a lease, and counts as no crash', async () => {
    const store = await openSwept()
    const { engine } = store
    await engine.submit([submission(alone('known')), submission(alone('unknown'))])
    const worker = await hand(engine)
    const known = await worker.take('known')
    // The reply to this claim is lost: its job never comes to be listed.
    await engine.claim({ session: worker.session.id, token: freshToken(), limit: 1, queues: null })
    const beats = async (ms: number): Promise<void> => {
      for (let left = ms; left > 0; left -= 3_000) {
        store.clock.pass(Math.min(3_000, left))
        await worker.beat({ held: [{ id: known.id, ref: known.ref, token: known.token }] })
        await sweepAll(engine, store.clock.now())
      }
    }
    await beats(lease - 3_000)
    expect(await worker.claim()).toEqual([])
    await beats(2 * lease)
    const other = await hand(engine)
    const again = await other.take('unknown')
    expect(again.failures).toBe(0)
    expect(await worker.succeed(known)).toBe('accepted')
    // Not suspected of killing workers: more can be taken beside it.
    await engine.submit([submission(alone('more'))])
    expect((await other.claim(5)).map((job) => job.task)).toEqual(['more'])
  })

  test('a caller that cannot tell its claims loses none', async () => {
    const store = await openSwept()
    await store.engine.submit([submission(alone())])
    const worker = await hand(store.engine)
    const job = await worker.take()
    for (let passed = 0; passed < 5 * lease; passed += 3_000) {
      store.clock.pass(3_000)
      await worker.beat({ held: null })
      await sweepAll(store.engine, store.clock.now())
    }
    expect(await worker.succeed(job)).toBe('accepted')
  })

  test('a beat that does not list the jobs held is told of none', async () => {
    const { engine } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take()
    await engine.cancel({ jobId: job.id })
    expect(await worker.beat({ held: null })).toEqual({ lost: [], toCancel: [] })
    expect((await worker.beat()).toCancel).toEqual([{ id: job.id, token: job.token }])
  })

  test('stores progress of a running attempt, and of no other', async () => {
    const { engine } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take()
    const of = (done: number, token = job.token) => ({
      ref: job.ref,
      token,
      progress: { done, total: 10, message: `Step ${done}` },
    })
    await worker.beat({ progress: [of(3)] })
    expect(await engine.job(graph.id)).toMatchObject({ progress: { done: 3, total: 10, message: 'Step 3' } })
    await worker.beat({ progress: [of(9, job.token + 1)] })
    expect((await engine.job(graph.id))?.progress?.done).toBe(3)
    await worker.succeed(job)
    await worker.beat({ progress: [of(10)] })
    expect((await engine.job(graph.id))?.progress?.done).toBe(3)
  })

  test('keeps log lines with their attempt', async () => {
    const { engine, clock } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take()
    const line = (message: string, data: string | null = null) => ({
      at: clock.now(),
      attempt: 1,
      level: 'info' as const,
      message,
      data,
    })
    await worker.beat({
      log: [
        { ref: job.ref, token: job.token, line: line('one') },
        { ref: job.ref, token: job.token, line: line('two', '{"n":2}') },
      ],
    })
    await worker.beat({ log: [{ ref: job.ref, token: job.token + 1, line: line('a stranger') }] })
    expect((await engine.job(graph.id))?.log).toEqual([line('one'), line('two', '{"n":2}')])
  })

  test('tells what was lost only to the session that held it', async () => {
    const { engine } = await open()
    await engine.submit([submission(alone('a')), submission(alone('b'))])
    const [one, two] = [await hand(engine), await hand(engine)]
    const [a] = [await one.take('a'), await two.take('b')]
    await engine.cancel({ jobId: a.id })
    expect(await two.beat()).toEqual({ lost: [], toCancel: [] })
    expect(await one.beat()).toEqual({ lost: [], toCancel: [{ id: a.id, token: a.token }] })
  })

  // ── jobs whose worker died ──

  /** Claims with a session that then is never heard of again. */
  const crash = async (store: Store, limit: number): Promise<string[]> => {
    const doomed = await hand(store.engine)
    const jobs = await doomed.claim(limit)
    await goOn(store, lease + 3_000)
    return jobs.map((job) => job.task)
  }

  test('jobs whose worker died run few at a time in a session', async () => {
    const store = await openSwept()
    const { engine } = store
    await engine.submit(Array.from({ length: 40 }, (_, n) => submission(alone(`task-${n}`))))
    expect(await crash(store, 40)).toHaveLength(40)
    await engine.submit([submission(alone('fresh'))])
    const [worker, other] = [await hand(engine), await hand(engine)]
    const first = await worker.claim(100)
    expect(first.map((job) => job.task)).toEqual([...Array.from({ length: 32 }, (_, n) => `task-${n}`), 'fresh'])
    expect(await worker.claim(100)).toEqual([])
    // The next comes when one is done; others run in other sessions meanwhile.
    await worker.succeed(first[0]!)
    expect((await worker.claim(100)).map((job) => job.task)).toEqual(['task-32'])
    expect((await other.claim(100)).map((job) => job.task)).toEqual(
      Array.from({ length: 7 }, (_, n) => `task-${n + 33}`),
    )
  })

  test('those that were beside each other in two deaths run alone, one for each session', async () => {
    const store = await openSwept()
    const { engine } = store
    await engine.submit(['a', 'b', 'c'].map((task) => submission(alone(task))))
    await crash(store, 3)
    expect(await crash(store, 3)).toEqual(['a', 'b', 'c'])
    const [worker, other] = [await hand(engine), await hand(engine)]
    expect((await worker.claim(10)).map((job) => job.task)).toEqual(['a'])
    expect(await worker.claim(10)).toEqual([])
    expect((await other.claim(10)).map((job) => job.task)).toEqual(['b'])
  })

  test('the one job that ends its workers is found, and no other is to blame', async () => {
    const store = await openSwept()
    const { engine } = store
    const graphs = Array.from({ length: 100 }, (_, n) => alone(n === 40 ? 'guilty' : `innocent-${n}`))
    await engine.submit(graphs.map((graph) => submission(graph)))
    let deaths = 0
    for (let worker = await hand(engine), claims = 0; claims < 200; claims++) {
      const jobs = await worker.claim(100)
      if (jobs.length === 0) break
      if (jobs.some((job) => job.task === 'guilty')) {
        deaths++
        await goOn(store, lease + 3_000)
        worker = await hand(engine)
      } else for (const job of jobs) await worker.succeed(job)
    }
    const jobs = await Promise.all(graphs.map((graph) => engine.job(graph.id)))
    expect(jobs.filter((job) => job?.state !== 'succeeded').map((job) => [job?.task, job?.reason])).toEqual([
      ['guilty', 'poisoned'],
    ])
    expect(deaths).toBe(4)
  })

  test('many jobs of one queue whose worker died do not keep those of another waiting', async () => {
    const store = await openSwept()
    const { engine } = store
    const many = Array.from({ length: 1_100 }, () => alone('many', { queue: 'a' }))
    await engine.submit([...many, alone('other', { queue: 'b' })].map((graph) => submission(graph)))
    expect(await crash(store, 2_000)).toHaveLength(1_101)
    const worker = await hand(engine, { queues: ['b'] })
    expect((await worker.claim(10)).map((job) => job.task)).toEqual(['other'])
    expect((await engine.queues()).map(({ name, counts }) => [name, counts.queued])).toContainEqual(['a', 1_100])
  })

  test('where a suspect was among those that a worker died with, the others are not to blame', async () => {
    const store = await openSwept()
    const { engine } = store
    await engine.submit([submission(alone('suspect'))])
    await crash(store, 1)
    await engine.submit([submission(alone('b')), submission(alone('c'))])
    expect((await crash(store, 3)).sort()).toEqual(['b', 'c', 'suspect'])
    const worker = await hand(engine)
    expect((await worker.claim(10)).map((job) => job.task).sort()).toEqual(['b', 'c', 'suspect'])
  })

  test('after three workers died with it, it fails as poisoned', async () => {
    const store = await openSwept()
    const { engine } = store
    const graph = chainOf('poison', 'after')
    await engine.submit([submission(graph)])
    for (let death = 0; death < 3; death++) expect(await crash(store, 1)).toEqual(['poison'])
    expect(await statesOf(engine, graph)).toEqual({ poison: 'failed', after: 'skipped' })
    const told = await engine.collection(graph.id)
    expect(told).toMatchObject({ state: 'failed' })
    expect(told?.jobs[0]).toMatchObject({ reason: 'poisoned', attempt: 3 })
    expect(told?.jobs[0]?.failure?.message).toBeTruthy()
    expect((await engine.job(told?.jobs[0]?.id ?? ''))?.attempts.map((attempt) => attempt.outcome)).toEqual([
      'lost',
      'lost',
      'failed',
    ])
  })

  test('crashes start at zero in the next round', async () => {
    const store = await openSwept()
    const { engine } = store
    const graph = alone('poison')
    await engine.submit([submission(graph)])
    for (let death = 0; death < 3; death++) await crash(store, 1)
    await engine.retry({ selection: { collectionId: graph.id }, expectedRound: 1, mode: 'failed' })
    expect(await crash(store, 1)).toEqual(['poison'])
    expect(await (await hand(engine)).drain(() => succeeded(1))).toEqual(['poison'])
  })

  test('lists the sessions: those that live, that ended, that were lost', async () => {
    const store = await openSwept()
    const { engine, clock } = store
    const [live, ended, lost] = [freshId(), freshId(), freshId()]
    const worker = await hand(engine, { id: live, name: 'live', host: 'here', pid: 42, queues: ['a'], concurrency: 7 })
    await (await hand(engine, { id: ended, name: 'ended' })).beat({ ended: true })
    await hand(engine, { id: lost, name: 'lost' })
    const startedAt = clock.now()
    await engine.submit([submission(alone('task', { queue: 'a' }))])
    await worker.take()
    await goOn(store, 2 * lease, worker)
    const told = await engine.workers()
    expect(told.find((each) => each.id === live)).toMatchObject({
      name: 'live',
      host: 'here',
      pid: 42,
      queues: ['a'],
      concurrency: 7,
      state: 'running',
      startedAt,
      seenAt: clock.now(),
      runningCount: 1,
    })
    expect(told.find((each) => each.id === ended)).toMatchObject({ state: 'ended', runningCount: 0 })
    expect(told.find((each) => each.id === lost)).toMatchObject({ state: 'lost', runningCount: 0 })
    await goOn(store, 1_000)
    clock.pass(25 * 3_600_000)
    await worker.beat()
    await sweepAll(engine, clock.now())
    expect((await engine.workers()).map((each) => each.name)).toEqual(['live'])
  })
})
