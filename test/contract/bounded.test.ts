import { expect, test } from 'vitest'
import type { CollectionDetail as Detail } from '../../src/core/collection.ts'
import type { Graph, GraphJob } from '../../src/core/graph.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { partsOf } from '../../src/engine/parts.ts'
import { alone, chainOf, groupOf, plainJob, sideJob, submission } from '../fixtures/graphs.ts'
import { continued, failed, hand, lease, statesOf, succeeded, sweepAll } from '../fixtures/hand.ts'
import { countRequests } from '../fixtures/requests.ts'
import { onEveryEngine, type Store } from '../fixtures/store.ts'

/** One call of the store touches a bounded number of rows, however large what it is about. */

const group = (count: number): Graph => ({
  ...groupOf(),
  jobs: Array.from({ length: count }, (): GraphJob => ({ ...plainJob('member'), feeds: 0 })),
  barriers: [{ inputs: count, feeds: null, gate: null }],
  exit: 0,
})

async function upload(engine: Engine, graph: Graph, within: Parameters<Engine['upload']>[2] = null): Promise<void> {
  const parts = partsOf(graph, engine.partSize)
  for (let part = 0; parts.length > 1 && part < parts.length; part++) await engine.upload(graph, part, within)
}

onEveryEngine((open) => {
  test('the retry of a job that continued as thousands puts some of them back, and later calls the others', async () => {
    const { engine, clock, second } = await open()
    const [graph, inner] = [chainOf('outer', 'after'), group(5_000)]
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const outer = await worker.take('outer')
    await upload(engine, inner, outer)
    await worker.settle(outer, continued(inner))
    await sweepAll(engine, clock.now())
    const ran = await worker.drain(() => failed())
    expect(ran).toHaveLength(5_000)
    await sweepAll(engine, clock.now())
    const other = second()
    expect((await other.collection(graph.id))?.counts).toMatchObject({ failed: 5_001, skipped: 1 })
    const retry = { selection: { jobId: outer.id }, expectedRound: 1, mode: 'failed' } as const
    expect(await engine.retry(retry)).toBe('retried')
    // Nobody goes on with it here.
    void engine.close()
    expect((await other.job(outer.id))?.state).toBe('waiting')
    expect((await other.collection(graph.id))?.counts.failed).toBeGreaterThan(1_000)
    await sweepAll(other, clock.now())
    expect((await other.collection(graph.id))?.counts).toMatchObject({ queued: 5_000, waiting: 2 })
    const heir = await hand(other)
    expect(await heir.drain()).toHaveLength(5_001)
    expect((await other.collection(graph.id))?.state).toBe('succeeded')
  })

  test('where a retry mends the first failure of 12,500 jobs, the next one is looked for some jobs at a time', async () => {
    const { engine, clock, second } = await open()
    const graph = group(12_500)
    await upload(engine, graph)
    await engine.submit([submission(graph)])
    await sweepAll(engine, clock.now())
    const worker = await hand(engine)
    const [first, last] = [graph.jobs[0]!.id, graph.jobs.at(-1)!.id]
    await worker.drain(({ id }) => (id === first || id === last ? failed(id) : succeeded(1)))
    await sweepAll(engine, clock.now())
    const retry = { selection: { jobId: first }, expectedRound: 1, mode: 'failed' } as const
    expect(await engine.retry(retry)).toBe('retried')
    await sweepAll(engine, clock.now())
    await worker.succeed(await worker.take())
    // Nobody goes on with it here.
    void engine.close()
    const other = second()
    expect((await other.collection(graph.id, { jobs: false }))?.state).toBe('running')
    await sweepAll(other, clock.now())
    expect(await other.collection(graph.id, { jobs: false })).toMatchObject({ state: 'failed', failedJobId: last })
  })

  test('12,500 jobs that were not needed are no cause for what stands behind them', async () => {
    const { engine, clock } = await open()
    const side = (): GraphJob => ({ ...plainJob('side'), ...sideJob('failure', 0), feeds: 1 })
    const graph: Graph = {
      ...groupOf(),
      jobs: [
        { ...plainJob('main'), feeds: 0 },
        ...Array.from({ length: 12_500 }, side),
        { ...plainJob('always'), ...sideJob('always', 1) },
        { ...plainJob('failure'), ...sideJob('failure', 1) },
      ],
      barriers: [
        { inputs: 1, feeds: null, gate: null },
        { inputs: 12_500, feeds: null, gate: 0 },
      ],
      exit: 0,
    }
    await upload(engine, graph)
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    await worker.succeed(await worker.take('main'))
    await sweepAll(engine, clock.now())
    expect(await worker.claim(10)).toEqual([])
    const { items } = await engine.jobs({ limit: 5, task: 'always' })
    expect(items).toMatchObject([{ state: 'skipped', reason: 'not-needed' }])
    expect((await engine.collection(graph.id, { jobs: false }))?.counts).toMatchObject({ succeeded: 1, skipped: 0 })
  })

  /** Claims the job of this task, runs all others with their place for a result, and reads its results by pages where they did not come along. */
  const readInput = async ({ engine, clock }: Store, graph: Graph) => {
    await upload(engine, graph)
    await engine.submit([submission(graph)])
    await sweepAll(engine, clock.now())
    const worker = await hand(engine)
    const place = new Map(graph.jobs.map(({ id }, at) => [id, at]))
    for (let jobs = await worker.claim(500); jobs[0]?.task !== 'body'; jobs = await worker.claim(500)) {
      if (jobs.length === 0) throw new Error('Nothing is queued.')
      await engine.settle(jobs.map(({ ref, token, id }) => ({ ref, token, outcome: succeeded(place.get(id)) })))
      await sweepAll(engine, clock.now())
      if ((await engine.collection(graph.id, { jobs: false }))!.counts.queued === 1) break
    }
    const { input } = await worker.take('body')
    if (input.from !== 'results') throw new Error('Expected results.')
    const pages: number[] = []
    const results: unknown[] = []
    for (let after: string | null = null; input.results === null;) {
      const page = await engine.results(input.barrier, after)
      pages.push(page.results.length)
      for (const result of page.results) results.push('json' in result && JSON.parse(result.json!))
      if (page.next === null) break
      after = page.next
    }
    return { input, pages, results }
  }
  const body = (behind: number, feeds: number): GraphJob => ({
    ...plainJob('body'),
    behind,
    feeds,
    input: { from: 'results', shape: 'list' },
  })

  test('more than 1,000 results, however short, come by pages', async () => {
    const many = group(2_500)
    const graph: Graph = {
      ...many,
      jobs: [...many.jobs, body(0, 1)],
      barriers: [many.barriers[0]!, { inputs: 1, feeds: null, gate: null }],
      exit: 1,
    }
    const { input, pages, results } = await readInput(await open(), graph)
    expect(input.results).toBeNull()
    expect(Math.max(...pages)).toBeLessThanOrEqual(1_000)
    expect(results).toEqual(Array.from({ length: 2_500 }, (_, at) => at))
  })

  test('what is told of 2,500 jobs counts them all', async () => {
    const { engine, clock } = await open()
    const many = group(2_500)
    const after = { ...plainJob('after'), ...sideJob('always', 0, { from: 'summary', first: 0, last: 2_499 }) }
    const graph: Graph = { ...many, jobs: [...many.jobs, after] }
    await upload(engine, graph)
    await engine.submit([submission(graph)])
    await sweepAll(engine, clock.now())
    const worker = await hand(engine)
    const running = [...(await worker.claim(1_000)), ...(await worker.claim(1_000)), ...(await worker.claim(500))]
    for (const [at, job] of running.entries()) if (at % 100 === 0) await worker.fail(job)
    const rest = running.filter((_, at) => at % 100 > 0)
    await engine.settle(rest.map(({ ref, token }) => ({ ref, token, outcome: succeeded(1) })))
    const requests = countRequests()
    const { input } = await worker.take('after')
    expect(input).toMatchObject({
      from: 'summary',
      state: 'failed',
      counts: { succeeded: 2_475, failed: 25, queued: 0 },
    })
    // A script of Redis goes through no more than a thousand.
    if (engine.url?.startsWith('redis')) expect(requests()).toBeGreaterThanOrEqual(4)
  })

  test('a collection of which 1,300 jobs continued is read, retried, cancelled and removed some of them at a time', async () => {
    const { engine, clock } = await open()
    const graph = group(1_300)
    await upload(engine, graph)
    await engine.submit([submission(graph)])
    await sweepAll(engine, clock.now())
    const worker = await hand(engine)
    const inner: string[] = []
    while (inner.length < 1_300) {
      const jobs = await worker.claim(Math.min(500, 1_300 - inner.length))
      const settlements = jobs.map(({ ref, token }) => {
        const canvas = groupOf('inner')
        inner.push(canvas.jobs[0]!.id)
        return { ref, token, outcome: continued(canvas) }
      })
      await engine.settle(settlements)
    }
    const detail = async (): Promise<Detail> => (await engine.collection(graph.id))!
    const requests = countRequests()
    const { jobs, counts } = await detail()
    expect(jobs.map(({ id }) => id).sort()).toEqual([...graph.jobs.map(({ id }) => id), ...inner].sort())
    expect(counts).toMatchObject({ waiting: 1_300, queued: 1_300 })
    expect(requests()).toBeLessThan(30)
    await worker.drain(({ id }) => (id === inner.at(-1) ? failed(id) : succeeded(1)))
    await sweepAll(engine, clock.now())
    expect(await detail()).toMatchObject({ state: 'failed', counts: { succeeded: 2_598, failed: 2 } })
    const retry = { selection: { collectionId: graph.id }, expectedRound: 1, mode: 'failed' } as const
    expect(await engine.retry(retry)).toBe('retried')
    await sweepAll(engine, clock.now())
    expect(await worker.drain()).toEqual(['inner'])
    expect(await detail()).toMatchObject({ state: 'succeeded', counts: { succeeded: 2_600 } })
    expect(await engine.retry({ ...retry, expectedRound: 2, mode: 'all' })).toBe('retried')
    await sweepAll(engine, clock.now())
    expect(await detail()).toMatchObject({ state: 'running', counts: { queued: 1_300 } })
    await engine.cancel({ collectionId: graph.id })
    await sweepAll(engine, clock.now())
    expect(await detail()).toMatchObject({ state: 'cancelled', counts: { cancelled: 1_300 } })
    expect(await engine.remove(graph.id)).toBe('removed')
    await sweepAll(engine, clock.now())
    for (const id of [inner[0]!, inner.at(-1)!, graph.jobs[0]!.id]) expect(await engine.job(id)).toBeNull()
  })

  test('1,100 jobs that continued as nothing are run again and removed', async () => {
    const { engine, clock } = await open()
    const graph = group(1_100)
    await upload(engine, graph)
    await engine.submit([submission(graph)])
    await sweepAll(engine, clock.now())
    const worker = await hand(engine)
    await worker.drain(() => continued({ ...groupOf(), barriers: [{ inputs: 0, feeds: null, gate: null }], exit: 0 }))
    const retry = { selection: { collectionId: graph.id }, expectedRound: 1, mode: 'all' } as const
    expect(await engine.retry(retry)).toBe('retried')
    await sweepAll(engine, clock.now())
    expect(await worker.drain()).toHaveLength(1_100)
    expect((await engine.collection(graph.id))?.counts.succeeded).toBe(1_100)
    expect(await engine.remove(graph.id)).toBe('removed')
    await sweepAll(engine, clock.now())
    expect((await engine.jobs({ limit: 1 })).items).toEqual([])
  })

  test('a page of the results of 800 canvases looks at some of their jobs only', async () => {
    const count = 800
    // Each is three jobs, of which the last two stand behind the first, and has a barrier of its own.
    const jobs = Array.from({ length: 3 * count }, (_, at): GraphJob => {
      const canvas = Math.floor(at / 3)
      return {
        ...plainJob('member'),
        ...(at % 3 === 0 ? { feeds: canvas } : { behind: canvas, feeds: count + canvas }),
      }
    })
    const outer = 2 * count
    const graph: Graph = {
      ...groupOf(),
      jobs: [...jobs, body(outer, outer + 1)],
      barriers: [
        ...Array.from({ length: count }, () => ({ inputs: 1, feeds: null, gate: null })),
        ...Array.from({ length: count }, () => ({ inputs: 2, feeds: outer, gate: null })),
        { inputs: count, feeds: null, gate: null },
        { inputs: 1, feeds: null, gate: null },
      ],
      exit: outer + 1,
    }
    const { input, pages, results } = await readInput(await open(), graph)
    expect(input.results).toBeNull()
    // Of 2,400 jobs 1,600 have a result.
    expect(pages.length).toBeGreaterThanOrEqual(3)
    expect(results).toEqual(Array.from({ length: 3 * count }, (_, at) => at).filter((at) => at % 3 > 0))
  })

  test('a store that is left gives back what ran in it some jobs at a time', async () => {
    const leave = async ({ engine, clock }: Store): Promise<void> => {
      clock.pass(lease + 1)
      await engine.transfer.leave({ id: 'copy', from: 'here', to: 'there' }, false)
    }
    const idle = await open()
    await hand(idle.engine)
    const requests = countRequests()
    await leave(idle)
    const least = requests()
    const busy = await open()
    const graphs = Array.from({ length: 2_000 }, () => alone())
    await busy.engine.submit(graphs.map((graph) => submission(graph)))
    const workers = [await hand(busy.engine), await hand(busy.engine)]
    for (let n = 0; n < 4; n++) expect(await workers[n % 2]!.claim(500)).toHaveLength(500)
    await busy.engine.cancel({ jobId: graphs[7]!.id })
    const before = requests()
    await leave(busy)
    expect(requests() - before - least).toBeGreaterThanOrEqual(4)
    await busy.engine.transfer.stay()
    expect(await statesOf(busy.engine, graphs[7]!)).toEqual({ task: 'cancelled' })
    expect((await busy.engine.counts({})).jobs).toMatchObject({ running: 0, cancelled: 1, queued: 1_999 })
  })
})
