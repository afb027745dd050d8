import { expect, test } from 'vitest'
import { alone, chainOf, chordOf, graphOf, groupOf, jobId, sideJob, submission } from '../fixtures/graphs.ts'
import { collectionState, continued, failed, goOn, hand, jobsOf, lease, statesOf, succeeded } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

onEveryEngine((open) => {
  test('parks the job and runs its canvas; the job takes that result by reference', async () => {
    const { engine } = await open()
    const [graph, inner] = [chainOf('outer', 'after'), chordOf(['a', 'b'], 'inner-body')]
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const outer = await worker.take('outer')
    expect(await worker.settle(outer, continued(inner))).toBe('accepted')
    expect((await jobsOf(engine, graph))['outer']).toMatchObject({ state: 'waiting', continued: true })
    expect(await statesOf(engine, graph)).toEqual({
      outer: 'waiting',
      a: 'queued',
      b: 'queued',
      'inner-body': 'waiting',
      after: 'waiting',
    })
    await worker.succeed(await worker.take('a'))
    await worker.succeed(await worker.take('b'))
    await worker.succeed(await worker.take('inner-body'), 'value')
    expect((await jobsOf(engine, graph))['outer']).toMatchObject({ id: outer.id, state: 'succeeded', attempt: 1 })
    const { input } = await worker.take('after')
    if (input.from !== 'results') throw new Error('Expected results.')
    const [result] = input.results ?? []
    expect(result).toMatchObject({ shape: 'exit-shape', results: [{ json: '"value"' }] })
  })

  test('the inner jobs follow the job that continued, in the order of the graph', async () => {
    const { engine } = await open()
    const graph = groupOf('first', 'outer', 'last')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const jobs = await worker.claim(3)
    const outer = jobs.find((job) => job.task === 'outer')
    if (!outer) throw new Error('Expected outer.')
    await worker.settle(outer, continued(groupOf('in-1', 'in-2')))
    const told = (await engine.collection(graph.id))?.jobs ?? []
    expect(told.map((job) => job.task)).toEqual(['first', 'outer', 'in-1', 'in-2', 'last'])
    expect(told.map((job) => job.parentId)).toEqual([null, null, outer.id, outer.id, null])
  })

  test('reads the result of a parked job through its barrier', async () => {
    const { engine } = await open()
    const graph = alone('outer')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take(), continued(groupOf('a', 'b')))
    await worker.drain()
    const stored = await engine.job(graph.id)
    expect(stored?.state).toBe('succeeded')
    if (!stored?.result) throw new Error('Expected a result.')
    expect(await engine.resolve(stored.result)).toMatchObject({
      shape: 'exit-shape',
      results: [{ json: '"a"' }, { json: '"b"' }],
    })
    expect(await engine.collection(graph.id)).toMatchObject({ state: 'succeeded' })
  })

  test('a job alone that continued is a collection of what it became', async () => {
    const { engine } = await open()
    const graph = alone('outer')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take(), continued(groupOf('a', 'b')))
    expect((await engine.collection(graph.id))?.jobs.map((job) => job.task)).toEqual(['outer', 'a', 'b'])
    expect(await collectionState(engine, graph)).toBe('running')
    expect(await worker.drain()).toEqual(['a', 'b'])
    expect(await collectionState(engine, graph)).toBe('succeeded')
  })

  test('a canvas without jobs is a result at once', async () => {
    const { engine } = await open()
    const graph = chainOf('outer', 'after')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take('outer'), continued({ ...graphOf({}, [{}]), shape: 'nothing' }))
    const { input } = await worker.take('after')
    expect(input).toMatchObject({ from: 'results', results: [{ shape: 'nothing', results: [] }] })
  })

  test('its failure is the failure of the job, which is not tried again', async () => {
    const { engine } = await open()
    const retry = { limit: 5, base: 1, factor: 1, max: 1, jitter: false }
    const graph = graphOf(
      {
        outer: { feeds: 0, options: { retry } },
        after: { behind: 0, feeds: 1 },
        mourn: sideJob('failure', 0, { from: 'failure' }),
      },
      [{}, {}],
    )
    const inner = chainOf('a', 'b')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take('outer'), continued(inner))
    await worker.fail(await worker.take('a'), 'Inside')
    const jobs = await jobsOf(engine, graph)
    expect(jobs['outer']).toMatchObject({
      state: 'failed',
      failure: { message: 'Inside' },
      failedJobId: jobId(inner, 'a'),
      attempt: 1,
    })
    expect(jobs['after']).toMatchObject({ state: 'skipped', failedJobId: jobId(inner, 'a') })
    const mourn = await worker.take('mourn')
    expect(mourn.input).toMatchObject({ from: 'failure', report: { job: jobId(inner, 'a'), task: 'a' } })
    expect(await engine.collection(graph.id)).toMatchObject({ state: 'failed', failedJobId: jobId(inner, 'a') })
  })

  test('is stored once when the settlement is sent again', async () => {
    const { engine } = await open()
    const [graph, inner] = [chainOf('outer', 'after'), chainOf('a', 'b')]
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take('outer')
    await worker.settle(job, continued(inner))
    await worker.succeed(await worker.take('a'))
    expect(await worker.settle(job, continued(inner))).toBe('accepted')
    expect(await worker.drain()).toEqual(['b', 'after'])
    expect((await engine.collection(graph.id))?.jobs).toHaveLength(4)
  })

  test('a second worker that continues the same attempt is refused, and its canvas is not stored', async () => {
    const store = await open()
    const { engine } = store
    const [graph, stale, right] = [alone('outer'), chainOf('stale'), chainOf('right')]
    await engine.submit([submission(graph)])
    const [zombie, worker] = [await hand(engine), await hand(engine)]
    const lost = await zombie.take('outer')
    await goOn(store, 2 * lease, worker)
    const again = await worker.take('outer')
    expect(await zombie.settle(lost, continued(stale))).toBe('superseded')
    await worker.settle(again, continued(right))
    expect(await worker.drain()).toEqual(['right'])
    expect((await engine.collection(graph.id))?.jobs.map((job) => job.task)).toEqual(['outer', 'right'])
  })

  test('continues inside a continuation, one level deeper each time', async () => {
    const { engine } = await open()
    const graph = chainOf('outer', 'after')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    for (let depth = 0; depth < 5; depth++) {
      const job = await worker.take(depth === 0 ? 'outer' : `level-${depth}`)
      expect(job.depth).toBe(depth)
      await worker.settle(job, continued(chainOf(`level-${depth + 1}`)))
    }
    await worker.succeed(await worker.take('level-5'), 'deep')
    const after = await worker.take('after')
    let result = after.input.from === 'results' ? after.input.results?.[0] : undefined
    if (result) result = await engine.resolve(result)
    expect(JSON.stringify(result)).toContain('\\"deep\\"')
    expect(await statesOf(engine, graph)).toMatchObject({
      outer: 'succeeded',
      'level-1': 'succeeded',
      'level-4': 'succeeded',
    })
  })

  test('inner jobs share the actor, and nothing else that the compiler did not give them', async () => {
    const { engine } = await open()
    const retry = { limit: 5, base: 1, factor: 1, max: 1, jitter: false }
    const graph = graphOf({ outer: { feeds: 0, options: { retry, timeout: 1_000, expires: 60_000 } } }, [{}])
    await engine.submit([submission(graph, { actor: { id: 'user-7' } })])
    const worker = await hand(engine)
    await worker.settle(await worker.take('outer'), continued(chainOf('inner')))
    expect((await jobsOf(engine, graph))['inner']).toMatchObject({ actor: { id: 'user-7' } })
    const inner = await worker.take('inner')
    expect(inner).toMatchObject({ deadlineAt: null, failures: 0, attempt: 1, actor: { id: 'user-7' } })
    expect(inner.options.retry).toBeUndefined()
  })

  test('a side job that continues and fails leaves the outcome as it is', async () => {
    const { engine } = await open()
    const graph = graphOf({ a: { feeds: 0 }, note: sideJob('always', 0) }, [{}])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.succeed(await worker.take('a'))
    await worker.settle(await worker.take('note'), continued(graphOf({ inner: { feeds: 0, role: 'side' } }, [{}])))
    await worker.fail(await worker.take('inner'))
    expect(await collectionState(engine, graph)).toBe('succeeded')
    expect(await statesOf(engine, graph)).toMatchObject({ note: 'failed' })
  })

  test('holds no claim while it is parked: a lost session and a passed deadline leave it alone', async () => {
    const store = await open()
    const { engine } = store
    const graph = graphOf({ outer: { feeds: 0, options: { timeout: 1_000, expires: 2_000 } } }, [{}])
    await engine.submit([submission(graph)])
    const gone = await hand(engine)
    await gone.settle(
      await gone.take('outer'),
      continued(graphOf({ inner: { feeds: 0, options: { startIn: 120_000 } } }, [{}])),
    )
    await goOn(store, 120_000)
    expect(await statesOf(engine, graph)).toEqual({ outer: 'waiting', inner: 'queued' })
    const worker = await hand(engine)
    await worker.succeed(await worker.take('inner'))
    expect(await collectionState(engine, graph)).toBe('succeeded')
  })

  test('settles by batch what is continued and what waits for it', async () => {
    const { engine } = await open()
    const graph = chordOf(['a', 'b'])
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const [a, b] = await worker.claim(2)
    if (!a || !b) throw new Error('Expected two jobs.')
    const answers = await engine.settle([
      { ref: a.ref, token: a.token, outcome: continued({ ...graphOf({}, [{}]), shape: 'nothing' }) },
      { ref: b.ref, token: b.token, outcome: succeeded(2) },
    ])
    expect(answers).toEqual(['accepted', 'accepted'])
    expect(await statesOf(engine, graph)).toEqual({ a: 'succeeded', b: 'succeeded', body: 'queued' })
  })

  test('inner siblings go on when one fails, and the outer job fails after the last', async () => {
    const { engine } = await open()
    const graph = alone('outer')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.settle(await worker.take(), continued(groupOf('a', 'b')))
    const [a, b] = await worker.claim(2)
    if (!a || !b) throw new Error('Expected two jobs.')
    await worker.settle(a, failed('First'))
    expect(await statesOf(engine, graph)).toMatchObject({ outer: 'waiting' })
    await worker.succeed(b)
    expect((await jobsOf(engine, graph))['outer']).toMatchObject({ state: 'failed', failure: { message: 'First' } })
  })
})
