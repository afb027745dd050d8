import { expect, test, vi } from 'vitest'
import pg from 'pg'
import { systemRuntime } from '../../core/runtime.ts'
import { Celeriac } from '../../index.ts'
import { Worker } from '../../worker/worker.ts'
import type { Graph } from '../../core/graph.ts'
import type { SettleAnswer } from '../../engine/work.ts'
import { manualRuntime } from '../../../test/fixtures/clock.ts'
import { alone, chordOf, groupOf, jobId, submission } from '../../../test/fixtures/graphs.ts'
import { collectionState, hand, jobsOf, statesOf, succeeded } from '../../../test/fixtures/hand.ts'
import { closedAfterEach, ownPostgres } from '../../../test/servers/own.ts'
import type { Engine } from '../../engine/engine.ts'
import { newestOf } from './careful.ts'
import { postgres } from './postgres.ts'

// Whoever waits for a lock in vain has waited for two seconds.
vi.setConfig({ testTimeout: 60_000 })

const own = ownPostgres()
const closing = closedAfterEach()

function connect(schema: string): Engine {
  const engine = postgres({ url: own.server.url, schema })(systemRuntime)
  closing.push(() => engine.close())
  return engine
}

/** Somebody with a transaction of their own, in which they hold rows until they are told to let go. */
async function outsider(schema: string) {
  const client = new pg.Client(own.server.url)
  await client.connect()
  closing.push(() => client.end())
  await client.query('begin')
  return {
    async hold(table: string, where: string): Promise<void> {
      const { rowCount } = await client.query(`select 1 from ${schema}.${table} where ${where} for update`)
      expect(rowCount).toBeGreaterThan(0)
    },
    letGo: () => client.query('rollback'),
  }
}

const ofJob = (graph: Graph, task: string): string => `id = '${jobId(graph, task)}'`
const numberOf = (graph: Graph): string => `(select number from SCHEMA.collections where id = '${graph.id}')`

test.each([
  ['jobs alone in one line', [alone('held'), alone('a'), alone('b')]],
  ['jobs alone in several lines', [alone('held'), alone('a', { queue: 'other' }), alone('b', { priority: -1 })]],
  ['jobs of collections', [groupOf('held', 'a'), groupOf('b')]],
])('claims pass over one that somebody holds, and take it once nobody does: %s', async (about, graphs) => {
  const schema = about.replaceAll(' ', '_')
  const engine = connect(schema)
  await engine.submit(graphs.map((graph) => submission(graph)))
  const worker = await hand(engine)
  const other = await outsider(schema)
  await other.hold('jobs', ofJob(graphs[0] as Graph, 'held'))
  const [first] = await worker.claim(1)
  expect(first?.task).toBe('a')
  expect((await worker.claim(10)).map(({ task }) => task)).toEqual(['b'])
  await other.letGo()
  expect((await worker.claim(10)).map(({ task }) => task)).toEqual(['held'])
})

test('claims pass over a unique key that somebody holds', async () => {
  const engine = connect('keys')
  const graph = alone('keyed')
  await engine.submit([submission(graph, { unique: { key: 'k', until: 'started', onConflict: 'existing' } })])
  const other = await outsider('keys')
  await other.hold('unique_keys', 'true')
  expect((await (await hand(engine)).claim(10)).map(({ task }) => task)).toEqual(['keyed'])
})

test.each<[string, (graph: Graph) => readonly [table: string, where: string]]>([
  ['job', (graph) => ['jobs', ofJob(graph, 'held')]],
  ['collection', (graph) => ['collections', `id = '${graph.id}'`]],
  ['barrier', (graph) => ['barriers', `collection = ${numberOf(graph)}`]],
  ['job behind it', (graph) => ['jobs', ofJob(graph, 'body')]],
])('settles the others where somebody holds a %s', async (about, held) => {
  const schema = `settled_${about.replaceAll(' ', '_')}`
  const engine = connect(schema)
  const graph = chordOf(['held'])
  await engine.submit([
    submission(graph),
    ...['a', 'b', 'c'].flatMap((task) => [alone(task), chordOf([task])].map((each) => submission(each))),
  ])
  const worker = await hand(engine)
  const jobs = await worker.claim(10)
  const other = await outsider(schema)
  const [table, where] = held(graph)
  await other.hold(table, where.replace('SCHEMA', schema))
  const settle = (): Promise<SettleAnswer[]> =>
    engine.settle(jobs.map(({ ref, token, task }) => ({ ref, token, outcome: succeeded(task) })))
  expect(await settle()).toEqual(jobs.map(({ task }) => (task === 'held' ? 'busy' : 'accepted')))
  const [next] = (await worker.claim(10)).filter(({ task }) => task === 'body')
  expect(next).toBeDefined()
  await other.letGo()
  expect(await settle()).toEqual(jobs.map(() => 'accepted'))
  expect(await statesOf(engine, graph)).toMatchObject({ held: 'succeeded', body: 'queued' })
})

test('settles and claims in one request where somebody holds a job of each', async () => {
  const engine = connect('pair')
  const graphs = ['a', 'held', 'b', 'next', 'held-next', 'last'].map((task) => alone(task))
  await engine.submit(graphs.map((graph) => submission(graph)))
  const worker = await hand(engine)
  const jobs = await worker.claim(3)
  const other = await outsider('pair')
  for (const at of [1, 4]) await other.hold('jobs', `id = '${graphs[at]?.id}'`)
  const settling = engine.settle(jobs.map(({ ref, token }) => ({ ref, token, outcome: succeeded(1) })))
  const claimed = await worker.claim(2)
  expect(await settling).toEqual(['accepted', 'busy', 'accepted'])
  expect(claimed.map(({ task }) => task)).toEqual(['next', 'last'])
})

test('a beat stores what progress it can, and the rest once nobody holds the job', async () => {
  const engine = connect('beats')
  const graphs = [alone('held'), alone('a')]
  await engine.submit(graphs.map((graph) => submission(graph)))
  const worker = await hand(engine)
  const jobs = await worker.claim(2)
  const other = await outsider('beats')
  await other.hold('jobs', `id = '${graphs[0]?.id}'`)
  const progress = jobs.map(({ ref, token }) => ({ ref, token, progress: { done: 1, total: 2 } }))
  expect((await worker.beat({ progress })).lost).toEqual([])
  const told = async () =>
    Promise.all(graphs.map(async (graph) => (await jobsOf(engine, graph))[graph.jobs[0]?.task ?? '']?.progress))
  expect(await told()).toEqual([null, { done: 1, total: 2 }])
  await other.letGo()
  await worker.beat()
  expect(await told()).toEqual([
    { done: 1, total: 2 },
    { done: 1, total: 2 },
  ])
})

test('of the progress that is owed the last of each job is kept', () => {
  const progress = [1, 2, 1, 1].map((seq, done) => ({ ref: { seq }, token: 1, progress: { done } }))
  expect(newestOf(progress).map(({ ref, progress: { done } }) => [ref, done])).toEqual([
    [{ seq: 1 }, 3],
    [{ seq: 2 }, 1],
  ])
})

test('a worker that ends gives back what it can; what somebody holds is recovered', async () => {
  const engine = connect('ended')
  const graphs = [alone('held'), alone('a')]
  await engine.submit(graphs.map((graph) => submission(graph)))
  const worker = await hand(engine)
  await worker.claim(2)
  const other = await outsider('ended')
  await other.hold('jobs', `id = '${graphs[0]?.id}'`)
  await worker.beat({ held: [], ended: true })
  const next = await hand(engine)
  expect((await next.claim(10)).map(({ task }) => task)).toEqual(['a'])
  await other.letGo()
  await engine.sweep()
  expect((await next.claim(10)).map(({ task }) => task)).toEqual(['held'])
})

test.each(['claim', 'sweep'] as const)(
  'what expired and what is due goes on where somebody holds a barrier: %s',
  async (by) => {
    const clock = manualRuntime()
    const schema = `expired_${by}`
    const engine = postgres({ url: own.server.url, schema, clock: 'process' })(clock)
    closing.push(() => engine.close())
    const expiring = (graph: Graph): Graph => ({
      ...graph,
      jobs: graph.jobs.map((job) => ({ ...job, options: { ...job.options, expires: 1_000 } })),
    })
    const [held, others, due] = [
      expiring(chordOf(['a', 'b'])),
      expiring(chordOf(['c', 'd'])),
      alone('due', { startIn: 1_000 }),
    ]
    await engine.submit([held, others, due].map((graph) => submission(graph)))
    const worker = await hand(engine)
    const other = await outsider(schema)
    await other.hold('barriers', `collection = ${numberOf(held)}`.replace('SCHEMA', schema))
    for (let n = 0; n < 3; n++) {
      clock.pass(500)
      await worker.beat()
      if (by === 'sweep') await engine.sweep()
    }
    expect((await worker.claim(10)).map(({ task }) => task)).toEqual(['due'])
    expect(await statesOf(engine, others)).toMatchObject({ c: 'cancelled', d: 'cancelled' })
    await other.letGo()
    await engine.sweep()
    expect(await statesOf(engine, held)).toMatchObject({ a: 'cancelled', b: 'cancelled' })
  },
)

test('large changes go on beside one in which somebody holds a job', async () => {
  const engine = connect('large')
  const graphs = [1, 2].map(() => groupOf(...Array.from({ length: 3_000 }, (_, n) => `job-${n}`)))
  for (const graph of graphs)
    for (let part = 0; part * engine.partSize < graph.jobs.length; part++) await engine.upload(graph, part, null)
  await engine.submit(graphs.map((graph) => submission(graph)))
  const other = await outsider('large')
  await other.hold('jobs', `id = '${graphs[0]?.jobs[2_999]?.id}'`)
  for (const graph of graphs) await engine.cancel({ collectionId: graph.id })
  const settled = async (graph?: Graph): Promise<void> => {
    while ((await collectionState(engine, graph as Graph)) !== 'cancelled') await engine.sweep()
  }
  await settled(graphs[1])
  expect(await collectionState(engine, graphs[0] as Graph)).toBe('running')
  await other.letGo()
  await settled(graphs[0])
})

test('a worker runs everything else while somebody holds a queued and a running job of it', async () => {
  const app = new Celeriac({ engine: postgres({ url: own.server.url, schema: 'whole' }) })
  const goOn = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  const waits = app.task('waits', async () => {
    started.resolve()
    await goOn.promise
  })
  const quick = app.task('quick', (n: number) => n)
  const worker = new Worker(app, { log: () => {} })
  closing.push(() => app.close())
  const running = await waits.delay()
  closing.push(() => worker.stop({ grace: 0 }))
  await worker.start()
  await started.promise
  await app.queues.pause('default')
  const queued = await quick.delay(0)
  const other = await outsider('whole')
  for (const { id } of [running, queued]) await other.hold('jobs', `id = '${id}'`)
  await app.queues.resume('default')
  goOn.resolve()
  for (let n = 0; n < 3; n++) {
    const sent = await quick.delayMany(Array.from({ length: 40 }, (_, k) => [k] as const))
    expect(await Promise.all(sent.map((handle) => handle.result()))).toEqual(sent.map((_, k) => k))
  }
  expect((await queued.snapshot()).state).toBe('queued')
  await other.letGo()
  expect(await queued.result()).toBe(0)
  await running.result()
  expect((await running.snapshot()).attempt).toBe(1)
})
