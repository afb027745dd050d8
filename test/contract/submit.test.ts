import { expect, test } from 'vitest'
import type { Submission } from '../../src/engine/intake.ts'
import { alone, chainOf, chordOf, freshId, graphOf, groupOf, jobId, sideJob, submission } from '../fixtures/graphs.ts'
import { collectionState, hand, jobsOf, statesOf } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

onEveryEngine((open) => {
  test('stores every graph of a call and answers in order', async () => {
    const { engine } = await open()
    const [first, second, third] = [alone('a'), chainOf('b', 'c'), chordOf(['d', 'e'], 'f')]
    expect(await engine.submit([submission(first), submission(second), submission(third)])).toMatchObject([
      { type: 'created' },
      { type: 'created' },
      { type: 'created' },
    ])
    expect(await statesOf(engine, first)).toEqual({ a: 'queued' })
    expect(await statesOf(engine, second)).toEqual({ b: 'queued', c: 'waiting' })
    expect(await statesOf(engine, third)).toEqual({ d: 'queued', e: 'queued', f: 'waiting' })
  })

  test('answers existing when a graph is sent again, and stores nothing twice', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b')
    const existing = { type: 'existing', collectionId: graph.id }
    expect(await engine.submit([submission(graph), submission(graph)])).toMatchObject([{ type: 'created' }, existing])
    expect(await engine.submit([submission(graph)])).toEqual([existing])
    expect((await engine.collection(graph.id))?.jobs.map((job) => job.task)).toEqual(['a', 'b'])
    expect((await engine.collections({ limit: 10 })).items).toHaveLength(1)
    expect(await (await hand(engine)).drain()).toEqual(['a', 'b'])
  })

  test('answers existing for a job alone, whatever became of it', async () => {
    const { engine } = await open()
    const graph = alone()
    await engine.submit([submission(graph)])
    await (await hand(engine)).drain()
    expect(await engine.submit([submission(graph)])).toEqual([{ type: 'existing', collectionId: graph.id }])
    expect(await collectionState(engine, graph)).toBe('succeeded')
    expect(await (await hand(engine)).claim()).toEqual([])
  })

  test('of alike jobs of which some were stored before, the others are stored with all they have', async () => {
    const { engine } = await open()
    const said = { actor: { id: 'me' }, description: 'Alike', tags: ['one', 'two'], retention: 5_000 }
    const graphs = Array.from({ length: 4 }, (_, n) => {
      const graph = alone('task', { queue: 'own', priority: 7, timeout: 9_000 })
      return { ...graph, jobs: graph.jobs.map((job) => ({ ...job, args: `[${n},"\\u001f\\n"]` })) }
    })
    const [first, second, third, fourth] = graphs.map((graph) => submission(graph, said)) as [
      Submission,
      Submission,
      Submission,
      Submission,
    ]
    const created = { type: 'created', at: expect.any(Number) as number }
    const existing = ({ graph }: Submission): object => ({ type: 'existing', collectionId: graph.id })
    expect(await engine.submit([first, third])).toEqual([created, created])
    expect(await engine.submit([first, second, third, fourth])).toEqual([
      existing(first),
      created,
      existing(third),
      created,
    ])
    for (const [n, { id }] of graphs.entries())
      expect(await engine.job(id)).toMatchObject({
        state: 'queued',
        args: `[${n},"\\u001f\\n"]`,
        queue: 'own',
        priority: 7,
        actor: said.actor,
        description: said.description,
        tags: said.tags,
      })
    const claimed = await (await hand(engine)).claim(10)
    expect(claimed.map(({ deadlineAt }) => deadlineAt !== null)).toEqual([true, true, true, true])
    expect(claimed.map(({ id }) => id)).toEqual([first, third, second, fourth].map(({ graph }) => graph.id))
  })

  test('the same graph twice in one call is stored once', async () => {
    const { engine } = await open()
    const [lone, chain] = [alone('lone'), chainOf('a', 'b')]
    const answers = await engine.submit([lone, lone, chain, chain].map((graph) => submission(graph)))
    expect(answers.map(({ type }) => type)).toEqual(['created', 'existing', 'created', 'existing'])
    expect(await (await hand(engine)).drain()).toEqual(['lone', 'a', 'b'])
  })

  test('stores all or nothing', async () => {
    const { engine } = await open()
    const good = alone('good')
    const tooLarge = groupOf(...Array.from({ length: engine.partSize + 1 }, (_, index) => `t${index}`))
    await expect(engine.submit([submission(good), submission(tooLarge)])).rejects.toThrow()
    expect(await engine.collection(good.id)).toBeNull()
    expect(await engine.collection(tooLarge.id)).toBeNull()
    expect(await (await hand(engine)).claim()).toEqual([])
  })

  test('calls made at once stand or fall each by itself', async () => {
    const { engine } = await open()
    const worker = await hand(engine)
    const [first, good, late] = [chainOf('a', 'b'), alone('good'), alone('late')]
    const tooLarge = groupOf(...Array.from({ length: engine.partSize + 1 }, (_, index) => `t${index}`))
    await engine.submit([submission(first)])
    const a = await worker.take('a')
    const [settled, refused, created, jobs, again] = await Promise.allSettled([
      worker.succeed(a, 1),
      engine.submit([submission(alone('with it')), submission(tooLarge)]),
      engine.submit([submission(good)]),
      worker.claim(10),
      engine.submit([submission(late)]),
    ])
    expect([settled, created, again].map((answer) => answer.status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled'])
    expect(refused.status).toBe('rejected')
    const rest = await worker.claim(10)
    const claimed = jobs.status === 'fulfilled' ? jobs.value : []
    expect([...claimed, ...rest].map((job) => job.task).sort()).toEqual(['b', 'good', 'late'])
    expect((await engine.jobs({ limit: 10 })).items.map((job) => job.task).sort()).toEqual(['a', 'b', 'good', 'late'])
  })

  test('a job alone is told as a collection of one under its own id', async () => {
    const { engine, clock } = await open()
    const graph = alone('mail', { tags: ['own'], priority: 7, queue: 'shop' })
    await engine.submit([submission(graph, { description: 'Send it', actor: { id: 'user-7' }, tags: ['given'] })])
    const told = await engine.collection(graph.id)
    expect(told).toMatchObject({
      id: graph.id,
      state: 'running',
      round: 1,
      description: 'Send it',
      actor: { id: 'user-7' },
      createdAt: clock.now(),
      settledAt: null,
      counts: { queued: 1, waiting: 0, succeeded: 0 },
    })
    expect(told?.jobs).toHaveLength(1)
    expect(told?.jobs[0]).toMatchObject({
      id: graph.id,
      collectionId: graph.id,
      priority: 7,
      queue: 'shop',
      attempt: 0,
      after: [],
    })
  })

  test('keeps what is told about a submission', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b')
    await engine.submit([
      submission(graph, {
        description: 'Two',
        actor: { id: 'u' },
        tags: ['x', 'y'],
        callback: { url: 'https://example.org/done', results: 'all' },
      }),
    ])
    expect(await engine.collection(graph.id)).toMatchObject({
      description: 'Two',
      actor: { id: 'u' },
      tags: ['x', 'y'],
      callback: { url: 'https://example.org/done', results: 'all' },
    })
  })

  test('tells of each job what it waits for', async () => {
    const { engine } = await open()
    const graph = chordOf(['a', 'b'], 'c')
    await engine.submit([submission(graph)])
    const jobs = await jobsOf(engine, graph)
    expect(jobs['a']?.after).toEqual([])
    expect(jobs['c']?.after).toEqual([jobId(graph, 'a'), jobId(graph, 'b')])
  })

  test('a graph without jobs has succeeded at once', async () => {
    const { engine, clock } = await open()
    const graph = { ...graphOf({}, [{}]), shape: 'nothing' }
    await engine.submit([submission(graph)])
    expect(await engine.collection(graph.id)).toMatchObject({
      state: 'succeeded',
      settledAt: clock.now(),
      jobs: [],
      shape: 'nothing',
    })
  })

  test('a barrier without inputs decides at submission', async () => {
    const { engine } = await open()
    const graph = graphOf(
      {
        after: { behind: 0, feeds: 1 },
        cheer: sideJob('success', 0),
        mourn: sideJob('failure', 0),
        note: sideJob('always', 0),
      },
      [{}, {}],
    )
    await engine.submit([submission(graph)])
    expect(await statesOf(engine, graph)).toEqual({
      after: 'queued',
      cheer: 'queued',
      mourn: 'skipped',
      note: 'queued',
    })
  })

  test('holds back a delayed job, and takes an instant that has passed as now', async () => {
    const { engine, clock } = await open()
    const [later, at, past] = [
      alone('later', { startIn: 60_000 }),
      alone('at', { startAt: clock.now() + 5_000 }),
      alone('past', { startAt: clock.now() - 1 }),
    ]
    await engine.submit([submission(later), submission(at), submission(past)])
    expect(await engine.job(later.id)).toMatchObject({ state: 'scheduled', dueAt: clock.now() + 60_000 })
    expect(await engine.job(at.id)).toMatchObject({ state: 'scheduled', dueAt: clock.now() + 5_000 })
    expect(await engine.job(past.id)).toMatchObject({ state: 'queued' })
  })

  test('takes text as it is', async () => {
    const { engine } = await open()
    const args = JSON.stringify(['ünï€𝄞', '\u0001\u2028', '"quoted"', "it's", '\\'])
    const graph = graphOf({ odd: { args } })
    await engine.submit([submission(graph, { description: "Robert'); drop table jobs;--" })])
    const [job] = await (await hand(engine)).claim()
    expect(job?.args).toBe(args)
    expect((await engine.collection(graph.id))?.description).toBe("Robert'); drop table jobs;--")
  })

  test('reads what does not exist as null', async () => {
    const { engine } = await open()
    expect(await engine.job(freshId())).toBeNull()
    expect(await engine.collection(freshId())).toBeNull()
    expect(await engine.job('no id at all')).toBeNull()
    expect(await engine.collection("' or 1=1 --")).toBeNull()
  })
})
