import { expect, test } from 'vitest'
import { alone, chainOf, chordOf, freshId, graphOf, groupOf, jobId, sideJob, submission } from '../fixtures/graphs.ts'
import {
  collectionState,
  continued,
  failed,
  goOn,
  hand,
  jobsOf,
  lease,
  retried,
  statesOf,
  succeeded,
} from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const grace = 10_000

onEveryEngine((open) => {
  test('answers not-found, and final for what is over', async () => {
    const { engine } = await open()
    expect(await engine.cancel({ jobId: freshId() })).toBe('not-found')
    expect(await engine.cancel({ collectionId: freshId() })).toBe('not-found')
    const graph = chainOf('a', 'b')
    await engine.submit([submission(graph)])
    await (await hand(engine)).drain()
    expect(await engine.cancel({ jobId: jobId(graph, 'a') })).toBe('final')
    expect(await engine.cancel({ collectionId: graph.id })).toBe('final')
    expect(await collectionState(engine, graph)).toBe('succeeded')
  })

  test('a queued and a scheduled job are cancelled at once', async () => {
    const { engine, clock } = await open()
    const [queued, scheduled] = [alone('a'), alone('b', { startIn: 1_000 })]
    await engine.submit([submission(queued), submission(scheduled)])
    for (const graph of [queued, scheduled]) {
      expect(await engine.cancel({ jobId: graph.id })).toBe('cancelled')
      expect(await engine.job(graph.id)).toMatchObject({
        state: 'cancelled',
        reason: 'cancelled',
        finishedAt: clock.now(),
        cancelling: false,
      })
      expect(await engine.cancel({ jobId: graph.id })).toBe('final')
    }
    clock.pass(1_000)
    expect(await (await hand(engine)).claim(10)).toEqual([])
  })

  test('a job waiting for its retry is cancelled at once', async () => {
    const { engine } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take(), retried(60_000))
    expect(await engine.cancel({ jobId: graph.id })).toBe('cancelled')
  })

  test('a job behind an undecided barrier is marked, and cancelled when the barrier decides', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b', 'c')
    await engine.submit([submission(graph)])
    const b = jobId(graph, 'b')
    expect(await engine.cancel({ jobId: b })).toBe('marked')
    expect(await engine.job(b)).toMatchObject({ state: 'waiting', cancelling: true })
    expect(await engine.cancel({ jobId: b })).toBe('marked')
    const worker = await hand(engine)
    await worker.succeed(await worker.take('a'))
    expect(await statesOf(engine, graph)).toEqual({ a: 'succeeded', b: 'cancelled', c: 'skipped' })
    expect(await engine.job(b)).toMatchObject({ cancelling: false, reason: 'cancelled' })
    expect(await collectionState(engine, graph)).toBe('cancelled')
  })

  test.each(['success', 'failure', 'always'] as const)(
    'so is a job of a side branch (%s), whatever it waited for: its handler is never called',
    async (when) => {
      const { engine } = await open()
      const graph = graphOf({ a: { feeds: 0 }, side: sideJob(when, 0) }, [{}])
      await engine.submit([submission(graph)])
      expect(await engine.cancel({ jobId: jobId(graph, 'side') })).toBe('marked')
      const worker = await hand(engine)
      const job = await worker.take('a')
      await worker.settle(job, when === 'failure' ? failed() : succeeded(1))
      expect(await worker.claim(10)).toEqual([])
      const { side } = await jobsOf(engine, graph)
      expect(side).toMatchObject({ state: 'cancelled', reason: 'cancelled', attempt: 0 })
      expect(await collectionState(engine, graph)).toBe(when === 'failure' ? 'failed' : 'succeeded')
    },
  )

  test('a side job that continued and was cancelled is cancelled, whatever its canvas came to', async () => {
    const { engine } = await open()
    const graph = graphOf({ a: { feeds: 0 }, side: sideJob('always', 0) }, [{}])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.succeed(await worker.take('a'))
    const inner = groupOf('x')
    await worker.settle(
      await worker.take('side'),
      continued({ ...inner, jobs: inner.jobs.map((each) => ({ ...each, role: 'side' as const })) }),
    )
    const x = await worker.take('x')
    await engine.cancel({ jobId: jobId(graph, 'side') })
    await worker.succeed(x)
    expect((await jobsOf(engine, graph))['side']).toMatchObject({ state: 'cancelled', reason: 'cancelled' })
  })

  test('a running job is marked and told; whatever it comes to, it is cancelled', async () => {
    for (const outcome of [
      succeeded(1),
      failed(),
      retried(10),
      { type: 'snoozed', delay: 10 } as const,
      { type: 'cancelled' } as const,
    ]) {
      const { engine } = await open()
      const graph = chainOf('a', 'b')
      await engine.submit([submission(graph)])
      const worker = await hand(engine)
      const job = await worker.take('a')
      expect(await engine.cancel({ jobId: job.id })).toBe('marked')
      expect((await worker.beat()).toCancel).toEqual([{ id: job.id, token: job.token }])
      expect(await worker.settle(job, outcome)).toBe('cancelled')
      expect(await statesOf(engine, graph)).toEqual({ a: 'cancelled', b: 'skipped' })
      expect((await engine.job(job.id))?.result).toBeNull()
      expect(await worker.settle(job, outcome)).toMatch(/cancelled|superseded/)
    }
  })

  test('a continuation of a cancelled job is not stored', async () => {
    const { engine } = await open()
    const graph = alone('outer')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take()
    await engine.cancel({ jobId: job.id })
    expect(await worker.settle(job, continued(groupOf('x', 'y')))).toBe('cancelled')
    expect((await engine.collection(graph.id))?.jobs.map((each) => each.task)).toEqual(['outer'])
    expect(await worker.claim()).toEqual([])
  })

  test('a running job that does not end is final after the grace', async () => {
    const { engine, clock } = await open()
    const graph = chainOf('a', 'b')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take('a')
    await engine.cancel({ jobId: job.id })
    clock.pass(grace - 1)
    await worker.beat()
    await engine.sweep()
    expect(await statesOf(engine, graph)).toEqual({ a: 'running', b: 'waiting' })
    clock.pass(1)
    await engine.sweep()
    expect(await statesOf(engine, graph)).toEqual({ a: 'cancelled', b: 'skipped' })
    expect((await worker.beat()).lost).toEqual([{ id: job.id, token: job.token }])
    expect(await worker.succeed(job)).toBe('superseded')
  })

  test('a running job whose session is lost is cancelled with its lease', async () => {
    const store = await open()
    const { engine } = store
    const graph = alone()
    await engine.submit([submission(graph)])
    await engine.sweep()
    const [gone, other] = [await hand(engine), await hand(engine)]
    await gone.take()
    await goOn(store, lease - 1_000, other)
    await engine.cancel({ jobId: graph.id })
    await goOn(store, 1_000, other)
    expect(await engine.job(graph.id)).toMatchObject({ state: 'cancelled' })
    expect(await other.claim()).toEqual([])
  })

  test('cancelling a collection reaches every main job, and leaves those that report it', async () => {
    const { engine } = await open()
    const graph = graphOf(
      {
        done: { feeds: 0 },
        running: { feeds: 0 },
        queued: { feeds: 0 },
        late: { feeds: 0, options: { startIn: 60_000 } },
        behind: { behind: 0, feeds: 1 },
        mourn: sideJob('failure', 1, { from: 'failure' }),
        last: sideJob('always', 1, { from: 'summary', first: 0, last: 4 }),
        back: { role: 'callback', when: 'always', behind: 1, input: { from: 'summary', first: 0, last: 4 } },
      },
      [{}, {}],
    )
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [done, running] = await worker.claim(2)
    if (!done || !running) throw new Error('Expected two jobs.')
    await worker.succeed(done)
    expect(await engine.cancel({ collectionId: graph.id })).toBe('marked')
    expect(await engine.collection(graph.id)).toMatchObject({ state: 'running', cancelling: true })
    expect(await statesOf(engine, graph)).toMatchObject({
      done: 'succeeded',
      running: 'running',
      queued: 'cancelled',
      late: 'cancelled',
      behind: 'waiting',
    })
    expect((await worker.beat()).toCancel).toEqual([{ id: running.id, token: running.token }])
    expect(await worker.settle(running, { type: 'cancelled' })).toBe('cancelled')
    expect(await engine.collection(graph.id)).toMatchObject({ state: 'cancelled', cancelling: false })
    expect(await statesOf(engine, graph)).toMatchObject({
      behind: 'cancelled',
      mourn: 'queued',
      last: 'queued',
      back: 'queued',
    })
    const reports = await worker.claim(5)
    expect(reports.map((job) => job.task).sort()).toEqual(['back', 'last', 'mourn'])
    expect(reports.find((job) => job.task === 'mourn')?.input).toMatchObject({
      from: 'failure',
      report: { reason: 'cancelled' },
    })
    expect(reports.find((job) => job.task === 'last')?.input).toMatchObject({ from: 'summary', state: 'cancelled' })
    await engine.settle(reports.map((job) => ({ ref: job.ref, token: job.token, outcome: succeeded(1) })))
    expect(await statesOf(engine, graph)).toMatchObject({ mourn: 'succeeded', last: 'succeeded', back: 'succeeded' })
  })

  test('nothing of a cancelled collection is skipped: all that had not run is cancelled', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b', 'c')
    await engine.submit([submission(graph)])
    expect(await engine.cancel({ collectionId: graph.id })).toMatch(/cancelled|marked/)
    expect(await statesOf(engine, graph)).toEqual({ a: 'cancelled', b: 'cancelled', c: 'cancelled' })
    expect(await engine.collection(graph.id)).toMatchObject({
      state: 'cancelled',
      counts: { cancelled: 3, skipped: 0 },
    })
  })

  test('an answer of cancel stays the same when it is sent again', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take('a')
    expect(await engine.cancel({ collectionId: graph.id })).toBe('marked')
    expect(await engine.cancel({ collectionId: graph.id })).toBe('marked')
    await worker.succeed(job)
    expect(await engine.cancel({ collectionId: graph.id })).toBe('final')
  })

  test('cancelling a parked job acts on the jobs inside', async () => {
    const { engine } = await open()
    const graph = chainOf('outer', 'after')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const outer = await worker.take('outer')
    await worker.settle(outer, continued(chordOf(['x', 'y'], 'z')))
    const x = await worker.take('x')
    expect(await engine.cancel({ jobId: outer.id })).toBe('marked')
    expect((await worker.beat()).toCancel).toEqual([{ id: x.id, token: x.token }])
    expect(await statesOf(engine, graph)).toMatchObject({ outer: 'waiting', y: 'cancelled' })
    await worker.settle(x, { type: 'cancelled' })
    expect(await statesOf(engine, graph)).toMatchObject({
      outer: 'cancelled',
      x: 'cancelled',
      y: 'cancelled',
      after: 'skipped',
    })
    expect(await collectionState(engine, graph)).toBe('cancelled')
  })

  test('expiry is told as such', async () => {
    const { engine, clock } = await open()
    const graph = graphOf(
      { a: { feeds: 0, options: { expires: 100 } }, mourn: sideJob('failure', 0, { from: 'failure' }) },
      [{}],
    )
    await engine.submit([submission(graph)])
    clock.pass(100)
    await engine.sweep()
    expect((await jobsOf(engine, graph))['a']).toMatchObject({ state: 'cancelled', reason: 'expired' })
    expect(await collectionState(engine, graph)).toBe('cancelled')
    const mourn = await (await hand(engine)).take('mourn')
    expect(mourn.input).toMatchObject({ from: 'failure', report: { reason: 'expired', job: jobId(graph, 'a') } })
  })

  test('a delayed job expires while it is held back', async () => {
    const { engine, clock } = await open()
    const graph = alone('a', { startIn: 1_000, expires: 100 })
    await engine.submit([submission(graph)])
    clock.pass(100)
    await engine.sweep()
    expect(await engine.job(graph.id)).toMatchObject({ state: 'cancelled', reason: 'expired' })
  })

  test('fail-fast cancels what shares the scope, and nothing else', async () => {
    const { engine } = await open()
    const graph = graphOf(
      {
        a: { feeds: 0, scope: 1 },
        b: { feeds: 0, scope: 1 },
        c: { feeds: 0, scope: 1 },
        next: { behind: 0, feeds: 1, scope: 1 },
        other: { feeds: 2, scope: 2 },
        free: { feeds: 2 },
      },
      [{}, { feeds: 2 }, {}],
    )
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [a, b] = await worker.claim(2)
    if (!a || !b) throw new Error('Expected two jobs.')
    await worker.fail(a)
    expect(await statesOf(engine, graph)).toEqual({
      a: 'failed',
      b: 'running',
      c: 'cancelled',
      next: 'waiting',
      other: 'queued',
      free: 'queued',
    })
    expect((await jobsOf(engine, graph))['c']).toMatchObject({ reason: 'fail-fast', failedJobId: a.id })
    expect((await worker.beat()).toCancel).toEqual([{ id: b.id, token: b.token }])
    expect(await worker.succeed(b)).toBe('cancelled')
    expect(await worker.drain()).toEqual(['other', 'free'])
    expect(await engine.collection(graph.id)).toMatchObject({ state: 'failed', failedJobId: a.id })
  })

  test('what one settlement lets go and another of the same batch cancels is cancelled', async () => {
    const { engine } = await open()
    const graph = graphOf(
      {
        a: { feeds: 0, scope: 1 },
        b: { feeds: 1, scope: 1 },
        next: { behind: 0, feeds: 1, scope: 1 },
      },
      [{}, {}],
    )
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [a, b] = await worker.claim(2)
    if (!a || !b) throw new Error('Expected two jobs.')
    expect(
      await engine.settle([
        { ref: a.ref, token: a.token, outcome: succeeded('a') },
        { ref: b.ref, token: b.token, outcome: failed('Expected') },
      ]),
    ).toEqual(['accepted', 'accepted'])
    expect(await statesOf(engine, graph)).toEqual({ a: 'succeeded', b: 'failed', next: 'cancelled' })
    expect((await jobsOf(engine, graph))['next']).toMatchObject({ reason: 'fail-fast', failedJobId: b.id })
    expect(await worker.drain()).toEqual([])
    expect(await engine.collection(graph.id)).toMatchObject({ state: 'failed', failedJobId: b.id })
  })

  test('a cancelled member of a fail-fast group cancels the rest too', async () => {
    const { engine } = await open()
    const graph = graphOf({ a: { feeds: 0, scope: 1 }, b: { feeds: 0, scope: 1 } }, [{}])
    await engine.submit([submission(graph)])
    await engine.cancel({ jobId: jobId(graph, 'a') })
    expect(await statesOf(engine, graph)).toEqual({ a: 'cancelled', b: 'cancelled' })
  })

  test('continuations inherit the scope', async () => {
    const { engine } = await open()
    const graph = graphOf({ a: { feeds: 0, scope: 1 }, outer: { feeds: 0, scope: 1 } }, [{}])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [a, outer] = await worker.claim(2)
    if (!a || !outer) throw new Error('Expected two jobs.')
    await worker.settle(outer, continued(groupOf('x', 'y')))
    await worker.fail(a)
    expect(await statesOf(engine, graph)).toEqual({ a: 'failed', outer: 'cancelled', x: 'cancelled', y: 'cancelled' })
  })

  test('a side branch of a fail-fast group still runs', async () => {
    const { engine } = await open()
    const graph = graphOf(
      { a: { feeds: 0, scope: 1 }, b: { feeds: 0, scope: 1 }, mourn: { ...sideJob('failure', 0), scope: 1 } },
      [{}],
    )
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.fail(await worker.take('a'))
    expect(await worker.drain()).toEqual(['mourn'])
  })
})
