import { expect, test } from 'vitest'
import { alone, groupOf, submission } from '../../../test/fixtures/graphs.ts'
import { continued, hand, succeeded } from '../../../test/fixtures/hand.ts'
import { closedAfterEach, ownRedis } from '../../../test/servers/own.ts'
import type { Graph } from '../../core/graph.ts'
import { systemRuntime } from '../../core/runtime.ts'
import type { Engine } from '../../engine/engine.ts'
import { Database } from './database.ts'
import { longArgs, longResult } from './keys.ts'
import { readSettings } from './options.ts'
import { redis } from './redis.ts'
import { retain, type RetentionParts } from './retention.ts'

const own = ownRedis()
const closing = closedAfterEach()
const retention = 1
const collections = 12

let count = 0
async function open(): Promise<{ engine: Engine; db: Database; parts: RetentionParts; left: () => Promise<string[]> }> {
  const options = { url: own.server.url, namespace: `retention_${++count}` }
  const engine = redis(options)(systemRuntime)
  const db = new Database(readSettings(options), systemRuntime, async () => undefined)
  closing.push(
    () => engine.close(),
    () => db.close(),
  )
  await engine.migrate()
  const parts: RetentionParts = {
    db,
    runs: {
      read: (script, args) => db.read(script, args),
      write: async <T>(script: Parameters<Database['run']>[0], args: Parameters<Database['run']>[1] = []) =>
        (await db.run<[number, number, T]>(script, [db.now, '', ...args]))[2],
    },
  }
  const rowKeys = /^\{\w+\}:(?:[jsgrfphbnlckmau]|log|notes|scope|look):\d+$/
  const left = async (): Promise<string[]> => {
    const keys = await db.send<string[]>('KEYS', `${db.prefix}*`)
    return keys.filter((key) => rowKeys.test(key)).sort()
  }
  return { engine, db, parts, left }
}

async function removeAll(parts: RetentionParts, engine: Engine, graphs: readonly Graph[]): Promise<void> {
  const isThere = async ({ id }: Graph): Promise<boolean> => (await engine.collection(id)) !== null
  while ((await Promise.all(graphs.map(isThere))).includes(true)) await retain(parts)
  while (await retain(parts));
}

test('removes every key of a job alone, whatever it has besides its rows', async () => {
  const { engine, db, parts, left } = await open()
  const graphs = Array.from({ length: collections }, () => alone())
  const worker = await hand(engine)
  for (const [at, graph] of graphs.entries()) {
    const unique = { key: `key ${at}`, until: 'settled', onConflict: 'reject' } as const
    const args = JSON.stringify(['x'.repeat(at === 1 ? longArgs : 1)])
    const jobs = graph.jobs.map((job) => ({ ...job, args }))
    await engine.submit([submission({ ...graph, jobs }, { retention, ...(at === 2 && { unique }) })])
    const { ref, token, ...job } = await worker.take()
    const ofIt = { ref, token }
    if (at === 3) await worker.beat({ progress: [{ ...ofIt, progress: { percent: 5 } as never }] })
    if (at === 4)
      await worker.beat({ log: [{ ...ofIt, line: { at: 1, level: 'info', message: 'm', data: null } as never }] })
    if (at === 5) await worker.beat({ notes: [{ ...ofIt, note: { name: 'n', value: '1' } }] })
    await worker.succeed({ ref, token, ...job }, 'x'.repeat(at === 6 ? longResult : 1))
  }
  const kinds = (await left()).map((key) => key.replace(/^\{\w+\}:|\d+$/g, ''))
  expect([...new Set(kinds)].sort()).toEqual(['g:', 'j:', 'log:', 'notes:', 'p:', 'r:', 's:', 'u:'])
  await removeAll(parts, engine, graphs)
  expect(await left()).toEqual([])
  for (const name of ['ids', 'leaving', 'more']) expect(await db.send('EXISTS', db.prefix + name)).toBe(0)
})

test('removes every key of graphs that came in parts, submitted or returned by a handler', async () => {
  const { engine, db, parts, left } = await open()
  const large = (): Graph => groupOf(...Array.from({ length: engine.partSize + 1 }, (_, at) => `m${at}`))
  const [submitted, parent, inside] = [large(), alone('parent'), large()]
  const worker = await hand(engine)
  await engine.submit([submission(parent, { retention })])
  const job = await worker.take('parent')
  for (const part of [0, 1]) await engine.upload(inside, part, job)
  await worker.settle(job, continued(inside))
  for (const part of [0, 1]) await engine.upload(submitted, part, null)
  await engine.submit([submission(submitted, { retention })])
  expect(await worker.drain(() => succeeded('x'))).toHaveLength(2 * (engine.partSize + 1))
  expect((await left()).filter((key) => key.startsWith(`${db.prefix}l:`)).length).toBeGreaterThan(0)
  await removeAll(parts, engine, [submitted, parent])
  expect(await left()).toEqual([])
})

test('a job that is retried between the look and the removal stays, and is removed once it is over again', async () => {
  const { engine, db, parts, left } = await open()
  const [graph, other] = [alone(), alone()]
  await engine.submit([graph, other].map((each) => submission(each, { retention })))
  const worker = await hand(engine)
  await worker.drain()
  let isRetried = false
  const send: Database['send'] = async (...command) => {
    const reply = await db.send<never>(...command)
    if (command[0] === 'MGET' && !isRetried) {
      isRetried = true
      const selection = { collectionId: graph.id }
      expect(await engine.retry({ selection, expectedRound: 1, mode: 'all' })).toBe('retried')
    }
    return reply
  }
  const between: RetentionParts = {
    db: { prefix: db.prefix, read: (...args) => db.read(...args), send },
    runs: parts.runs,
  }
  while (!isRetried) await retain(between)
  expect((await engine.collection(graph.id))?.state).toBe('running')
  expect(await worker.drain()).toHaveLength(1)
  await removeAll(parts, engine, [graph, other])
  expect(await left()).toEqual([])
})

test('removes what an entry names, however much it is', async () => {
  const { engine, db, parts, left } = await open()
  const graphs = Array.from({ length: 5_000 }, () => alone())
  for (let at = 0; at < graphs.length; at += 1_000)
    await engine.submit(graphs.slice(at, at + 1_000).map((graph) => submission(graph, { retention })))
  const worker = await hand(engine)
  await worker.drain(() => succeeded('x'))
  // As one call notes it that settles so many.
  await db.send('DEL', `${db.prefix}leaving`)
  await db.send('ZADD', `${db.prefix}leaving`, '1', `1:1-${graphs.length}`)
  await removeAll(parts, engine, graphs.slice(-1))
  expect(await left()).toEqual([])
})
