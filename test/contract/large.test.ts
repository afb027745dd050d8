import { expect, test } from 'vitest'
import type { Graph, GraphJob } from '../../src/core/graph.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { changesAfter } from '../fixtures/follow.ts'
import { chainOf, graphOf, plainJob, submission } from '../fixtures/graphs.ts'
import {
  collectionState,
  continued,
  failed,
  goOn,
  hand,
  type Hand,
  jobsOf,
  succeeded,
  sweepAll,
} from '../fixtures/hand.ts'
import { onEveryEngine, type Store } from '../fixtures/store.ts'

/** A header of `count` jobs before a body. */
function wide(count: number): Graph {
  const header = Array.from({ length: count }, (): GraphJob => ({ ...plainJob('member'), feeds: 0 }))
  const body: GraphJob = { ...plainJob('body'), behind: 0, feeds: 1, input: { from: 'results', shape: 'list' } }
  const { id } = chainOf('x')
  return {
    id,
    jobs: [...header, body],
    barriers: [
      { inputs: count, feeds: null, gate: null },
      { inputs: 1, feeds: null, gate: null },
    ],
    exit: 1,
    shape: 's',
  }
}

/** One job, and `count` behind it. */
function fan(count: number): Graph {
  const followers = Array.from({ length: count }, (): GraphJob => ({ ...plainJob('member'), behind: 0, feeds: 1 }))
  const { id } = chainOf('x')
  return {
    id,
    jobs: [{ ...plainJob('first'), feeds: 0 }, ...followers],
    barriers: [
      { inputs: 1, feeds: null, gate: null },
      { inputs: count, feeds: null, gate: null },
    ],
    exit: 1,
    shape: 's',
  }
}

async function upload(engine: Engine, graph: Graph, within: Parameters<Engine['upload']>[2] = null): Promise<void> {
  for (let part = 0; part * engine.partSize < graph.jobs.length; part++) await engine.upload(graph, part, within)
}

onEveryEngine((open) => {
  const stored = async (graph: Graph): Promise<Store & { worker: Hand }> => {
    const store = await open()
    if (graph.jobs.length > store.engine.partSize) await upload(store.engine, graph)
    await store.engine.submit([submission(graph)])
    return { ...store, worker: await hand(store.engine) }
  }
  /** Runs all there is, sweeping between, until neither finds anything to do. */
  const finish = async (
    { engine, clock, worker }: Store & { worker: Hand },
    outcome = () => succeeded(1),
  ): Promise<number> => {
    let ran = 0
    for (let idle = 0; idle < 2;) {
      await sweepAll(engine, clock.now())
      const tasks = await worker.drain(outcome)
      ran += tasks.length
      idle = tasks.length === 0 ? idle + 1 : 0
    }
    return ran
  }

  test('a graph in parts is not there until it is sealed, and then is there whole', async () => {
    const { engine, clock, second } = await open()
    const graph = wide(2_500)
    const start = await engine.cursor()
    await upload(engine, graph)
    await sweepAll(engine, clock.now())
    expect(await engine.collection(graph.id)).toBeNull()
    expect((await engine.collections({ limit: 10 })).items).toEqual([])
    expect((await engine.jobs({ limit: 10 })).items).toEqual([])
    expect(await changesAfter(engine, start)).toEqual([])
    const worker = await hand(second())
    expect(await worker.claim(10)).toEqual([])
    expect(await engine.submit([submission(graph)])).toMatchObject([{ type: 'created' }])
    await sweepAll(engine, clock.now())
    expect((await engine.collection(graph.id))?.counts).toMatchObject({ queued: 2_500, waiting: 1 })
    expect(await engine.submit([submission(graph)])).toEqual([{ type: 'existing', collectionId: graph.id }])
    expect(await finish({ engine, clock, second, worker })).toBe(2_501)
    expect(await collectionState(engine, graph)).toBe('succeeded')
  })

  test('parts may be sent again', async () => {
    const { engine, clock, second } = await open()
    const graph = wide(2_500)
    await upload(engine, graph)
    await upload(engine, graph)
    await engine.upload(graph, 1, null)
    await engine.submit([submission(graph)])
    await upload(engine, graph).catch(() => null)
    const worker = await hand(engine)
    expect(await finish({ engine, clock, second, worker })).toBe(2_501)
    const detail = await engine.collection(graph.id)
    expect(detail?.jobs.map((job) => job.id)).toEqual(graph.jobs.map((job) => job.id))
  })

  test('a body behind many is given every result, in order', async () => {
    const store = await stored(wide(2_500))
    const { engine, clock, worker } = store
    await sweepAll(engine, clock.now())
    let place = 0
    for (let jobs = await worker.claim(500); jobs[0]?.task === 'member'; jobs = await worker.claim(500)) {
      await engine.settle(jobs.map((job) => ({ ref: job.ref, token: job.token, outcome: succeeded(place++) })))
      if (place === 2_500) break
    }
    await sweepAll(engine, clock.now())
    const { input } = await worker.take('body')
    if (input.from !== 'results') throw new Error('Expected results.')
    const results = [...(input.results ?? [])]
    if (input.results === null) {
      for (let after: string | null = null; ;) {
        const page = await engine.results(input.barrier, after)
        results.push(...page.results)
        if (page.next === null) break
        after = page.next
      }
    }
    expect(results.map((result) => ('json' in result ? Number(result.json) : null))).toEqual(
      Array.from({ length: 2_500 }, (_, index) => index),
    )
  })

  test('a failure skips five thousand behind it', async () => {
    const graph = fan(5_000)
    const store = await stored(graph)
    await sweepAll(store.engine, store.clock.now())
    expect(await finish(store, () => failed())).toBe(1)
    expect(await store.engine.collection(graph.id)).toMatchObject({
      state: 'failed',
      counts: { failed: 1, skipped: 5_000, waiting: 0 },
    })
  })

  test('a success releases five thousand behind it, each once', async () => {
    const graph = fan(5_000)
    const store = await stored(graph)
    expect(await finish(store)).toBe(5_001)
    expect(await store.engine.collection(graph.id)).toMatchObject({ state: 'succeeded', counts: { succeeded: 5_001 } })
  })

  test('a chain of links that is skipped whole', async () => {
    const count = 1_500
    const jobs = Array.from({ length: count }, (_, index): GraphJob => ({
      ...plainJob(`link-${index}`),
      behind: index === 0 ? null : index - 1,
      feeds: index,
    }))
    const graph: Graph = {
      id: chainOf('x').id,
      jobs,
      barriers: jobs.map(() => ({ inputs: 1, feeds: null, gate: null })),
      exit: count - 1,
      shape: 's',
    }
    const store = await stored(graph)
    expect(await finish(store, () => failed())).toBe(1)
    expect(await store.engine.collection(graph.id)).toMatchObject({
      state: 'failed',
      counts: { failed: 1, skipped: count - 1 },
    })
  })

  test('cancelling five thousand takes effect at once, though it ends later', async () => {
    const graph = wide(5_000)
    const store = await stored(graph)
    const { engine, clock, worker } = store
    await sweepAll(engine, clock.now())
    const running = await worker.claim(10)
    expect(await engine.cancel({ collectionId: graph.id })).toBe('marked')
    // What somebody still claims meanwhile comes to nothing.
    const late = await (await hand(engine)).claim(10)
    for (const job of [...running, ...late]) expect(await worker.succeed(job)).toBe('cancelled')
    await sweepAll(engine, clock.now())
    expect(await engine.collection(graph.id)).toMatchObject({
      state: 'cancelled',
      counts: { cancelled: 5_001, queued: 0, waiting: 0 },
    })
  })

  test('retrying five thousand runs exactly those, then the body', async () => {
    const graph = wide(5_000)
    const store = await stored(graph)
    const { engine, clock } = store
    let count = 0
    await finish(store, () => (count++ < 10 ? succeeded(1) : failed()))
    expect(await engine.collection(graph.id)).toMatchObject({
      state: 'failed',
      counts: { failed: 4_990, skipped: 1, succeeded: 10 },
    })
    expect(await engine.retry({ selection: { collectionId: graph.id }, expectedRound: 1, mode: 'failed' })).toBe(
      'retried',
    )
    await sweepAll(engine, clock.now())
    expect(await finish(store)).toBe(4_991)
    expect(await engine.collection(graph.id)).toMatchObject({
      state: 'succeeded',
      round: 2,
      counts: { succeeded: 5_001 },
    })
  })

  test('retrying five thousand with mode all while workers already claim', async () => {
    const graph = wide(5_000)
    const store = await stored(graph)
    await finish(store)
    expect(await store.engine.retry({ selection: { collectionId: graph.id }, expectedRound: 1, mode: 'all' })).toBe(
      'retried',
    )
    expect(await finish(store)).toBe(5_001)
    expect(await store.engine.collection(graph.id)).toMatchObject({
      state: 'succeeded',
      round: 2,
      counts: { succeeded: 5_001 },
    })
    expect((await store.engine.collection(graph.id))?.jobs.every((job) => job.attempt === 2)).toBe(true)
  })

  test('a continuation in parts', async () => {
    const store = await stored(chainOf('outer', 'after'))
    const { engine, worker } = store
    const job = await worker.take('outer')
    const inner = wide(2_500)
    await upload(engine, inner, { ref: job.ref, token: job.token })
    expect(await worker.settle(job, continued(inner))).toBe('accepted')
    expect(await worker.settle(job, continued(inner))).toBe('accepted')
    expect(await finish(store)).toBe(2_502)
    expect(await collectionState(engine, { id: job.collectionId })).toBe('succeeded')
    expect((await engine.collection(job.collectionId))?.jobs).toHaveLength(2_503)
  })

  test('cancelling a job that continued as many reaches them all', async () => {
    const graph = chainOf('outer', 'after')
    const store = await stored(graph)
    const { engine, clock, worker } = store
    const job = await worker.take('outer')
    const inner = wide(2_500)
    await upload(engine, inner, { ref: job.ref, token: job.token })
    await worker.settle(job, continued(inner))
    await sweepAll(engine, clock.now())
    expect(await engine.cancel({ jobId: job.id })).toMatch(/marked|cancelled/)
    await sweepAll(engine, clock.now())
    expect(await worker.claim(10)).toEqual([])
    expect((await jobsOf(engine, graph))['outer']).toMatchObject({ state: 'cancelled' })
    expect(await engine.collection(graph.id)).toMatchObject({
      state: 'cancelled',
      counts: { cancelled: 2_502, skipped: 1 },
    })
  })

  test('removing five thousand leaves nothing, and is gone to readers at once', async () => {
    const graph = wide(5_000)
    const store = await stored(graph)
    const { engine, clock } = store
    await finish(store)
    expect(await engine.remove(graph.id)).toBe('removed')
    expect(await engine.collection(graph.id)).toBeNull()
    expect((await engine.collections({ limit: 5 })).items).toEqual([])
    expect(await engine.remove(graph.id)).toBe('not-found')
    await sweepAll(engine, clock.now())
    expect((await engine.jobs({ limit: 5 })).items).toEqual([])
    expect(await engine.job(graph.jobs.at(-1)?.id ?? '')).toBeNull()
    expect(await engine.submit([submission(graphOf({ a: {} }))])).toMatchObject([{ type: 'created' }])
  })

  test('parts that are never sealed are removed after an hour', async () => {
    const store = await open()
    const { engine, clock } = store
    const graph = wide(2_500)
    await upload(engine, graph)
    clock.pass(3_600_000)
    await goOn(store, 120_000, await hand(engine))
    await sweepAll(engine, clock.now())
    await expect(engine.submit([submission(graph)])).rejects.toThrow()
    await upload(engine, graph)
    expect(await engine.submit([submission(graph)])).toMatchObject([{ type: 'created' }])
  })

  test('a part that comes again after all is sealed changes nothing', async () => {
    const graph = wide(1_500)
    const { engine, worker } = await stored(graph)
    const [first] = await worker.claim()
    await engine.upload(graph, 0, null)
    expect(await engine.submit([submission(graph)])).toEqual([{ type: 'existing', collectionId: graph.id }])
    expect(await engine.job(first?.id ?? '')).toMatchObject({ state: 'running', collectionId: graph.id })
    // The second half of its entries is let go by a request of its own, which may still be under way.
    await expect
      .poll(async () => (await engine.collection(graph.id))?.counts)
      .toMatchObject({ running: 1, queued: 1_499, waiting: 1 })
  })

  test('five thousand in one fail-fast group', async () => {
    const graph = wide(5_000)
    const scoped = { ...graph, jobs: graph.jobs.map((job) => (job.task === 'member' ? { ...job, scope: 0 } : job)) }
    const store = await stored(scoped)
    const { engine, clock, worker } = store
    await sweepAll(engine, clock.now())
    await worker.fail(await worker.take('member'))
    await sweepAll(engine, clock.now())
    expect(await worker.claim(10)).toEqual([])
    expect(await engine.collection(graph.id)).toMatchObject({
      state: 'failed',
      counts: { failed: 1, cancelled: 4_999, skipped: 1 },
    })
  })

  test('a call looks at a bounded number of jobs to find why a collection did not succeed', async () => {
    const { engine, clock, worker, second } = await stored(wide(12_500))
    const [first] = await worker.claim(1)
    await engine.cancel({ jobId: first!.id })
    await worker.settle(first!, { type: 'cancelled' })
    const [last] = await worker.claim(1)
    for (let jobs = await worker.claim(1_000); jobs.length > 0; jobs = await worker.claim(1_000))
      await engine.settle(jobs.map(({ ref, token }) => ({ ref, token, outcome: succeeded(1) })))
    expect(await worker.succeed(last!)).toBe('accepted')
    // Nobody goes on with it here.
    void engine.close()
    const other = second()
    expect((await other.collection(first!.collectionId, { jobs: false }))?.state).toBe('running')
    await sweepAll(other, clock.now())
    expect((await other.collection(first!.collectionId, { jobs: false }))?.state).toBe('cancelled')
  })
})
