import { expect, test } from 'vitest'
import type { Graph } from '../../src/core/graph.ts'
import type { JobRecord, StoredOptions } from '../../src/core/job.ts'
import type { Engine } from '../../src/engine/engine.ts'
import type { JobsQuery } from '../../src/engine/inspect.ts'
import { alone, chainOf, freshId, graphOf, groupOf, sideJob, submission } from '../fixtures/graphs.ts'
import {
  collectionState,
  continued,
  failed,
  goOn,
  hand,
  lease,
  retried,
  succeeded,
  sweepAll,
} from '../fixtures/hand.ts'
import { onEveryEngine, type Store } from '../fixtures/store.ts'

const hour = 3_600_000

async function allPages(
  engine: Engine,
  query: Omit<JobsQuery, 'limit' | 'cursor'>,
  limit: number,
): Promise<JobRecord[]> {
  const items: JobRecord[] = []
  for (let cursor: string | null | undefined; cursor !== null;) {
    const page = await engine.jobs({ ...query, limit, ...(cursor === undefined ? {} : { cursor }) })
    expect(page.items.length).toBeLessThanOrEqual(limit)
    items.push(...page.items)
    cursor = page.next
  }
  return items
}

onEveryEngine((open) => {
  /** Five submissions a minute apart, one of them failed, one delayed. */
  const furnished = async (): Promise<Store & { at: number }> => {
    const store = await open()
    const at = store.clock.now()
    await store.engine.submit([
      submission(chainOf('mail.send', 'mail.log'), { actor: { id: 'ann' }, tags: ['news', 'daily'] }),
    ])
    store.clock.pass(60_000)
    await store.engine.submit([
      submission(alone('tables.buy', { queue: 'shop', tags: ['sale'] }), { actor: { id: 'bob' } }),
    ])
    store.clock.pass(60_000)
    await store.engine.submit([submission(groupOf('tables.clean', 'tables.paint'), { tags: ['daily'] })])
    const worker = await hand(store.engine)
    await worker.drain((job) => (job.task === 'tables.paint' ? failed() : succeeded(1)))
    store.clock.pass(60_000)
    await store.engine.submit([submission(alone('mail.send', { startIn: 60_000 }), { actor: { id: 'ann' } })])
    return { ...store, at }
  }
  const tasks = (jobs: readonly JobRecord[]): string[] => jobs.map((job) => job.task)

  test('lists jobs from the newest to the oldest, in pages without gap or repeat', async () => {
    const { engine } = await furnished()
    const whole = (await engine.jobs({ limit: 100 })).items
    expect(whole).toHaveLength(6)
    const createdAt = whole.map((job) => job.createdAt)
    expect(createdAt).toEqual([...createdAt].sort((a, b) => b - a))
    expect((await engine.jobs({ limit: 100 })).next).toBeNull()
    for (const limit of [1, 2, 4, 6]) expect(await allPages(engine, {}, limit)).toEqual(whole)
  })

  test('pages stay where they are while new jobs come', async () => {
    const { engine } = await furnished()
    const whole = (await engine.jobs({ limit: 100 })).items
    const first = await engine.jobs({ limit: 3 })
    await engine.submit([submission(alone('newer')), submission(alone('newer'))])
    const second = await engine.jobs({ limit: 100, cursor: first.next ?? '' })
    expect([...first.items, ...second.items]).toEqual(whole)
  })

  test('filters jobs', async () => {
    const { engine, at } = await furnished()
    const of = async (query: Omit<JobsQuery, 'limit'>): Promise<string[]> =>
      tasks((await engine.jobs({ ...query, limit: 100 })).items).sort()
    expect(await of({ states: ['failed'] })).toEqual(['tables.paint'])
    expect(await of({ states: ['failed', 'scheduled'] })).toEqual(['mail.send', 'tables.paint'])
    expect(await of({ states: [] })).toEqual([])
    expect(await of({ task: 'mail.send' })).toEqual(['mail.send', 'mail.send'])
    expect(await of({ task: 'tables.*' })).toEqual(['tables.buy', 'tables.clean', 'tables.paint'])
    expect(await of({ task: '*.log' })).toEqual(['mail.log'])
    expect(await of({ task: 'mail%' })).toEqual([])
    expect(await of({ task: 'mail_send' })).toEqual([])
    expect(await of({ queue: 'shop' })).toEqual(['tables.buy'])
    expect(await of({ actor: 'ann' })).toEqual(['mail.log', 'mail.send', 'mail.send'])
    expect(await of({ actor: 'nobody' })).toEqual([])
    expect(await of({ tag: 'sale' })).toEqual(['tables.buy'])
    expect(await of({ createdFrom: at + 60_000 })).toEqual(['mail.send', 'tables.buy', 'tables.clean', 'tables.paint'])
    expect(await of({ createdBefore: at + 60_000 })).toEqual(['mail.log', 'mail.send'])
    expect(await of({ actor: 'ann', states: ['scheduled'], task: 'mail*' })).toEqual(['mail.send'])
  })

  test('a job alone is told as a collection with its tags', async () => {
    const { engine } = await open()
    const sale = submission(alone('tables.buy', { tags: ['sale'] }), { tags: ['sale'] })
    await engine.submit([sale])
    expect(await engine.collection(sale.graph.id)).toMatchObject({ tags: ['sale'], jobs: [{ tags: ['sale'] }] })
    expect((await engine.collections({ tag: 'sale', limit: 10 })).items).toMatchObject([{ tags: ['sale'] }])
  })

  test('filters while it pages', async () => {
    const { engine } = await furnished()
    expect(tasks(await allPages(engine, { actor: 'ann' }, 1)).sort()).toEqual(['mail.log', 'mail.send', 'mail.send'])
    expect(tasks(await allPages(engine, { task: 'tables.*' }, 2)).sort()).toEqual([
      'tables.buy',
      'tables.clean',
      'tables.paint',
    ])
  })

  test('lists the jobs of one collection', async () => {
    const { engine } = await open()
    const [one, two] = [chainOf('a', 'b'), chainOf('c')]
    await engine.submit([submission(one), submission(two), submission(alone('d'))])
    expect(tasks((await engine.jobs({ collectionId: one.id, limit: 10 })).items).sort()).toEqual(['a', 'b'])
  })

  test('lists collections, jobs alone among them, newest first and in pages', async () => {
    const { engine, at } = await furnished()
    const whole = (await engine.collections({ limit: 100 })).items
    expect(whole.map((each) => each.createdAt - at)).toEqual([180_000, 120_000, 60_000, 0])
    const paged = []
    for (let cursor: string | null | undefined; cursor !== null;) {
      const page: Awaited<ReturnType<Engine['collections']>> = await engine.collections({
        limit: 1,
        ...(cursor === undefined ? {} : { cursor }),
      })
      paged.push(...page.items)
      cursor = page.next
    }
    expect(paged).toEqual(whole)
  })

  test('filters collections', async () => {
    const { engine, at } = await furnished()
    const of = async (query: Omit<Parameters<Engine['collections']>[0], 'limit'>): Promise<number[]> =>
      (await engine.collections({ ...query, limit: 100 })).items.map((each) => (each.createdAt - at) / 60_000)
    expect(await of({ state: 'failed' })).toEqual([2])
    expect(await of({ state: 'succeeded' })).toEqual([1, 0])
    expect(await of({ state: 'running' })).toEqual([3])
    expect(await of({ state: 'cancelled' })).toEqual([])
    expect(await of({ actor: 'ann' })).toEqual([3, 0])
    expect(await of({ tag: 'daily' })).toEqual([2, 0])
    expect(await of({ createdFrom: at + 60_000, createdBefore: at + 120_000 })).toEqual([1])
  })

  test('counts the jobs of a collection by state', async () => {
    const { engine } = await furnished()
    const [failing] = (await engine.collections({ state: 'failed', limit: 1 })).items
    expect(failing?.counts).toEqual({
      waiting: 0,
      scheduled: 0,
      queued: 0,
      running: 0,
      succeeded: 1,
      failed: 1,
      cancelled: 0,
      skipped: 0,
    })
  })

  test('tells of a collection without its jobs where they are not asked for', async () => {
    const { engine } = await open()
    const graph = chainOf('a', 'b')
    await engine.submit([submission(graph)])
    expect(await engine.collection(graph.id, { jobs: false })).toMatchObject({
      jobs: [],
      counts: { queued: 1, waiting: 1 },
    })
  })

  test('gives jobs in the order of the graph', async () => {
    const { engine } = await open()
    const graph = graphOf(
      { z: { feeds: 0 }, note: sideJob('always', 0), a: { behind: 0, feeds: 1 }, m: { behind: 0, feeds: 1 } },
      [{}, {}],
    )
    await engine.submit([submission(graph)])
    const told = await engine.collection(graph.id)
    expect(told?.jobs.map((job) => job.task)).toEqual(['z', 'note', 'a', 'm'])
    expect(told?.jobs.map((job) => job.role)).toEqual(['main', 'side', 'main', 'main'])
  })

  test('tells of a waiting job from when on it may start', async () => {
    const { engine, clock } = await open()
    const startAt = clock.now() + 60_000
    const graph = graphOf({ a: { feeds: 0 }, b: { behind: 0, feeds: 1, options: { startAt } } }, [{}, {}])
    await engine.submit([submission(graph)])
    const told = async (): Promise<object[]> =>
      ((await engine.collection(graph.id))?.jobs ?? []).map(({ state, dueAt }) => ({ state, dueAt }))
    expect(await told()).toEqual([
      { state: 'queued', dueAt: null },
      { state: 'waiting', dueAt: startAt },
    ])
    const worker = await hand(engine)
    await worker.succeed(await worker.take('a'))
    expect((await told())[1]).toEqual({ state: 'scheduled', dueAt: startAt })
    clock.pass(60_000)
    await engine.sweep()
    expect((await told())[1]).toEqual({ state: 'queued', dueAt: null })
  })

  test('counts what waits, runs and is queued in each queue, and nothing of what is still being uploaded', async () => {
    const { engine } = await open()
    const on = (queue: string): { options: { queue: string } } => ({ options: { queue } })
    const graph = graphOf({ a: { feeds: 0, ...on('shop') }, b: { behind: 0, feeds: 1, ...on('shop') } }, [{}, {}])
    await engine.submit([
      submission(graph),
      submission(alone('c', { queue: 'mail' })),
      submission(alone('d', { queue: 'mail', startIn: 1_000 })),
    ])
    await (await hand(engine, { queues: ['mail'] })).take('c')
    const large = chainOf(...Array.from({ length: engine.partSize + 1 }, (_, n) => `link-${n}`))
    await engine.upload(large, 0, null)
    const none = { waiting: 0, scheduled: 0, queued: 0, running: 0 }
    expect((await engine.queues()).map(({ name, counts }) => ({ name, counts }))).toEqual([
      { name: 'default', counts: none },
      { name: 'mail', counts: { ...none, scheduled: 1, running: 1 } },
      { name: 'shop', counts: { ...none, queued: 1, waiting: 1 } },
    ])
  })

  test('counts as waiting whatever waits, whatever it is that it waits for', async () => {
    const { engine, clock } = await open()
    const chain = (first: StoredOptions, waiting: string): Graph =>
      graphOf({ a: { feeds: 0, options: first }, b: { behind: 0, feeds: 1, options: { queue: waiting } } }, [{}, {}])
    const lost = await hand(engine, { queues: ['lost'] })
    await engine.submit([
      submission(chain({ queue: 'lost' }, 'for one whose worker died')),
      submission(chain({ queue: 'started' }, 'for one that runs')),
      submission(chain({ startIn: hour }, 'for one that is not due')),
      submission(chain({ queue: 'idle' }, 'for one that is queued')),
      submission(alone('parent', { queue: 'for its own canvas' })),
    ])
    await lost.take()
    const worker = await hand(engine, { queues: ['started', 'for its own canvas'] })
    await worker.take('a')
    await worker.settle(await worker.take('parent'), continued(chain({ queue: 'idle' }, 'inside')))
    await goOn({ engine, clock }, 3 * lease, worker)
    const waiting = (await engine.queues()).filter(({ counts }) => counts.waiting > 0)
    expect(Object.fromEntries(waiting.map(({ name, counts }) => [name, counts.waiting]))).toEqual({
      'for its own canvas': 1,
      'for one that is not due': 1,
      'for one that is queued': 1,
      'for one that runs': 1,
      'for one whose worker died': 1,
      inside: 1,
    })
    const counted = (await engine.queues()).reduce((sum, { counts }) => sum + counts.queued + counts.running, 0)
    expect(counted).toBe(4)
  })

  test('counts what a retry has put back, also before any of it was let go', async () => {
    const { engine, clock } = await open()
    const names = Array.from({ length: 3 * engine.partSize }, (_, n) => `job-${n}`)
    const graph = groupOf(...names)
    for (let part = 0; part < 3; part++) await engine.upload(graph, part, null)
    await engine.submit([submission(graph)])
    await engine.cancel({ collectionId: graph.id })
    await sweepAll(engine, clock.now())
    expect(await collectionState(engine, graph)).toBe('cancelled')
    expect((await engine.queues())[0]?.counts).toMatchObject({ waiting: 0, queued: 0 })
    const retried = await engine.retry({ selection: { collectionId: graph.id }, expectedRound: 1, mode: 'failed' })
    const counts = (await engine.queues())[0]?.counts
    expect(retried).toBe('retried')
    expect((counts?.waiting ?? 0) + (counts?.queued ?? 0)).toBeGreaterThan(0)
  })

  test('tells a job alike in a list, in its collection and by itself', async () => {
    const { engine } = await furnished()
    for (const listed of (await engine.jobs({ limit: 100 })).items) {
      const alone = await engine.job(listed.id)
      expect(alone).toMatchObject(listed)
      const within = (await engine.collection(listed.collectionId))?.jobs.find((job) => job.id === listed.id)
      expect(within).toEqual(listed)
    }
  })

  test('tells the progress of the attempt that a job is in, and of no earlier one', async () => {
    const { engine, clock } = await open()
    const graph = alone('a')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    const job = await worker.take()
    await worker.beat({ progress: [{ ref: job.ref, token: job.token, progress: { done: 1, total: 2 } }] })
    expect(await engine.job(graph.id)).toMatchObject({ progress: { done: 1, total: 2 } })
    await worker.settle(job, retried(10))
    clock.pass(10)
    await worker.take()
    expect(await engine.job(graph.id)).toMatchObject({ attempt: 2, progress: null })
  })

  test('refuses a cursor that is none', async () => {
    const { engine } = await open()
    await expect(engine.jobs({ limit: 1, cursor: 'nonsense' })).rejects.toMatchObject({ code: 'BAD_CURSOR' })
    await expect(engine.collections({ limit: 1, cursor: 'nonsense' })).rejects.toMatchObject({ code: 'BAD_CURSOR' })
  })

  test('says what it finds out about itself', async () => {
    const { engine } = await open()
    const found = await engine.diagnose()
    expect(found.length).toBeGreaterThan(0)
    expect(found.filter((each) => each.level === 'error')).toEqual([])
  })

  test('migrating what is up to date does nothing', async () => {
    const { engine, second } = await open()
    const first = await engine.migrate()
    expect(first.to).toBeGreaterThan(0)
    expect(await engine.migrate()).toMatchObject({ to: first.to })
    expect(await second().migrate()).toEqual({ from: first.to, to: first.to })
  })

  test('tells who asked for collections, by their ids', async () => {
    const { engine } = await open()
    const [mine, nobodys, chain, gone] = [alone('a'), alone('b'), chainOf('c', 'd'), alone('e')]
    await engine.submit([
      submission(mine, { actor: { id: 'ann "1"' } }),
      submission(nobodys),
      submission(chain, { actor: { id: 'bob' } }),
      submission(gone, { actor: { id: 'ann' } }),
    ])
    await (await hand(engine)).drain()
    await engine.remove(gone.id)
    const ids = [mine.id, chain.id, chain.id, nobodys.id, gone.id, chain.jobs[0]!.id, freshId(), '', 'a\nb']
    expect(await engine.actorsOf(ids)).toEqual(
      new Map([
        [mine.id, 'ann "1"'],
        [nobodys.id, null],
        [chain.id, 'bob'],
      ]),
    )
    expect(await engine.actorsOf([])).toEqual(new Map())
    const many = Array.from({ length: 999 }, () => alone('many'))
    await engine.submit(many.map((graph) => submission(graph, { actor: { id: 'carol' } })))
    expect([...(await engine.actorsOf([...many.map(({ id }) => id), mine.id])).values()]).toEqual(
      expect.arrayContaining(['carol', 'ann "1"']),
    )
    expect((await engine.actorsOf(many.map(({ id }) => id))).size).toBe(999)
  })

  test('of a collection that is removed but for some rows nobody is told', async () => {
    const { engine } = await open()
    const large = groupOf(...Array.from({ length: 3_000 }, (_, at) => `m${at}`))
    for (let part = 0; part * engine.partSize < large.jobs.length; part++) await engine.upload(large, part, null)
    await engine.submit([submission(large, { actor: { id: 'ann' } })])
    await (await hand(engine)).drain()
    expect(await engine.actorsOf([large.id])).toEqual(new Map([[large.id, 'ann']]))
    expect(await engine.remove(large.id)).toBe('removed')
    expect(await engine.actorsOf([large.id])).toEqual(new Map())
  })
})
