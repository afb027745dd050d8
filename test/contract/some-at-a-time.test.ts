import { expect, test } from 'vitest'
import type { Graph, GraphJob } from '../../src/core/graph.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { partsOf } from '../../src/engine/parts.ts'
import { alone, chainOf, groupOf, plainJob, submission } from '../fixtures/graphs.ts'
import { continued, failed, hand, lease, sweepAll } from '../fixtures/hand.ts'
import { countRequests, measureAnswers } from '../fixtures/requests.ts'
import { onEveryEngine } from '../fixtures/store.ts'

/** What holds up everybody while it is done, a script of Redis or a transaction on the event loop of SQLite, goes over large things in parts. */

const group = (count: number): Graph => ({
  ...groupOf(),
  jobs: Array.from({ length: count }, (): GraphJob => ({ ...plainJob('member'), feeds: 0 })),
  barriers: [{ inputs: count, feeds: null, gate: null }],
  exit: 0,
})

async function store(engine: Engine, graph: Graph): Promise<void> {
  const parts = partsOf(graph, engine.partSize)
  for (let part = 0; parts.length > 1 && part < parts.length; part++) await engine.upload(graph, part, null)
  await engine.submit([submission(graph)])
}

const isOneOf = (engine: Engine, ...names: readonly string[]): boolean => names.includes(engine.name)

onEveryEngine((open) => {
  test('the jobs of a session that holds 2,600 are compared some at a time', async () => {
    const { engine, clock } = await open()
    const graphs = Array.from({ length: 2_600 }, () => alone())
    await engine.submit(graphs.map((graph) => submission(graph)))
    const worker = await hand(engine)
    const jobs = [...(await worker.claim(1_000)), ...(await worker.claim(1_000)), ...(await worker.claim(600))]
    const held = jobs.map(({ id, ref, token }) => ({ id, ref, token }))
    const requests = countRequests()
    expect(await worker.beat({ held })).toEqual({ lost: [], toCancel: [] })
    if (isOneOf(engine, 'redis', 'sqlite')) expect(requests()).toBeGreaterThanOrEqual(6)
    await engine.cancel({ jobId: held[1_700]!.id })
    const wrong = held.with(2_500, { ...held[2_500]!, token: held[2_500]!.token + 1 })
    expect(await worker.beat({ held: wrong })).toEqual({
      lost: [{ id: wrong[2_500]!.id, token: wrong[2_500]!.token }],
      toCancel: [{ id: held[1_700]!.id, token: held[1_700]!.token }],
    })
    // Claimed a lease ago and not listed: given back, also where the list is short.
    clock.pass(lease)
    expect((await worker.beat({ held: held.slice(0, 1_300) })).lost).toEqual([])
    expect((await engine.counts({})).jobs).toMatchObject({ running: 1_300, queued: 1_299, cancelled: 1 })
    clock.pass(lease / 2)
    await worker.beat({ held: held.slice(0, 3) })
    expect((await engine.counts({})).jobs).toMatchObject({ running: 3, queued: 2_596, cancelled: 1 })
  })

  test('a session that runs 2,600 jobs gives them back some at a time before it ends', async () => {
    const { engine } = await open()
    await engine.submit(Array.from({ length: 2_600 }, () => submission(alone())))
    const worker = await hand(engine)
    for (const count of [1_000, 1_000, 600]) expect(await worker.claim(count)).toHaveLength(count)
    const requests = countRequests()
    await worker.beat({ held: [], ended: true })
    if (isOneOf(engine, 'redis', 'sqlite')) expect(requests()).toBeGreaterThanOrEqual(6)
    expect((await engine.counts({})).jobs).toMatchObject({ running: 0, queued: 2_600 })
    expect(await engine.workers()).toMatchObject([{ state: 'ended', runningCount: 0 }])
  })

  test('of 3,000 queues and 1,500 running jobs some are counted at a time', async () => {
    const { engine, clock } = await open()
    const name = (at: number): string => `q${String(at).padStart(4, '0')}`
    const worker = await hand(engine)
    await engine.submit(Array.from({ length: 1_500 }, () => submission(alone('task', { queue: 'busy' }))))
    for (const count of [1_000, 500]) expect(await worker.claim(count)).toHaveLength(count)
    for (let at = 0; at < 3_000; at += 1_000) {
      const some = Array.from({ length: 1_000 }, (_, n) => name(at + n))
      await engine.submit(
        some.map((queue) => submission(alone('task', { queue, ...(queue < 'q1' && { startIn: 1_000 }) }))),
      )
    }
    const odd = name(2_999)
    await engine.putQueues([
      { name: odd, paused: true },
      { name: 'empty', paused: true },
    ])
    await sweepAll(engine, clock.now())
    const requests = countRequests()
    const largest = measureAnswers()
    const queues = await engine.queues()
    if (isOneOf(engine, 'redis')) {
      expect(requests()).toBeGreaterThanOrEqual(6)
      // Of 3,000 queues no more is told at a time, and no more handed on.
      expect(largest()).toBeLessThan(30_000)
    }
    const none = { waiting: 0, scheduled: 0, queued: 0, running: 0 }
    expect(queues).toEqual([
      { name: 'busy', paused: false, counts: { ...none, running: 1_500 } },
      { name: 'default', paused: false, counts: none },
      { name: 'empty', paused: true, counts: none },
      ...Array.from({ length: 3_000 }, (_, at) => ({
        name: name(at),
        paused: name(at) === odd,
        counts: at < 1_000 ? { ...none, scheduled: 1 } : { ...none, queued: 1 },
      })),
    ])
  })

  test('a page of jobs of which each waits for many others is read some at a time', async () => {
    const { engine, clock } = await open()
    const [count, width] = [60, 100]
    const jobs = Array.from({ length: count * width }, (_, at): GraphJob => ({
      ...plainJob('before'),
      feeds: Math.floor(at / width),
    }))
    const behind = Array.from({ length: count }, (_, at): GraphJob => ({
      ...plainJob('behind'),
      behind: at,
      feeds: count,
    }))
    const graph: Graph = {
      ...groupOf(),
      jobs: [...jobs, ...behind],
      barriers: Array.from({ length: count + 1 }, (_, at) => ({
        inputs: at < count ? width : count,
        feeds: null,
        gate: null,
      })),
      exit: count,
    }
    await store(engine, graph)
    await sweepAll(engine, clock.now())
    const requests = countRequests()
    const { items } = await engine.jobs({ limit: count })
    if (isOneOf(engine, 'redis')) expect(requests()).toBeGreaterThanOrEqual(8)
    expect(items.map(({ id }) => id)).toEqual(behind.map(({ id }) => id).reverse())
    const ids = jobs.map(({ id }) => id)
    for (const [at, item] of items.toReversed().entries())
      expect(item.after).toEqual(ids.slice(at * width, (at + 1) * width))
  })

  test('a list of the jobs of a collection passes over those of others between its graphs', async () => {
    const { engine } = await open()
    const graph = chainOf('outer', 'after')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const outer = await worker.take('outer')
    const others = 12_000
    for (let at = 0; at < others; at += 1_000)
      await engine.submit(Array.from({ length: 1_000 }, () => submission(alone('other'))))
    await worker.settle(outer, continued(chainOf('first', 'second')))
    const inner = await engine.job(outer.id)
    expect(inner?.continued).toBe(true)
    const first = await worker.claim(1)
    expect(first).toHaveLength(1)
    const requests = countRequests()
    const tasks: string[] = []
    for (let cursor: string | undefined; ;) {
      const page = await engine.jobs({ limit: 1, collectionId: graph.id, ...(cursor !== undefined && { cursor }) })
      tasks.push(...page.items.map(({ task }) => task))
      if (page.next === null) break
      cursor = page.next
    }
    expect(tasks).toEqual(['second', 'first', 'after', 'outer'])
    if (isOneOf(engine, 'redis')) expect(requests()).toBeLessThanOrEqual(12)
  })

  test('a list of the jobs of a collection of 250 graphs has them all, whatever its pages', async () => {
    const { engine, clock } = await open()
    const graph = group(250)
    await store(engine, graph)
    const worker = await hand(engine)
    const inner: string[] = []
    for (const { ref, token } of await worker.claim(250)) {
      const canvas = inner.length % 2 === 0 ? groupOf('one', 'two') : groupOf('one')
      inner.push(...canvas.jobs.map(({ id }) => id))
      await engine.settle([{ ref, token, outcome: continued(canvas) }])
    }
    await sweepAll(engine, clock.now())
    const wanted = [...graph.jobs.map(({ id }) => id), ...inner].reverse()
    for (const limit of [7, 100, 1_000]) {
      const found: string[] = []
      for (let cursor: string | undefined; ;) {
        const page = await engine.jobs({ limit, collectionId: graph.id, ...(cursor !== undefined && { cursor }) })
        found.push(...page.items.map(({ id }) => id))
        if (page.next === null) break
        cursor = page.next
      }
      expect(found).toEqual(wanted)
    }
  })

  test('a collection of 6,000 jobs is told some of them at a time, with the failure that came first', async () => {
    const { engine, clock } = await open()
    const graph = group(6_000)
    await store(engine, graph)
    await sweepAll(engine, clock.now())
    const worker = await hand(engine)
    const jobs = await worker.claim(1_000)
    for (const [at, job] of [jobs[900]!, jobs[10]!].entries()) {
      await worker.settle(job, failed(`failure ${at}`))
      clock.pass(1)
    }
    const requests = countRequests()
    const brief = await engine.collection(graph.id, { jobs: false })
    const [listed] = (await engine.collections({ limit: 5 })).items
    if (isOneOf(engine, 'sqlite')) expect(requests()).toBeGreaterThanOrEqual(6)
    const counts = { running: 998, failed: 2, queued: 5_000 }
    for (const told of [brief, listed, await engine.collection(graph.id)]) {
      expect(told).toMatchObject({ counts, failedJobId: jobs[900]!.id, progress: { done: 2, total: 6_000 } })
      expect(told?.failure?.message).toBe('failure 0')
    }
    const before = requests()
    const { jobs: told } = (await engine.collection(graph.id))!
    expect(told.map(({ id }) => id)).toEqual(graph.jobs.map(({ id }) => id))
    if (isOneOf(engine, 'sqlite')) expect(requests() - before).toBeGreaterThanOrEqual(6)
  })
})
