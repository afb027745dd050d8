import { expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import type { RetryAnswer } from '../../src/engine/control.ts'
import { alone, chainOf, chordOf, freshId, graphOf, groupOf, jobId, sideJob, submission } from '../fixtures/graphs.ts'
import { collectionState, failed, goOn, hand, jobsOf, retried, statesOf, succeeded } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

const again = async (engine: Engine, id: string, round = 1, mode: 'failed' | 'all' = 'failed'): Promise<RetryAnswer> =>
  engine.retry({ selection: { collectionId: id }, expectedRound: round, mode })
const jobAgain = async (engine: Engine, id: string, round = 1, args?: string): Promise<RetryAnswer> =>
  engine.retry({
    selection: { jobId: id },
    expectedRound: round,
    mode: 'failed',
    ...(args !== undefined && { args }),
  })
/** Longer than what Redis keeps in the row of a job. */
const longList = JSON.stringify(['x'.repeat(5_000)])

onEveryEngine((open) => {
  test('takes what failed and what it held up, under the same ids, and leaves what succeeded', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b', 'c', 'd')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.drain((job) => (job.task === 'b' ? failed() : succeeded(job.task)))
    const before = await engine.collection(graph.id)
    expect(await again(engine, graph.id)).toBe('retried')
    expect(await engine.collection(graph.id)).toMatchObject({
      state: 'running',
      round: 2,
      settledAt: null,
      failure: null,
    })
    expect(await statesOf(engine, graph)).toEqual({ a: 'succeeded', b: 'queued', c: 'waiting', d: 'waiting' })
    expect((await jobsOf(engine, graph))['c']).toMatchObject({
      failure: null,
      failedJobId: null,
      reason: null,
      finishedAt: null,
    })
    const b = await worker.take('b')
    expect(b).toMatchObject({ id: jobId(graph, 'b'), attempt: 2, failures: 0, round: 2 })
    expect(b.input).toMatchObject({ results: [{ json: '"a"' }] })
    await worker.succeed(b)
    expect(await worker.drain()).toEqual(['c', 'd'])
    const after = await engine.collection(graph.id)
    expect(after).toMatchObject({ state: 'succeeded', round: 2 })
    expect(after?.jobs.map((job) => job.id)).toEqual(before?.jobs.map((job) => job.id))
    expect(after?.jobs[0]).toMatchObject({ attempt: 1, version: before?.jobs[0]?.version })
  })

  test('a round that is not the expected one changes nothing: sent again, it takes effect once', async () => {
    const { engine, second } = await open()
    const graph = chainOf('a', 'b')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.drain(() => failed())
    const answers = await Promise.all([again(engine, graph.id), again(second(), graph.id)])
    expect(answers.sort()).toEqual(['retried', 'round'])
    expect(await engine.collection(graph.id)).toMatchObject({ round: 2 })
    expect(await again(engine, graph.id, 1)).toBe('round')
    expect(await again(engine, graph.id, 3)).toBe('round')
    expect(await worker.drain()).toEqual(['a', 'b'])
  })

  test('says why there is nothing to do', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b')
    await engine.submit([submission(graph)])
    expect(await again(engine, freshId())).toBe('not-found')
    expect(await jobAgain(engine, freshId())).toBe('not-found')
    expect(await again(engine, graph.id)).toBe('running')
    await (await hand(engine)).drain()
    expect(await again(engine, graph.id)).toBe('succeeded')
    expect(await jobAgain(engine, jobId(graph, 'a'))).toBe('succeeded')
    expect(await engine.collection(graph.id)).toMatchObject({ round: 1, state: 'succeeded' })
  })

  test('a job alone', async () => {
    const { engine } = await open()
    const [one, two] = [alone('one'), alone('two')]
    await engine.submit([submission(one), submission(two)])
    const worker = await hand(engine)
    await worker.drain(() => failed())
    expect(await again(engine, one.id)).toBe('retried')
    expect(await jobAgain(engine, two.id)).toBe('retried')
    expect(await worker.drain()).toEqual(['one', 'two'])
    expect(await engine.collection(one.id)).toMatchObject({ state: 'succeeded', round: 2 })
    expect((await engine.job(two.id))?.attempts).toMatchObject([
      { attempt: 1, round: 1, outcome: 'failed' },
      { attempt: 2, round: 2, outcome: 'succeeded' },
    ])
  })

  test('exactly the failed members of a group run again, then the body', async () => {
    const { engine } = await open()
    const header = Array.from({ length: 100 }, (_, index) => `h${index}`)
    const broken = new Set(['h3', 'h14', 'h15', 'h92', 'h65', 'h35', 'h89'])
    const graph = chordOf(header)
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.drain((job) => (broken.has(job.task) ? failed() : succeeded(job.task)))
    expect(await again(engine, graph.id)).toBe('retried')
    const ran = await worker.drain()
    expect(new Set(ran.slice(0, -1))).toEqual(broken)
    expect(ran.at(-1)).toBe('body')
    expect(ran).toHaveLength(8)
    expect(await collectionState(engine, graph)).toBe('succeeded')
  })

  test('side branches of what is retried run anew, the others stay', async () => {
    const { engine } = await open()
    // chain(a.finally(noteA), b).onError(mourn).finally(note) with a callback
    const graph = graphOf(
      {
        a: { feeds: 0 },
        noteA: sideJob('always', 0),
        b: { behind: 0, feeds: 1 },
        mourn: sideJob('failure', 1, { from: 'failure' }),
        note: sideJob('always', 1),
        back: { role: 'callback', when: 'always', behind: 1 },
      },
      [{}, {}],
    )
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    expect((await worker.drain((job) => (job.task === 'b' ? failed() : succeeded(1)))).sort()).toEqual([
      'a',
      'b',
      'back',
      'mourn',
      'note',
      'noteA',
    ])
    expect(await again(engine, graph.id)).toBe('retried')
    expect(await statesOf(engine, graph)).toEqual({
      a: 'succeeded',
      noteA: 'succeeded',
      b: 'queued',
      mourn: 'waiting',
      note: 'waiting',
      back: 'waiting',
    })
    expect((await worker.drain((job) => (job.task === 'b' ? failed() : succeeded(1)))).sort()).toEqual([
      'b',
      'back',
      'mourn',
      'note',
    ])
    expect(await again(engine, graph.id, 2)).toBe('retried')
    expect((await worker.drain()).sort()).toEqual(['b', 'back', 'note'])
    expect((await jobsOf(engine, graph))['mourn']).toMatchObject({ state: 'skipped', reason: 'not-needed' })
    expect((await jobsOf(engine, graph))['note']?.attempt).toBe(3)
  })

  test('a side job that still runs is fenced and told', async () => {
    const { engine } = await open()
    const graph = graphOf({ a: { feeds: 0 }, back: { role: 'callback', when: 'always', behind: 0 } }, [{}])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.fail(await worker.take('a'))
    const old = await worker.take('back')
    expect(await again(engine, graph.id)).toBe('retried')
    expect(await statesOf(engine, graph)).toEqual({ a: 'queued', back: 'waiting' })
    expect((await worker.beat()).lost).toEqual([{ id: old.id, token: old.token }])
    expect(await worker.succeed(old)).toBe('superseded')
    await worker.succeed(await worker.take('a'))
    const next = await worker.take('back')
    expect(next).toMatchObject({ round: 2, attempt: 2 })
    expect(await worker.succeed(next)).toBe('accepted')
  })

  test('a side job that waits for its own retry is called back too', async () => {
    const { engine, clock } = await open()
    const graph = graphOf({ a: { feeds: 0 }, back: { role: 'callback', when: 'always', behind: 0 } }, [{}])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.fail(await worker.take('a'))
    await worker.settle(await worker.take('back'), retried(1_000))
    await again(engine, graph.id)
    clock.pass(1_000)
    await engine.sweep()
    expect(await statesOf(engine, graph)).toEqual({ a: 'queued', back: 'waiting' })
    expect(await worker.drain()).toEqual(['a', 'back'])
  })

  test('what was cancelled or skipped runs', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b', 'c')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.succeed(await worker.take('a'))
    await engine.cancel({ collectionId: graph.id })
    expect(await collectionState(engine, graph)).toBe('cancelled')
    expect(await again(engine, graph.id)).toBe('retried')
    expect(await engine.collection(graph.id)).toMatchObject({ state: 'running', cancelling: false })
    expect(await worker.drain()).toEqual(['b', 'c'])
    expect(await collectionState(engine, graph)).toBe('succeeded')
  })

  test('is refused while a cancel is under way', async () => {
    const { engine } = await open()
    const graph = groupOf('a', 'b')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [a, b] = await worker.claim(2)
    if (!a || !b) throw new Error('Expected two jobs.')
    await worker.fail(a)
    await engine.cancel({ collectionId: graph.id })
    expect(await jobAgain(engine, a.id)).toBe('cancelling')
    expect(['cancelling', 'running']).toContain(await again(engine, graph.id))
    expect(await engine.collection(graph.id)).toMatchObject({ round: 1 })
  })

  test('one job inside a running collection: it and what it held up', async () => {
    const { engine } = await open()
    // group(chain(a, b), chain(c, d)) before e
    const graph = graphOf(
      {
        a: { feeds: 0 },
        b: { behind: 0, feeds: 2 },
        c: { feeds: 1 },
        d: { behind: 1, feeds: 2 },
        e: { behind: 2, feeds: 3 },
      },
      [{}, {}, {}, {}],
    )
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [a, c] = await worker.claim(2)
    if (!a || !c) throw new Error('Expected two jobs.')
    await worker.fail(a)
    expect(await statesOf(engine, graph)).toEqual({
      a: 'failed',
      b: 'skipped',
      c: 'running',
      d: 'waiting',
      e: 'waiting',
    })
    expect(await jobAgain(engine, a.id)).toBe('retried')
    expect(await statesOf(engine, graph)).toEqual({
      a: 'queued',
      b: 'waiting',
      c: 'running',
      d: 'waiting',
      e: 'waiting',
    })
    await worker.succeed(c)
    expect((await worker.drain()).sort()).toEqual(['a', 'b', 'd', 'e'])
    expect(await collectionState(engine, graph)).toBe('succeeded')
  })

  test('one failed job of two leaves the other failed', async () => {
    const { engine } = await open()
    const graph = chordOf(['a', 'b'])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.drain(() => failed())
    expect(await jobAgain(engine, jobId(graph, 'a'))).toBe('retried')
    expect(await statesOf(engine, graph)).toEqual({ a: 'queued', b: 'failed', body: 'waiting' })
    expect(await worker.drain()).toEqual(['a'])
    expect(await statesOf(engine, graph)).toEqual({ a: 'succeeded', b: 'failed', body: 'skipped' })
    expect(await collectionState(engine, graph)).toBe('failed')
  })

  test('one job behind what failed is blocked: retry the cause', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b')
    await engine.submit([submission(graph)])
    await (await hand(engine)).drain(() => failed())
    expect(await jobAgain(engine, jobId(graph, 'b'))).toBe('blocked')
    expect(await statesOf(engine, graph)).toEqual({ a: 'failed', b: 'skipped' })
  })

  test('mode all runs everything again under the same ids', async () => {
    const { engine } = await open()
    const graph = graphOf(
      { a: { feeds: 0 }, b: { feeds: 0 }, c: { behind: 0, feeds: 1 }, note: sideJob('always', 1) },
      [{}, {}],
    )
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.drain()
    const before = await engine.collection(graph.id)
    expect(await again(engine, graph.id, 1, 'all')).toBe('retried')
    expect(await statesOf(engine, graph)).toEqual({ a: 'queued', b: 'queued', c: 'waiting', note: 'waiting' })
    expect(await worker.drain((job) => succeeded(`${job.task} again`))).toEqual(['a', 'b', 'c', 'note'])
    const after = await engine.collection(graph.id)
    expect(after?.jobs.map((job) => [job.id, job.attempt])).toEqual(before?.jobs.map((job) => [job.id, 2]))
    expect((await engine.job(jobId(graph, 'a')))?.result).toEqual({ json: '"a again"' })
  })

  test('delays do not hold again; a duration of expiry counts anew', async () => {
    const { engine, clock } = await open()
    const graph = alone('a', { startIn: 1_000, expires: 5_000 })
    await engine.submit([submission(graph)])
    clock.pass(1_000)
    const worker = await hand(engine)
    await worker.fail(await worker.take())
    await goOn({ engine, clock }, 60_000, worker)
    expect(await again(engine, graph.id)).toBe('retried')
    expect(await engine.job(graph.id)).toMatchObject({ state: 'queued' })
    clock.pass(4_999)
    await engine.sweep()
    expect(await engine.job(graph.id)).toMatchObject({ state: 'queued' })
    clock.pass(1)
    await engine.sweep()
    expect(await engine.job(graph.id)).toMatchObject({ state: 'cancelled', reason: 'expired' })
  })

  test('every attempt of three rounds can be read', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b')
    await engine.submit([submission(graph)])
    for (const [index, name] of ['ann', 'bob', 'cid'].entries()) {
      const worker = await hand(engine, { name })
      await worker.drain((job) => (job.task === 'b' ? failed(`By ${name}`) : succeeded(1)))
      expect(await again(engine, graph.id, index + 1)).toBe('retried')
    }
    await (await hand(engine, { name: 'dan' })).drain()
    expect((await engine.job(jobId(graph, 'b')))?.attempts).toMatchObject([
      { attempt: 1, round: 1, outcome: 'failed', failure: { message: 'By ann' } },
      { attempt: 2, round: 2, outcome: 'failed', failure: { message: 'By bob' } },
      { attempt: 3, round: 3, outcome: 'failed', failure: { message: 'By cid' } },
      { attempt: 4, round: 4, outcome: 'succeeded', failure: null },
    ])
    for (const attempt of (await engine.job(jobId(graph, 'b')))?.attempts ?? [])
      expect(attempt.worker).toMatch(/ann|bob|cid|dan/)
    expect((await engine.job(jobId(graph, 'a')))?.attempts).toHaveLength(1)
  })

  test('one job alone, or in a collection, is given other arguments, and keeps all else', async () => {
    const { engine } = await open()
    const one = alone('one', { queue: 'shop', priority: 3, tags: ['t'], retry: retryOnce })
    const chain = chainOf('a', 'b')
    await engine.submit([
      submission(one, { actor: { id: 'ann' }, description: 'Two\nlines', retention: 5_000, tags: ['t'] }),
      submission(chain),
    ])
    const worker = await hand(engine)
    await worker.drain(() => failed())
    for (const id of [one.id, jobId(chain, 'a')]) {
      const before = await engine.job(id)
      expect(await jobAgain(engine, id, 1, '["other",{"n":1}]')).toBe('retried')
      const { queue, priority, tags, description, actor, task, collectionId, createdAt } = before!
      const same = { queue, priority, tags, description, actor, task, collectionId, createdAt }
      expect(await engine.job(id)).toMatchObject({ args: '["other",{"n":1}]', ...same })
    }
    const jobs = await worker.claim(10)
    expect(jobs.map(({ task, args, options }) => [task, args, options])).toEqual([
      ['one', '["other",{"n":1}]', one.jobs[0]?.options],
      ['a', '["other",{"n":1}]', {}],
    ])
    for (const job of jobs) await worker.succeed(job)
    const b = await worker.take('b')
    expect(b).toMatchObject({ args: '[]', input: { results: [{ json: '"a"' }] } })
  })

  test('arguments may become long, and short again', async () => {
    const { engine } = await open()
    const [plain, chain] = [alone('plain'), chainOf('a')]
    await engine.submit([submission(plain), submission(chain)])
    const worker = await hand(engine)
    for (const [at, args] of [longList, '[1]', longList, '[]'].entries()) {
      await worker.drain(() => failed())
      for (const id of [plain.id, jobId(chain, 'a')]) {
        expect(await jobAgain(engine, id, at + 1, args)).toBe('retried')
        expect((await engine.job(id))?.args).toBe(args)
      }
      const jobs = await worker.claim(10)
      expect(jobs.map((job) => job.args)).toEqual([args, args])
      for (const job of jobs) await worker.fail(job)
    }
  })

  test('a retry without arguments leaves those that were given before', async () => {
    const { engine } = await open()
    const graph = graphOf({ a: { args: '[1]', feeds: 0 }, b: { args: longList, feeds: 0 } }, [{}])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.drain(() => failed())
    expect(await jobAgain(engine, jobId(graph, 'a'), 1, '[2]')).toBe('retried')
    await worker.drain(() => failed())
    expect(await again(engine, graph.id, 2)).toBe('retried')
    expect((await worker.claim(2)).map(({ args }) => args)).toEqual(['[2]', longList])
  })

  test('arguments stay where the answer is not "retried"', async () => {
    const { engine } = await open()
    const chain = chainOf('a', 'b')
    const unique = { key: 'k', until: 'settled', onConflict: 'reject' } as const
    const held = alone('held')
    await engine.submit([submission(chain), submission(held, { unique })])
    const [a, b] = [jobId(chain, 'a'), jobId(chain, 'b')]
    const worker = await hand(engine)
    expect(await jobAgain(engine, a, 1, '[9]')).toBe('running')
    await worker.fail(await worker.take('a'))
    expect(await jobAgain(engine, b, 1, '[9]')).toBe('blocked')
    expect(await jobAgain(engine, a, 2, '[9]')).toBe('round')
    expect(await jobAgain(engine, freshId(), 1, '[9]')).toBe('not-found')
    await worker.fail(await worker.take('held'))
    await engine.submit([submission(alone('other'), { unique })])
    expect(await jobAgain(engine, held.id, 1, '[9]')).toBe('unique')
    await worker.drain()
    expect(await jobAgain(engine, held.id, 1, '[8]')).toBe('retried')
    await worker.drain()
    expect(await jobAgain(engine, held.id, 2, '[9]')).toBe('succeeded')
    expect((await engine.job(a))?.args).toBe('[]')
    expect((await engine.job(b))?.args).toBe('[]')
    expect((await engine.job(held.id))?.args).toBe('[8]')
  })

  test('sent again after a lost reply, arguments are replaced once', async () => {
    const { engine } = await open()
    const one = alone('one')
    await engine.submit([submission(one)])
    const worker = await hand(engine)
    await worker.fail(await worker.take())
    expect(await jobAgain(engine, one.id, 1, '[1]')).toBe('retried')
    expect(await jobAgain(engine, one.id, 1, '[2]')).toBe('round')
    expect((await worker.take()).args).toBe('[1]')
  })

  test('arguments for a whole collection are refused', async () => {
    const { engine } = await open()
    const one = alone('one')
    await engine.submit([submission(one)])
    await (await hand(engine)).drain(() => failed())
    const request = { selection: { collectionId: one.id }, expectedRound: 1, mode: 'failed', args: '[1]' } as const
    await expect(engine.retry(request)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    expect(await engine.job(one.id)).toMatchObject({ args: '[]', state: 'failed', round: 1 })
  })

  test('tells whether its arguments are all that a job is called with', async () => {
    const { engine } = await open()
    const plain = alone('plain', { retry: retryOnce })
    const graph = graphOf(
      {
        first: { feeds: 0, options: { chunked: true } },
        next: { behind: 0, feeds: 1, input: { from: 'results', shape: 'one' } },
        deaf: { behind: 0, feeds: 1 },
        mourn: sideJob('failure', 1, { from: 'failure' }),
      },
      [{}, {}],
    )
    await engine.submit([submission(plain), submission(graph)])
    const found = await Promise.all([...plain.jobs, ...graph.jobs].map(({ id }) => engine.job(id, { history: false })))
    expect(Object.fromEntries(found.map((job) => [job?.task, job?.hasAllArguments]))).toEqual({
      plain: true,
      first: false,
      next: false,
      deaf: true,
      mourn: false,
    })
  })
})

const retryOnce = { limit: 0, base: 1, factor: 1, max: 1, jitter: false }
