import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { CeleriacError, StoreUnavailable } from '../../core/errors.ts'
import { systemRuntime } from '../../core/runtime.ts'
import type { Engine } from '../../engine/engine.ts'
import { alone, submission } from '../../../test/fixtures/graphs.ts'
import { hand } from '../../../test/fixtures/hand.ts'
import { closedAfterEach, ownPostgres } from '../../../test/servers/own.ts'
import { findPort } from '../../../test/servers/port.ts'
import { startStandby } from '../../../test/servers/standby.ts'
import { oldestServer, versionName } from './open.ts'
import type { PostgresOptions } from './options.ts'
import { postgres } from './postgres.ts'

const own = ownPostgres({ wal_level: 'replica' })

const closing = closedAfterEach()

function connect(options: PostgresOptions): Engine {
  const engine = postgres(options)(systemRuntime)
  closing.push(() => engine.close())
  return engine
}

function urlWith(change: Partial<Pick<URL, 'username' | 'password' | 'port' | 'hostname' | 'pathname'>>): string {
  return Object.assign(new URL(own.server.url), change).href
}

async function refusal(act: Promise<unknown>): Promise<CeleriacError> {
  const error = await act.then(
    (answer) => expect.fail(`Expected an error, not ${JSON.stringify(answer)}.`),
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(CeleriacError)
  // One sentence, with its end, and no password in it.
  expect((error as Error).message).toMatch(/^\S.*\.$/s)
  expect((error as Error).message).not.toContain(new URL(own.server.url).password)
  return error as CeleriacError
}

async function role(name: string, options = ''): Promise<string> {
  await own.admin.query(`create role ${name} login password 'theirs' ${options}`)
  return urlWith({ username: name, password: 'theirs' })
}

describe('a server that is not there, or does not let in', () => {
  test('nobody answers at the port', async () => {
    const error = await refusal(connect({ url: urlWith({ port: String(await findPort()) }) }).migrate())
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE', mayBeStored: false })
    expect(error).toBeInstanceOf(StoreUnavailable)
    expect(error.message).toMatch(
      /^PostgreSQL at 127\.0\.0\.1:\d+\/postgres cannot be reached: no server answers there/,
    )
  })

  test('there is no host of that name', async () => {
    const error = await refusal(connect({ url: urlWith({ hostname: 'nobody.invalid' }) }).migrate())
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE', mayBeStored: false })
    expect(error.message).toMatch(/cannot be reached: (there is no host of that name|the name of the host)/)
  })

  test('somebody takes the connection and never says a word', async () => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    closing.push(() => silent.close())
    const { port } = silent.address() as AddressInfo
    const error = await refusal(connect({ url: urlWith({ port: String(port) }), timeout: 300 }).migrate())
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE', mayBeStored: false })
    expect(error.message).toContain('connection timeout')
  })

  test('the password is wrong', async () => {
    const error = await refusal(connect({ url: urlWith({ password: 'nonsense' }) }).migrate())
    expect(error.code).toBe('STORE_DENIED')
    expect(error.message).toMatch(/refused the user or the password: check both in the url/)
    expect(error.message).not.toContain('nonsense')
  })

  test('there is no such user', async () => {
    expect(await refusal(connect({ url: urlWith({ username: 'nobody' }) }).migrate())).toMatchObject({
      code: 'STORE_DENIED',
    })
  })

  test('there is no such database', async () => {
    const error = await refusal(connect({ url: urlWith({ pathname: '/none' }) }).migrate())
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE', mayBeStored: false })
    expect(error.message).toMatch(/\/none has no such database: make it with createdb/)
  })

  test('encryption is asked for, and the server has none', async () => {
    const error = await refusal(connect({ url: `${own.server.url}?sslmode=verify-full` }).migrate())
    expect(error.code).toBe('STORE_UNREACHABLE')
    expect(error.message).toContain('check sslmode')
  })

  test('it has no connection left', async () => {
    const name = await role('crowded', 'connection limit 1')
    const only = new pg.Client(name)
    await only.connect()
    closing.push(() => only.end())
    const error = await refusal(connect({ url: name }).migrate())
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE', mayBeStored: false })
    expect(error.message).toMatch(/has no connection left: raise max_connections/)
  })

  test('what cannot be opened can be once it is mended', async () => {
    const url = urlWith({ pathname: '/late' })
    const engine = connect({ url })
    await refusal(engine.migrate())
    await own.admin.query('create database late')
    expect(await engine.migrate()).toMatchObject({ from: 0 })
  })
})

describe('a server that cannot hold the store', () => {
  test('is too old', async () => {
    const error = await refusal(connect({ url: own.server.url, schema: 'old', version: 120_017 }).migrate())
    expect(error.code).toBe('STORE_UNSUITABLE')
    expect(error.message).toMatch(/is version 12\.17\. It was not touched: use PostgreSQL 13 or newer/)
    expect((await own.admin.query("select 1 from pg_namespace where nspname = 'old'")).rowCount).toBe(0)
    expect(await connect({ url: own.server.url, schema: 'old', version: oldestServer }).migrate()).toMatchObject({
      from: 0,
    })
  })

  test('keeps text in another encoding', async () => {
    await own.admin.query("create database latin encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C'")
    const error = await refusal(connect({ url: urlWith({ pathname: '/latin' }) }).migrate())
    expect(error.code).toBe('STORE_UNSUITABLE')
    expect(error.message).toMatch(/keeps text as LATIN1.*--encoding UTF8/)
  })

  test('lets the user only read', async () => {
    const url = await role('reader')
    await own.admin.query('alter role reader set default_transaction_read_only = on')
    const error = await refusal(connect({ url }).migrate())
    expect(error.code).toBe('STORE_READ_ONLY')
    expect(error.message).toMatch(/default_transaction_read_only/)
  })

  test('is a standby, until it is promoted', async () => {
    const standby = await startStandby(own.server.url)
    closing.push(() => standby.remove())
    const engine = connect({ url: standby.url, schema: 'stood_by' })
    const error = await refusal(engine.migrate())
    expect(error.code).toBe('STORE_READ_ONLY')
    expect(error.message).toMatch(/is a standby.*address of the primary/)
    await standby.promote()
    expect(await engine.migrate()).toMatchObject({ from: 0 })
  })

  test('has become one while it was in use', async () => {
    const url = await role('demoted', 'superuser')
    const engine = connect({ url, schema: 'demoted', size: 1 })
    const graph = alone()
    await engine.submit([submission(graph)])
    await own.admin.query('alter role demoted set default_transaction_read_only = on')
    // Connections that are open go on as they were: as after a failover, they are ended.
    await own.admin.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'demoted'")
    const error = await refusal(engine.submit([submission(alone())]))
    expect(error.code).toBe('STORE_READ_ONLY')
    await own.admin.query('alter role demoted reset default_transaction_read_only')
    await engine.submit([submission(alone())])
    expect((await engine.jobs({ limit: 10 })).items).toHaveLength(2)
  })

  test('versions are told as the server tells them', () => {
    expect([90624, 120017, 150004, 180000].map(versionName)).toEqual(['9.6', '12.17', '15.4', '18.0'])
  })
})

describe('rights', () => {
  test('who may not make a schema is told what to have run', async () => {
    const url = await role('stranger')
    const error = await refusal(connect({ url, schema: 'forbidden' }).migrate())
    expect(error.code).toBe('STORE_DENIED')
    expect(error.message).toMatch(
      /has no schema "forbidden", and this user may not make one: .*create schema "forbidden" authorization/,
    )
  })

  test('who may use the schema but not change it is told what to have run', async () => {
    const url = await role('guest')
    await own.admin.query('create schema empty; grant usage on schema empty to guest')
    const error = await refusal(connect({ url, schema: 'empty' }).migrate())
    expect(error.code).toBe('STORE_DENIED')
    expect(error.message).toMatch(/does not let this user make tables in the schema "empty"/)
  })

  test('who has the schema made for them needs no right on the database', async () => {
    const url = await role('tenant')
    await own.admin.query('create schema rented authorization tenant')
    expect(await connect({ url, schema: 'rented' }).migrate()).toMatchObject({ from: 0 })
  })

  test('who may only use what is there works with it', async () => {
    await connect({ url: own.server.url, schema: 'shared' }).migrate()
    const url = await role('worker_only')
    const engine = connect({ url, schema: 'shared' })
    expect(await refusal(engine.migrate())).toMatchObject({ code: 'STORE_DENIED' })
    await own.admin
      .query(`grant usage on schema shared to worker_only; grant all on all tables in schema shared to worker_only;
      grant all on all sequences in schema shared to worker_only`)
    await engine.submit([submission(alone('a'))])
    expect(await (await hand(engine)).drain()).toEqual(['a'])
    await engine.sweep()
    const found = await engine.diagnose()
    expect(found.find(({ check }) => check === 'permissions')).toMatchObject({
      level: 'ok',
      found: 'may use the schema, and not change it',
    })
    await own.admin.query('revoke insert on shared.log from worker_only')
    expect((await engine.diagnose()).find(({ check }) => check === 'permissions')).toMatchObject({
      level: 'error',
      found: 'not all rights on log',
    })
  })
})

describe("a pool of the user's", () => {
  test('is used and left open', async () => {
    const pool = new pg.Pool({ connectionString: own.server.url, max: 3 })
    closing.push(() => pool.end())
    const engine = connect({ pool, schema: 'pooled' })
    await engine.submit([submission(alone('a'))])
    expect(await (await hand(engine)).drain()).toEqual(['a'])
    await engine.close()
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    expect(pool.listenerCount('error')).toBe(0)
  })

  test('may parse numbers as it likes', async () => {
    const types = { getTypeParser: () => () => 'parsed by the user' } as unknown as pg.CustomTypesConfig
    const pool = new pg.Pool({ connectionString: own.server.url, types })
    closing.push(() => pool.end())
    const engine = connect({ pool, schema: 'parsed' })
    const graph = alone('a')
    await engine.submit([submission(graph)])
    expect(await engine.job(graph.id)).toMatchObject({ task: 'a', attempt: 0, state: 'queued' })
  })

  test('that has been ended is told of', async () => {
    const pool = new pg.Pool({ connectionString: own.server.url })
    const engine = connect({ pool, schema: 'pooled' })
    await engine.migrate()
    await pool.end()
    const error = await refusal(engine.cursor())
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE', mayBeStored: false })
    expect(error.message).toContain('end it after the app is closed')
  })
})
