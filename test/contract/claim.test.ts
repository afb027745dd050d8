import { expect, test } from 'vitest'
import { systemRuntime } from '../../src/core/runtime.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import type { ClaimedJob, JobInput } from '../../src/engine/work.ts'
import { alone, chainOf, chordOf, graphOf, groupOf, jobId, sideJob, submission } from '../fixtures/graphs.ts'
import { continued, failed, freshToken, hand, type Hand, retried, statesOf, succeeded } from '../fixtures/hand.ts'
import { describeEngines, onEveryEngine } from '../fixtures/store.ts'

const hour = 3_600_000

onEveryEngine((open) => {
  test('gives a job with all that a worker needs', async () => {
    const { engine, clock } = await open()
    const graph = graphOf({
      mail: {
        args: '["a",1]',
        options: {
          queue: 'shop',
          timeout: 5_000,
          chunked: true,
          retry: { limit: 2, base: 1, factor: 2, max: 9, jitter: false },
        },
      },
    })
    await engine.submit([submission(graph, { actor: { id: 'user-7' } })])
    const createdAt = clock.now()
    clock.pass(10)
    const token = freshToken()
    const [job] = await (await hand(engine)).claim(1, token)
    expect(job).toMatchObject({
      id: graph.id,
      collectionId: graph.id,
      token,
      task: 'mail',
      args: '["a",1]',
      role: 'main',
      attempt: 1,
      failures: 0,
      round: 1,
      queue: 'shop',
      actor: { id: 'user-7' },
      depth: 0,
      createdAt,
      deadlineAt: createdAt + 10 + 5_000,
      input: { from: 'nothing' },
    })
    expect(job?.options).toMatchObject({
      chunked: true,
      timeout: 5_000,
      retry: { limit: 2, base: 1, factor: 2, max: 9, jitter: false },
    })
  })

  test('gives no deadline to a job without a time-out', async () => {
    const { engine } = await open()
    await engine.submit([submission(alone())])
    expect((await (await hand(engine)).take()).deadlineAt).toBeNull()
  })

  test('takes by priority, then in the order of submission, then in the order of the graph', async () => {
    const { engine } = await open()
    await engine.submit([
      submission(graphOf({ a: { feeds: 0 }, b: { feeds: 0, options: { priority: 5 } }, c: { feeds: 0 } }, [{}])),
      submission(
        graphOf(
          { d: { feeds: 0, options: { priority: -1000 } }, e: { feeds: 0 }, f: { feeds: 0, options: { priority: 5 } } },
          [{}],
        ),
      ),
      submission(alone('g', { priority: 1000 })),
    ])
    const worker = await hand(engine)
    const singly = [await worker.take(), await worker.take()]
    const together = await worker.claim(10)
    expect([...singly, ...together].map((job) => job.task)).toEqual(['g', 'b', 'f', 'a', 'c', 'e', 'd'])
  })

  test('keeps the order across queues', async () => {
    const { engine } = await open()
    await engine.submit([
      submission(alone('a', { queue: 'x' })),
      submission(alone('b', { queue: 'y' })),
      submission(alone('c', { queue: 'x' })),
    ])
    expect((await (await hand(engine)).claim(10)).map((job) => job.task)).toEqual(['a', 'b', 'c'])
  })

  test('a later link keeps the place of its collection, before what was submitted afterwards', async () => {
    const { engine } = await open()
    await engine.submit([submission(chainOf('first', 'second')), submission(alone('other'))])
    const worker = await hand(engine)
    await worker.succeed(await worker.take('first'))
    expect((await worker.claim(10)).map((job) => job.task)).toEqual(['second', 'other'])
  })

  test('the jobs of a continuation keep the place of their collection', async () => {
    const { engine } = await open()
    await engine.submit([submission(alone('outer')), submission(alone('other'))])
    const worker = await hand(engine)
    await worker.settle(await worker.take('outer'), continued(chainOf('inner')))
    expect((await worker.claim(10)).map((job) => job.task)).toEqual(['inner', 'other'])
  })

  test('a retried and a released job keep their place', async () => {
    const { engine } = await open()
    await engine.submit([submission(alone('retried')), submission(alone('released')), submission(alone('other'))])
    const worker = await hand(engine)
    const [first, second] = await worker.claim(2)
    if (!first || !second) throw new Error('Expected two jobs.')
    await worker.settle(first, retried(0))
    await worker.settle(second, { type: 'released', started: true, delay: 0 })
    expect((await worker.claim(10)).map((job) => job.task)).toEqual(['retried', 'released', 'other'])
  })

  test('takes no more than asked for, and nothing twice', async () => {
    const { engine, second } = await open()
    await engine.submit(Array.from({ length: 10 }, () => submission(alone())))
    const [one, two] = [await hand(engine), await hand(second())]
    const taken = (await Promise.all([one.claim(4), two.claim(4), one.claim(4), two.claim(4)])).map((jobs) =>
      jobs.map((job) => job.id),
    )
    expect(Math.max(...taken.map((ids) => ids.length))).toBeLessThanOrEqual(4)
    expect(taken.flat()).toHaveLength(10)
    expect(new Set(taken.flat()).size).toBe(10)
  })

  test('takes from the queues that are named, and from every queue without names', async () => {
    const { engine } = await open()
    await engine.submit(['x', 'y', 'z'].map((queue) => submission(alone(`in-${queue}`, { queue }))))
    expect((await (await hand(engine, { queues: ['z', 'x'] })).claim(10)).map((job) => job.task)).toEqual([
      'in-x',
      'in-z',
    ])
    expect((await (await hand(engine, { queues: ['nobody'] })).claim(10)).map((job) => job.task)).toEqual([])
    expect((await (await hand(engine)).claim(10)).map((job) => job.task)).toEqual(['in-y'])
  })

  test('answers the same token with the same jobs, as far as they still run', async () => {
    const { engine, second } = await open()
    await engine.submit([submission(alone('a')), submission(alone('b')), submission(alone('c'))])
    const worker = await hand(engine)
    const token = freshToken()
    const jobs = await worker.claim(2, token)
    expect(jobs.map((job) => job.task)).toEqual(['a', 'b'])
    expect(await worker.claim(2, token)).toEqual(jobs)
    const again = await second().claim({ session: worker.session.id, token, limit: 2, queues: null })
    expect(again.jobs).toEqual(jobs)
    await worker.succeed(jobs[0] as (typeof jobs)[0])
    expect(await worker.claim(2, token)).toEqual([jobs[1]])
    await worker.settle(jobs[1] as (typeof jobs)[0], retried(0))
    expect((await engine.job((jobs[1] as (typeof jobs)[0]).id))?.attempt).toBe(1)
  })

  test('takes a delayed job when it is due, and says when the next one is', async () => {
    const { engine, clock } = await open()
    const at = clock.now()
    await engine.submit([submission(alone('soon', { startIn: 1_000 })), submission(alone('later', { startIn: 5_000 }))])
    const worker = await hand(engine)
    expect(await engine.claim({ session: worker.session.id, token: freshToken(), limit: 10, queues: null })).toEqual({
      jobs: [],
      nextAt: at + 1_000,
    })
    clock.pass(999)
    expect(await worker.claim(10)).toEqual([])
    clock.pass(1)
    const answer = await engine.claim({ session: worker.session.id, token: freshToken(), limit: 10, queues: null })
    expect(answer.jobs.map((job) => job.task)).toEqual(['soon'])
    expect(answer.nextAt).toBe(at + 5_000)
    clock.pass(4_000)
    const last = await engine.claim({ session: worker.session.id, token: freshToken(), limit: 10, queues: null })
    expect([last.jobs.map((job) => job.task), last.nextAt]).toEqual([['later'], null])
  })

  test('a due job takes its place by priority among the queued', async () => {
    const { engine, clock } = await open()
    await engine.submit([submission(alone('queued')), submission(alone('due', { startIn: 100, priority: 1 }))])
    clock.pass(100)
    expect((await (await hand(engine)).claim(10)).map((job) => job.task)).toEqual(['due', 'queued'])
  })

  test('cancels what has expired instead of handing it out', async () => {
    const { engine, clock } = await open()
    const expiring = graphOf(
      {
        a: { feeds: 0, options: { expires: 1_000 } },
        b: { behind: 0, feeds: 1 },
        report: sideJob('failure', 0, { from: 'failure' }),
      },
      [{}, {}],
    )
    await engine.submit([submission(expiring)])
    clock.pass(1_000)
    const jobs = await (await hand(engine)).claim(10)
    expect(jobs.filter((job) => job.task !== 'report')).toEqual([])
    await engine.sweep()
    expect(await statesOf(engine, expiring)).toMatchObject({ a: 'cancelled', b: 'skipped' })
    expect(await engine.job(jobId(expiring, 'a'))).toMatchObject({ reason: 'expired' })
  })

  test('a job that started in time does not expire', async () => {
    const { engine, clock } = await open()
    const graph = alone('a', { expires: 1_000 })
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take()
    clock.pass(5_000)
    await worker.beat()
    await engine.sweep()
    expect(await worker.succeed(job)).toBe('accepted')
  })

  test('gives results in the order of the graph, whatever finished first', async () => {
    const { engine } = await open()
    const graph = chordOf(['a', 'b', 'c'])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const jobs = await worker.claim(3)
    for (const job of [...jobs].reverse()) await worker.succeed(job, { of: job.task })
    expect((await worker.take('body')).input).toMatchObject({
      from: 'results',
      shape: 'list',
      results: [{ json: '{"of":"a"}' }, { json: '{"of":"b"}' }, { json: '{"of":"c"}' }],
    })
  })

  test('flattens the inputs of nested barriers by their place in the graph', async () => {
    const { engine } = await open()
    const body = { behind: 2, feeds: 3, input: { from: 'results', shape: 's' } } as const
    const graph = graphOf(
      {
        a: { feeds: 2 },
        b: { feeds: 0 },
        c: { feeds: 1, behind: 0 },
        d: { feeds: 2 },
        note: sideJob('success', 1),
        body,
      },
      [{}, { feeds: 2 }, {}, {}],
    )
    await engine.submit([submission(graph)])
    const seen = await inputsSeen(await hand(engine))
    expect(seen['body']).toMatchObject({
      from: 'results',
      shape: 's',
      results: [{ json: '"a"' }, { json: '"c"' }, { json: '"d"' }],
    })
    expect(Object.keys(seen)).toHaveLength(6)
  })

  test('gives nothing before the arguments at the front, and no results where none come before', async () => {
    const { engine } = await open()
    await engine.submit([submission(graphOf({ a: { input: { from: 'results', shape: 'empty' } } }))])
    expect((await (await hand(engine)).take()).input).toMatchObject({ from: 'results', shape: 'empty', results: [] })
  })

  test('a result of nothing is null', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take('a'), succeeded(undefined))
    expect((await worker.take('b')).input).toMatchObject({ results: [{ json: null }] })
  })

  test('gives a report of the first failure', async () => {
    const { engine } = await open()
    const graph = graphOf({ a: { feeds: 0 }, b: { feeds: 0 }, report: sideJob('failure', 0, { from: 'failure' }) }, [
      {},
    ])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [a, b] = await worker.claim(2)
    if (!a || !b) throw new Error('Expected two jobs.')
    await worker.fail(b, 'Came first')
    await worker.fail(a, 'Came second')
    const { input } = await worker.take('report')
    expect(input).toEqual({
      from: 'failure',
      report: {
        job: b.id,
        task: 'b',
        collection: graph.id,
        reason: 'failed',
        failure: expect.objectContaining({ message: 'Came first' }) as unknown,
      },
    })
  })

  test('gives the settled summary of the main jobs inside', async () => {
    const { engine } = await open()
    const last = sideJob('always', 1, { from: 'summary', first: 1, last: 2 })
    const graph = graphOf({ before: { feeds: 0 }, a: { behind: 0, feeds: 1 }, b: { behind: 0, feeds: 1 }, last }, [
      {},
      { gate: 0 },
    ])
    await engine.submit([submission(graph)])
    const seen = await inputsSeen(await hand(engine), (job) => (job.task === 'b' ? failed('Inside') : succeeded(1)))
    const none = { waiting: 0, scheduled: 0, queued: 0, running: 0, cancelled: 0, skipped: 0 }
    expect(seen['last']).toEqual({
      from: 'summary',
      state: 'failed',
      counts: { ...none, succeeded: 1, failed: 1 },
      failure: expect.objectContaining({ message: 'Inside' }) as unknown,
    })
  })

  test('a summary of success has no failure', async () => {
    const { engine } = await open()
    const graph = graphOf({ a: { feeds: 0 }, last: sideJob('always', 0, { from: 'summary', first: 0, last: 0 }) }, [{}])
    await engine.submit([submission(graph)])
    expect((await inputsSeen(await hand(engine)))['last']).toMatchObject({
      from: 'summary',
      state: 'succeeded',
      failure: null,
    })
  })

  test('leaves out inputs over 1 MiB and gives them by pages, in order', async () => {
    const { engine } = await open()
    const names = Array.from({ length: 12 }, (_, index) => `h${index}`)
    const graph = chordOf(names)
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const value = (task: string): string => `${task}:${'x'.repeat(200_000)}`
    for (const job of await worker.claim(12)) await worker.succeed(job, value(job.task))
    const { input } = await worker.take('body')
    if (input.from !== 'results' || input.barrier === null) throw new Error('Expected results at a barrier.')
    expect(input.results).toBeNull()
    const results: unknown[] = []
    let pages = 0
    for (let after: string | null = null; ; pages++) {
      const page = await engine.results(input.barrier, after)
      results.push(...page.results.map((result) => ('json' in result ? JSON.parse(result.json ?? 'null') : null)))
      if (page.next === null) break
      after = page.next
    }
    expect(pages).toBeGreaterThan(0)
    expect(results).toEqual(names.map(value))
  })

  test('sends a group without inputs as no results', async () => {
    const { engine } = await open()
    const graph = groupOf('a', 'b')
    await engine.submit([submission(graph)])
    expect((await (await hand(engine)).claim(2)).map((job) => job.input)).toEqual([
      { from: 'nothing' },
      { from: 'nothing' },
    ])
  })
})

describeEngines(({ place }) => {
  test('when the next one is due is told by the clock of whoever asks, which may be wrong', async () => {
    const at = await place()
    const runtime = { ...systemRuntime, now: () => systemRuntime.now() - hour }
    const engine = at.open(runtime)
    try {
      const { session } = await hand(engine)
      const before = runtime.now()
      await engine.submit([submission(alone('later', { startIn: 10_000 }))])
      const claimed = await engine.claim({ session: session.id, token: freshToken(), limit: 1, queues: null })
      const swept = await engine.sweep()
      for (const { nextAt } of [claimed, swept]) {
        expect(nextAt).toBeGreaterThan(before)
        expect(nextAt).toBeLessThan(before + hour / 2)
      }
    } finally {
      await engine.close()
      await at.remove()
    }
  })
})

/** Runs everything; says what each task was given. */
async function inputsSeen(
  worker: Hand,
  outcome: (job: ClaimedJob) => Outcome = (job) => succeeded(job.task),
): Promise<Record<string, JobInput>> {
  const seen: Record<string, JobInput> = {}
  await worker.drain((job) => {
    seen[job.task] = job.input
    return outcome(job)
  })
  return seen
}

// A store without a server answers whatever it was asked.
onEveryEngine(
  (open) => {
    test('what was asked first and comes late takes nothing that the repeat did not tell of', async () => {
      const { engine } = await open()
      const worker = await hand(engine)
      const request = { session: worker.session.id, token: freshToken(), limit: 10, queues: null }
      expect((await engine.claim({ ...request, isRepeated: true })).jobs).toEqual([])
      await engine.submit([submission(chainOf('a', 'b'))])
      expect((await engine.claim(request)).jobs).toEqual([])
      const job = await worker.take('a')
      const settlement = { ref: job.ref, token: job.token, outcome: succeeded('a') }
      expect((await Promise.all([engine.settle([settlement]), engine.claim(request)]))[1].jobs).toEqual([])
      await worker.take('b')
    })
  },
  ['postgres', 'redis'],
)
