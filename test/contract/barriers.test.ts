import { expect, test } from 'vitest'
import { chordOf, graphOf, jobId, sideJob, submission } from '../fixtures/graphs.ts'
import { collectionState, failed, hand, jobsOf, retried, statesOf, succeeded } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

onEveryEngine((open) => {
  test('opens when the last input is final, not before', async () => {
    const { engine } = await open()
    const graph = chordOf(['a', 'b', 'c'])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    for (const job of await worker.claim(3)) {
      expect(await statesOf(engine, graph)).toMatchObject({ body: 'waiting' })
      await worker.succeed(job)
    }
    expect(await statesOf(engine, graph)).toMatchObject({ body: 'queued' })
  })

  test('a retry keeps a barrier waiting', async () => {
    const { engine, clock } = await open()
    const graph = chordOf(['a'])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take('a'), retried(10))
    expect(await statesOf(engine, graph)).toEqual({ a: 'scheduled', body: 'waiting' })
    clock.pass(10)
    await worker.succeed(await worker.take('a'))
    expect(await statesOf(engine, graph)).toEqual({ a: 'succeeded', body: 'queued' })
  })

  test('a failed input does not decide it while others run', async () => {
    const { engine } = await open()
    const graph = chordOf(['a', 'b'])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [a, b] = await worker.claim(2)
    if (!a || !b) throw new Error('Expected two jobs.')
    await worker.fail(a)
    expect(await statesOf(engine, graph)).toEqual({ a: 'failed', b: 'running', body: 'waiting' })
    expect(await collectionState(engine, graph)).toBe('running')
    await worker.succeed(b)
    expect(await statesOf(engine, graph)).toEqual({ a: 'failed', b: 'succeeded', body: 'skipped' })
    expect(await collectionState(engine, graph)).toBe('failed')
  })

  test('skipping cascades through everything behind', async () => {
    const { engine } = await open()
    const graph = graphOf(
      {
        a: { feeds: 0 },
        b: { behind: 0, feeds: 1 },
        c: { behind: 1, feeds: 2 },
        d: { behind: 1, feeds: 2 },
        e: { behind: 2, feeds: 3 },
      },
      [{}, {}, {}, {}],
    )
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.fail(await worker.take('a'), 'Root')
    expect(await statesOf(engine, graph)).toEqual({
      a: 'failed',
      b: 'skipped',
      c: 'skipped',
      d: 'skipped',
      e: 'skipped',
    })
    expect((await jobsOf(engine, graph))['e']).toMatchObject({
      failure: { message: 'Root' },
      failedJobId: jobId(graph, 'a'),
      attempt: 0,
      startedAt: null,
    })
    expect(await engine.collection(graph.id)).toMatchObject({ state: 'failed', counts: { failed: 1, skipped: 4 } })
  })

  test('runs what asked for success, for failure, and for either', async () => {
    const { engine } = await open()
    const branches = { cheer: sideJob('success', 0), mourn: sideJob('failure', 0), note: sideJob('always', 0) }
    const [good, bad] = [
      graphOf({ a: { feeds: 0 }, ...branches }, [{}]),
      graphOf({ a: { feeds: 0 }, ...branches }, [{}]),
    ]
    await engine.submit([submission(good), submission(bad)])
    const worker = await hand(engine)
    const ran = await worker.drain((job) => (job.id === jobId(bad, 'a') ? failed() : succeeded(job.task)))
    expect(ran.sort()).toEqual(['a', 'a', 'cheer', 'mourn', 'note', 'note'])
    expect(await statesOf(engine, good)).toEqual({
      a: 'succeeded',
      cheer: 'succeeded',
      mourn: 'skipped',
      note: 'succeeded',
    })
    expect(await statesOf(engine, bad)).toEqual({
      a: 'failed',
      cheer: 'skipped',
      mourn: 'succeeded',
      note: 'succeeded',
    })
  })

  test('a side branch that is not needed is skipped as such and left out of the counts', async () => {
    const { engine } = await open()
    const graph = graphOf({ a: { feeds: 0 }, mourn: sideJob('failure', 0) }, [{}])
    await engine.submit([submission(graph)])
    await (await hand(engine)).drain()
    expect((await jobsOf(engine, graph))['mourn']).toMatchObject({
      state: 'skipped',
      reason: 'not-needed',
      failure: null,
    })
    expect((await engine.collection(graph.id))?.counts).toEqual({
      waiting: 0,
      scheduled: 0,
      queued: 0,
      running: 0,
      succeeded: 1,
      failed: 0,
      cancelled: 0,
      skipped: 0,
    })
  })

  test('a branch of a branch that was not needed is not needed either: it does not mourn', async () => {
    const { engine } = await open()
    // mourn hangs on a; its own onError hangs on mourn: chain(a).onError(mourn.onError(worse))
    const graph = graphOf(
      {
        a: { feeds: 0 },
        mourn: { ...sideJob('failure', 0), feeds: 1 },
        worse: sideJob('failure', 1),
        after: sideJob('always', 1),
      },
      [{}, {}],
    )
    await engine.submit([submission(graph)])
    await (await hand(engine)).drain()
    expect(await statesOf(engine, graph)).toMatchObject({
      a: 'succeeded',
      mourn: 'skipped',
      worse: 'skipped',
      after: 'skipped',
    })
    expect((await jobsOf(engine, graph))['worse']).toMatchObject({ reason: 'not-needed' })
    expect((await jobsOf(engine, graph))['after']).toMatchObject({ reason: 'not-needed' })
  })

  test('a failed side job changes neither the outcome nor its failure', async () => {
    const { engine } = await open()
    const graph = graphOf({ a: { feeds: 0 }, note: sideJob('always', 0) }, [{}])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.succeed(await worker.take('a'))
    expect(await collectionState(engine, graph)).toBe('succeeded')
    await worker.fail(await worker.take('note'))
    expect(await engine.collection(graph.id)).toMatchObject({
      state: 'succeeded',
      failure: null,
      counts: { succeeded: 1, failed: 1 },
    })
  })

  test('a gate that failed skips the side branches: their canvas never began', async () => {
    const { engine } = await open()
    // chain(a, b.onError(mourn).finally(note))
    const graph = graphOf(
      {
        a: { feeds: 0 },
        b: { behind: 0, feeds: 1 },
        mourn: sideJob('failure', 1, { from: 'failure' }),
        note: sideJob('always', 1),
      },
      [{}, { gate: 0 }],
    )
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    expect(await worker.drain(() => failed())).toEqual(['a'])
    expect(await statesOf(engine, graph)).toEqual({ a: 'failed', b: 'skipped', mourn: 'skipped', note: 'skipped' })
  })

  test('a gate that succeeded lets them run', async () => {
    const { engine } = await open()
    const graph = graphOf(
      {
        a: { feeds: 0 },
        b: { behind: 0, feeds: 1 },
        mourn: sideJob('failure', 1, { from: 'failure' }),
        note: sideJob('always', 1),
      },
      [{}, { gate: 0 }],
    )
    await engine.submit([submission(graph)])
    const ran = await (await hand(engine)).drain((job) => (job.task === 'b' ? failed() : succeeded(1)))
    expect(ran.sort()).toEqual(['a', 'b', 'mourn', 'note'])
  })

  test('a nested barrier is one input of the one around it', async () => {
    const { engine } = await open()
    // group(chain(a, b).finally(note), c) before body
    const body = { behind: 2, feeds: 3 }
    const graph = graphOf(
      { a: { feeds: 0 }, b: { behind: 0, feeds: 1 }, note: sideJob('always', 1), c: { feeds: 2 }, body },
      [{}, { feeds: 2 }, {}, {}],
    )
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [a, c] = await worker.claim(2)
    if (!a || !c) throw new Error('Expected two jobs.')
    await worker.succeed(a)
    await worker.succeed(c)
    expect(await statesOf(engine, graph)).toMatchObject({ b: 'queued', body: 'waiting', note: 'waiting' })
    await worker.fail(await worker.take('b'), 'Inner')
    expect(await statesOf(engine, graph)).toMatchObject({ note: 'queued', body: 'skipped' })
    expect((await jobsOf(engine, graph))['body']).toMatchObject({
      failure: { message: 'Inner' },
      failedJobId: jobId(graph, 'b'),
    })
  })

  test('two connections settle the last two inputs at once: the body is queued once', async () => {
    const { engine, second } = await open()
    const other = second()
    for (let turn = 0; turn < 20; turn++) {
      const graph = chordOf(['a', 'b'])
      await engine.submit([submission(graph)])
      const [one, two] = [await hand(engine), await hand(other)]
      const [a, b] = [await one.take('a'), await two.take('b')]
      await Promise.all([one.succeed(a), two.succeed(b)])
      const bodies = (await Promise.all([one.claim(5), two.claim(5)])).flat()
      expect(bodies.map((job) => job.task)).toEqual(['body'])
      await one.succeed(bodies[0] as (typeof bodies)[0])
    }
  })

  test('two connections fail the last two inputs at once: the error handler runs once', async () => {
    const { engine, second } = await open()
    const other = second()
    for (let turn = 0; turn < 20; turn++) {
      const graph = graphOf({ a: { feeds: 0 }, b: { feeds: 0 }, mourn: sideJob('failure', 0, { from: 'failure' }) }, [
        {},
      ])
      await engine.submit([submission(graph)])
      const [one, two] = [await hand(engine), await hand(other)]
      const [a, b] = [await one.take('a'), await two.take('b')]
      await Promise.all([one.fail(a), two.fail(b)])
      const ran = (await Promise.all([one.claim(5), two.claim(5)])).flat()
      expect(ran.map((job) => job.task)).toEqual(['mourn'])
      await one.succeed(ran[0] as (typeof ran)[0])
    }
  })

  test('a collection settles with its main jobs, whatever its side jobs still do', async () => {
    const { engine, clock } = await open()
    const graph = graphOf({ a: { feeds: 0 }, note: { ...sideJob('always', 0), options: { startIn: 1_000 } } }, [{}])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.succeed(await worker.take('a'))
    expect(await engine.collection(graph.id)).toMatchObject({ state: 'succeeded', settledAt: clock.now() })
    expect(await statesOf(engine, graph)).toMatchObject({ note: 'scheduled' })
  })

  test('the failure told is the one that came first', async () => {
    const { engine, clock } = await open()
    const graph = chordOf(['a', 'b', 'c'])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [a, b, c] = await worker.claim(3)
    if (!a || !b || !c) throw new Error('Expected three jobs.')
    await worker.succeed(c)
    await worker.fail(b, 'First')
    clock.pass(5)
    await worker.fail(a, 'Second')
    expect(await engine.collection(graph.id)).toMatchObject({ failure: { message: 'First' }, failedJobId: b.id })
    expect((await jobsOf(engine, graph))['body']).toMatchObject({ failure: { message: 'First' }, failedJobId: b.id })
  })
})
