import { expect, test } from 'vitest'
import type { Outcome } from '../../src/core/outcome.ts'
import { alone, chainOf, chordOf, groupOf, jobId, submission } from '../fixtures/graphs.ts'
import { collectionState, continued, failed, failure, hand, retried, statesOf, succeeded } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

onEveryEngine((open) => {
  test('stores a result', async () => {
    const { engine, clock } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take()
    clock.pass(250)
    expect(await worker.succeed(job, { total: 3 })).toBe('accepted')
    const stored = await engine.job(graph.id)
    expect(stored).toMatchObject({
      state: 'succeeded',
      result: { json: '{"total":3}' },
      attempt: 1,
      finishedAt: clock.now(),
      failure: null,
    })
    expect(stored?.startedAt).toBe(clock.now() - 250)
    expect(stored?.attempts).toEqual([
      {
        attempt: 1,
        round: 1,
        worker: expect.any(String) as string,
        startedAt: clock.now() - 250,
        finishedAt: clock.now(),
        outcome: 'succeeded',
        failure: null,
      },
    ])
    expect(await engine.collection(graph.id)).toMatchObject({
      state: 'succeeded',
      settledAt: clock.now(),
      result: { json: '{"total":3}' },
    })
  })

  test('stores a failure and whose it is', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b', 'c')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.fail(await worker.take('a'), 'Broken')
    const a = jobId(graph, 'a')
    expect(await engine.job(a)).toMatchObject({
      state: 'failed',
      reason: 'failed',
      failure: { message: 'Broken' },
      failedJobId: a,
    })
    for (const task of ['b', 'c']) {
      expect(await engine.job(jobId(graph, task))).toMatchObject({
        state: 'skipped',
        reason: 'upstream',
        failure: { message: 'Broken' },
        failedJobId: a,
      })
    }
    expect(await engine.collection(graph.id)).toMatchObject({
      state: 'failed',
      failure: { message: 'Broken' },
      failedJobId: a,
    })
  })

  test('stores a time-out as its own reason', async () => {
    const { engine } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take(), { type: 'failed', reason: 'timeout', failure: failure('Too slow') })
    expect(await engine.job(graph.id)).toMatchObject({ state: 'failed', reason: 'timeout' })
  })

  test('puts a retry off by its delay and counts the failure', async () => {
    const { engine, clock } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    expect(await worker.settle(await worker.take(), retried(2_000, 'Once'))).toBe('accepted')
    expect(await engine.job(graph.id)).toMatchObject({
      state: 'scheduled',
      failures: 1,
      attempt: 1,
      dueAt: clock.now() + 2_000,
      failure: { message: 'Once' },
      attempts: [{ attempt: 1, outcome: 'retried', failure: { message: 'Once' } }],
    })
    clock.pass(1_999)
    expect(await worker.claim()).toEqual([])
    clock.pass(1)
    const again = await worker.take()
    expect(again).toMatchObject({ attempt: 2, failures: 1, round: 1 })
    expect(await worker.succeed(again)).toBe('accepted')
    expect((await engine.job(graph.id))?.attempts.map((attempt) => [attempt.attempt, attempt.outcome])).toEqual([
      [1, 'retried'],
      [2, 'succeeded'],
    ])
  })

  test('puts a snoozed job off without counting a failure', async () => {
    const { engine, clock } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take(), { type: 'snoozed', delay: 1_000 })
    expect(await engine.job(graph.id)).toMatchObject({
      state: 'scheduled',
      failures: 0,
      dueAt: clock.now() + 1_000,
      failure: null,
    })
    clock.pass(1_000)
    expect(await worker.take()).toMatchObject({ failures: 0 })
  })

  test('gives a released job to the next, the number of an attempt that never began included', async () => {
    const { engine } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take(), { type: 'released', started: false, delay: 0 })
    expect(await engine.job(graph.id)).toMatchObject({ state: 'queued', attempt: 0, attempts: [] })
    const second = await worker.take()
    expect(second.attempt).toBe(1)
    await worker.settle(second, { type: 'released', started: true, delay: 0 })
    expect(await engine.job(graph.id)).toMatchObject({
      state: 'queued',
      attempt: 1,
      failures: 0,
      attempts: [{ attempt: 1, outcome: 'released' }],
    })
    expect(await worker.take()).toMatchObject({ attempt: 2, failures: 0 })
  })

  test('holds a released job back where told to', async () => {
    const { engine, clock } = await open()
    await engine.submit([submission(alone())])
    const worker = await hand(engine)
    await worker.settle(await worker.take(), { type: 'released', started: false, delay: 500 })
    expect(await worker.claim()).toEqual([])
    clock.pass(500)
    expect((await worker.take()).attempt).toBe(1)
  })

  test('answers each settlement of a batch, in order', async () => {
    const { engine } = await open()
    const graph = groupOf('a', 'b', 'c')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [a, b, c] = await worker.claim(3)
    if (!a || !b || !c) throw new Error('Expected three jobs.')
    await engine.cancel({ jobId: b.id })
    const answers = await engine.settle([
      { ref: a.ref, token: a.token, outcome: succeeded(1) },
      { ref: b.ref, token: b.token, outcome: succeeded(2) },
      { ref: c.ref, token: c.token + 1, outcome: succeeded(3) },
      { ref: c.ref, token: c.token, outcome: failed() },
    ])
    expect(answers).toEqual(['accepted', 'cancelled', 'superseded', 'accepted'])
    expect(await statesOf(engine, graph)).toEqual({ a: 'succeeded', b: 'cancelled', c: 'failed' })
  })

  test('settles the last two inputs of one barrier in one batch, and opens it once', async () => {
    const { engine } = await open()
    const graph = chordOf(['a', 'b'])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const jobs = await worker.claim(2)
    await engine.settle(jobs.map((job) => ({ ref: job.ref, token: job.token, outcome: succeeded(1) })))
    expect((await worker.claim(10)).map((job) => job.task)).toEqual(['body'])
  })

  const finalOutcomes: Record<string, Outcome> = {
    succeeded: succeeded(1),
    failed: failed(),
    retried: retried(60_000),
    snoozed: { type: 'snoozed', delay: 60_000 },
    'released unstarted': { type: 'released', started: false, delay: 60_000 },
    'released started': { type: 'released', started: true, delay: 60_000 },
    continued: continued(chainOf('inner')),
  }
  for (const [name, outcome] of Object.entries(finalOutcomes)) {
    test(`answers the repeat of "${name}" as the first time and changes nothing`, async () => {
      const { engine, second } = await open()
      const graph = alone()
      await engine.submit([submission(graph)])
      const worker = await hand(engine)
      const job = await worker.take()
      expect(await worker.settle(job, outcome)).toBe('accepted')
      const [before, cursor] = [await engine.job(graph.id), await engine.cursor()]
      expect(await worker.settle(job, outcome)).toBe('accepted')
      expect(await second().settle([{ ref: job.ref, token: job.token, outcome }])).toEqual(['accepted'])
      expect(await engine.job(graph.id)).toEqual({ ...before, cursor: expect.any(String) as string })
      expect((await engine.events({ after: cursor, collections: null, limit: 10 })).changes).toEqual([])
    })
  }

  test('a repeat after the next claim is superseded and does not disturb it', async () => {
    const { engine } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const first = await worker.take()
    await worker.settle(first, retried(0))
    const second = await worker.take()
    expect(await worker.settle(first, retried(0))).toBe('superseded')
    expect(await worker.succeed(first, 'late')).toBe('superseded')
    expect(await engine.job(graph.id)).toMatchObject({ state: 'running', attempt: 2, failures: 1 })
    expect(await worker.succeed(second, 'right')).toBe('accepted')
    expect((await engine.job(graph.id))?.result).toEqual({ json: '"right"' })
  })

  test('refuses an outcome under any other token', async () => {
    const { engine } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take()
    for (const token of [job.token + 1, job.token - 1, 0]) {
      expect(await engine.settle([{ ref: job.ref, token, outcome: succeeded('stolen') }])).toEqual(['superseded'])
    }
    expect(await engine.job(graph.id)).toMatchObject({ state: 'running', result: null })
  })

  test('the same batch twice counts a barrier down once', async () => {
    const { engine } = await open()
    const graph = chordOf(['a', 'b', 'c'])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const jobs = await worker.claim(3)
    const [first, second, third] = jobs.map((job) => ({ ref: job.ref, token: job.token, outcome: succeeded(1) }))
    if (!first || !second || !third) throw new Error('Expected three jobs.')
    await engine.settle([first, first, second])
    await engine.settle([first, second])
    expect(await statesOf(engine, graph)).toMatchObject({ c: 'running', body: 'waiting' })
    await engine.settle([third])
    expect(await statesOf(engine, graph)).toMatchObject({ body: 'queued' })
  })

  test('settles across connections', async () => {
    const { engine, second } = await open()
    const graph = chainOf('a', 'b')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take('a')
    expect(await second().settle([{ ref: job.ref, token: job.token, outcome: succeeded(1) }])).toEqual(['accepted'])
    expect(await (await hand(second())).drain()).toEqual(['b'])
    expect(await collectionState(engine, graph)).toBe('succeeded')
  })

  test('a handler that ended because it was told to leaves a cancelled job', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take('a')
    await engine.cancel({ jobId: job.id })
    expect(await worker.settle(job, { type: 'cancelled' })).toBe('cancelled')
    expect(await statesOf(engine, graph)).toEqual({ a: 'cancelled', b: 'skipped' })
    expect((await engine.job(job.id))?.attempts).toMatchObject([{ attempt: 1, outcome: 'cancelled' }])
  })

  test('keeps a result word for word', async () => {
    const { engine } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const result = '{"big":12345678901234567890,"empty":[],"list":[1.0,"\\u2028"]}'
    await worker.settle(await worker.take(), { type: 'succeeded', result })
    expect((await engine.job(graph.id))?.result).toEqual({ json: result })
  })
})
