import pg from 'pg'
import { expect, test } from 'vitest'
import type { Engine } from '../../engine/engine.ts'
import { manualRuntime, type ManualRuntime } from '../../../test/fixtures/clock.ts'
import { alone, chainOf, chordOf, submission } from '../../../test/fixtures/graphs.ts'
import { continued, hand, sweepAll } from '../../../test/fixtures/hand.ts'
import { closedAfterEach, ownPostgres } from '../../../test/servers/own.ts'
import { postgres } from './postgres.ts'

const day = 24 * 60 * 60_000
const own = ownPostgres()

const closing = closedAfterEach()

function connect(schema: string, clock: ManualRuntime): Engine {
  const engine = postgres({ url: own.server.url, schema, clock: 'process' })(clock)
  closing.push(() => engine.close())
  return engine
}

const links = Array.from({ length: 900 }, (_, n) => `link-${n}`)

const rowsIn = async (schema: string, table: string): Promise<number> =>
  Number((await own.admin.query<{ count: string }>(`select count(*) from ${schema}.${table}`)).rows[0]?.count)

test('comes to everything that is due in one sweep, far behind much that is not', async () => {
  const clock = manualRuntime()
  const engine = connect('bounded', clock)
  // A chain of waiting jobs that takes more numbers than one call looks at, then jobs and chains that are done.
  const running = Array.from({ length: 3 }, () => chainOf(...links))
  await engine.submit(running.map((graph) => submission(graph)))
  await engine.putQueues([{ name: 'default', paused: true }])
  const done = Array.from({ length: 500 }, (_, n) => (n % 5 === 0 ? chainOf('a') : alone('b')))
  await engine.submit(done.map((graph) => submission(graph, { retention: day })))
  for (const graph of done) await engine.cancel({ collectionId: graph.id })
  clock.pass(2 * day)
  await engine.sweep()
  expect((await rowsIn('bounded', 'collections')) + (await rowsIn('bounded', 'jobs where collection = seq'))).toBe(3)
})

test('leaves no row of what it removes', async () => {
  const clock = manualRuntime()
  const engine = connect('whole', clock)
  const graphs = [chordOf(['a', 'b'], 'c'), chainOf('outer', 'after'), alone('lone'), alone('outer')]
  await engine.submit(graphs.map((graph) => submission(graph, { retention: 1_000 })))
  const worker = await hand(engine)
  await worker.drain((job) =>
    job.task === 'outer' ? continued(chordOf(['inner', 'other'], 'last')) : { type: 'succeeded', result: '1' },
  )
  expect(await rowsIn('whole', 'attempts')).toBe(2)
  expect(await rowsIn('whole', 'jobs')).toBe(13)
  clock.pass(day)
  await worker.beat({ ended: true })
  await sweepAll(engine, clock.now())
  for (const table of ['jobs', 'collections', 'barriers', 'attempts', 'log', 'ready', 'claims', 'work'])
    expect(await rowsIn('whole', table), table).toBe(0)
})

test('does not take away what somebody has begun to retry', async () => {
  const clock = manualRuntime()
  const engine = connect('retried', clock)
  const graph = chainOf('a', 'b')
  await engine.submit([submission(graph, { retention: 1_000 })])
  const worker = await hand(engine)
  await worker.fail(await worker.take('a'))
  clock.pass(day)
  const other = new pg.Client(own.server.url)
  await other.connect()
  closing.push(() => other.end())
  // Somebody holds the collection at this moment, and changes it before they let go.
  await other.query('begin; select 1 from retried.collections for update')
  await worker.beat()
  await engine.sweep()
  await other.query('update retried.collections set state = 0, settled_at = null; commit')
  for (let passed = 0; passed < 5; passed++) {
    clock.pass(61_000)
    await worker.beat()
    await sweepAll(engine, clock.now())
  }
  expect(await engine.collection(graph.id)).toMatchObject({ state: 'running' })
})

test('cleans up after claims of which nothing runs any more', async () => {
  const clock = manualRuntime()
  const engine = connect('claimed', clock)
  await engine.submit([submission(alone('a')), submission(alone('b'))])
  const worker = await hand(engine)
  const [a] = await worker.claim(1)
  await worker.claim(1)
  // As if the row had been left behind.
  await own.admin.query('update claimed.claims set running = 5')
  await worker.succeed(a!)
  clock.pass(61_000)
  // A beat that tells what is held cleans up by itself; this is one that cannot tell.
  await worker.beat({ held: null })
  await engine.sweep()
  expect(await rowsIn('claimed', 'claims')).toBe(1)
})

test('removes the others where somebody holds a job, and that one once they have let it go', async () => {
  const clock = manualRuntime()
  const engine = connect('held', clock)
  const graphs = Array.from({ length: 50 }, () => alone('a'))
  await engine.submit(graphs.map((graph) => submission(graph, { retention: 1_000 })))
  const worker = await hand(engine)
  await worker.drain()
  clock.pass(day)
  const other = new pg.Client(own.server.url)
  await other.connect()
  closing.push(() => other.end())
  await other.query(`begin; select 1 from held.jobs where id = '${graphs[7]?.id}' for update`)
  await worker.beat()
  await engine.sweep()
  expect(await rowsIn('held', 'jobs')).toBe(1)
  await other.query('commit')
  clock.pass(61_000)
  await worker.beat()
  await sweepAll(engine, clock.now())
  expect(await rowsIn('held', 'jobs')).toBe(0)
})
