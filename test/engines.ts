import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '@redis/client'
import pg from 'pg'
import type { Runtime } from '../src/core/runtime.ts'
import type { Engine } from '../src/engine/engine.ts'
import { postgres, postgresFromUrl } from '../src/engines/postgres/postgres.ts'
import { redis, redisFromUrl } from '../src/engines/redis/redis.ts'
import { sqlite, sqliteFromUrl } from '../src/engines/sqlite/sqlite.ts'

type Connect = (runtime: Runtime) => Engine

/** An empty store of its own, somewhere. */
export interface Place {
  /** What an app is given to reach it, from this process or another. */
  readonly url: string
  /** One more connection to it, as another process would have, with the time that the runtime tells. */
  connect: Connect
  /** One as an app has by the url: with the store's own time, and so with bounds on how long it may take to answer. */
  open: Connect
  remove(): void | Promise<void>
}

export interface EngineUnderTest {
  readonly name: string
  /** Why it cannot be tested here; null when it can. */
  readonly missing: string | null
  /** Whether a test may start servers of its own for it: not where the ones to use were given. */
  readonly mayStart: boolean
  /** How many random tests it gets through in the time in which SQLite, which has no connection to wait for, does one. */
  readonly pace: number
  /** On the server of the tests, or on that at the url given. */
  readonly place: (at?: string) => Place | Promise<Place>
  /** What opens a place by its url, in another process: with this process's time, or with the store's own. */
  readonly connect: (url: string) => Connect
  readonly open: (url: string) => Connect
}

/** Settings of PostgreSQL for whoever connects to a place, as its `options`: then no other engine is under test. */
const settings = process.env['CELERIAC_TEST_POSTGRES_SETTINGS']

const all: readonly EngineUnderTest[] = [
  {
    name: 'sqlite',
    missing: null,
    mayStart: false,
    pace: 1,
    place: () => sqlitePlace(),
    connect: sqliteFromUrl,
    open: sqliteFromUrl,
  },
  served('postgres', postgresPlace, {
    connect: (url) => postgres({ url, clock: 'process' }),
    open: postgresFromUrl,
  }),
  served('redis', redisPlace, {
    connect: (url) => redis({ url, clock: 'process' }),
    open: redisFromUrl,
  }),
]
/** Every engine the contract and the scenarios run on: another one adds a line. */
export const engines = settings === undefined ? all : all.filter(({ name }) => name === 'postgres')

export function connectTo(name: string, url: string): Connect {
  const engine = engines.find((each) => each.name === name)
  if (!engine) throw new Error(`No engine under test is called ${name}.`)
  return engine.connect(url)
}

function sqlitePlace(): Place {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-'))
  const path = join(folder, 'store.db')
  const connect = sqlite({ path, mode: 'fast' })
  return {
    url: `sqlite:${path}?mode=fast`,
    connect,
    open: connect,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

// ── engines that ask a server ────────────────────────────────────────────────────────────────────────────────────

type Kind = 'postgres' | 'redis'

/** The server that the tests may use, as the environment tells it. */
export function serverUrl(kind: Kind): string {
  const url = process.env[`CELERIAC_TEST_${kind.toUpperCase()}_URL`]
  if (!url) throw new Error(whyMissing(kind) ?? '')
  return url
}

function whyMissing(kind: Kind): string | null {
  const name = kind.toUpperCase()
  if (process.env[`CELERIAC_TEST_${name}_URL`]) return null
  return (
    process.env[`CELERIAC_UNTESTED_${name}`] ?? `no server was started for it, and CELERIAC_TEST_${name}_URL is not set`
  )
}

/** Names no other place on the same server has, whoever else uses it. */
const freshName = (): string =>
  `test_${[...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`

type Ways = Pick<EngineUnderTest, 'connect' | 'open'>

/** Each place has a schema of its own on the server. */
function postgresPlace({ connect, open }: Ways, at = serverUrl('postgres')): Place {
  const schema = freshName()
  const here = settings === undefined ? at : withParameter(at, 'options', settings)
  const url = withParameter(here, 'schema', schema)
  return { url, connect: connect(url), open: open(url), remove: () => dropSchema(at, schema) }
}

const administrators = new Map<string, pg.Pool>()

async function dropSchema(at: string, schema: string): Promise<void> {
  const pool =
    administrators.get(at) ??
    new pg.Pool({ connectionString: at, max: 1, allowExitOnIdle: true }).on('error', () => undefined)
  administrators.set(at, pool)
  await pool.query(`set client_min_messages = warning; drop schema if exists ${schema} cascade`)
}

/** Each place has a namespace of its own on the server. */
function redisPlace({ connect, open }: Ways, at = serverUrl('redis')): Place {
  const namespace = freshName()
  const url = withParameter(at, 'namespace', namespace)
  return { url, connect: connect(url), open: open(url), remove: () => removeNamespace(at, namespace) }
}

async function removeNamespace(at: string, namespace: string): Promise<void> {
  const client = createClient({ url: at })
  client.on('error', () => undefined)
  await client.connect()
  for await (const keys of client.scanIterator({ MATCH: `{${namespace}}:*`, COUNT: 1_000 }))
    if (keys.length > 0) await client.unlink(keys)
  await client.close()
}

function withParameter(at: string, name: string, value: string): string {
  const url = new URL(at)
  url.searchParams.set(name, value)
  return url.href
}

function served(kind: Kind, place: (ways: Ways, at?: string) => Place, ways: Ways): EngineUnderTest {
  const mayStart = process.env['CELERIAC_TEST_OWN_SERVERS']?.includes(kind) === true
  return { name: kind, missing: whyMissing(kind), mayStart, pace: 0.2, place: (at) => place(ways, at), ...ways }
}
