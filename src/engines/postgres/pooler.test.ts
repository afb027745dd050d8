import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemRuntime } from '../../core/runtime.ts'
import type { Engine } from '../../engine/engine.ts'
import type { Signal } from '../../engine/feed.ts'
import { alone, chainOf, chordOf, submission } from '../../../test/fixtures/graphs.ts'
import { collectionState, hand } from '../../../test/fixtures/hand.ts'
import { hire, type Hired } from '../../../test/servers/hire.ts'
import { findProgram } from '../../../test/servers/programs.ts'
import type { PostgresOptions } from './options.ts'
import { postgres } from './postgres.ts'

const hasPooler = findProgram('pgbouncer') !== null
if (!hasPooler && process.env['CI'] === 'true') throw new Error('PgBouncer could not be tested: install pgbouncer.')

/** Behind it, two connections of the server are shared by everybody, a transaction at a time. */
describe.skipIf(!hasPooler)('behind PgBouncer in transaction mode', () => {
  let server: Hired
  let pooler: Hired
  beforeAll(async () => {
    server = await hire('postgres')
    // No `ignore_startup_parameters`: whatever a connection would like to have set is refused.
    pooler = await hire('pgbouncer', { target: server.url, default_pool_size: '2' })
  })
  afterAll(async () => {
    await pooler.remove()
    await server.remove()
  })

  const closing: (() => unknown)[] = []
  let schema = ''
  let count = 0
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  function connect(options: Partial<PostgresOptions> = {}): Engine {
    const engine = postgres({ url: pooler.url, schema, ...options })(systemRuntime)
    closing.push(() => engine.close())
    return engine
  }
  const freshSchema = (): string => (schema = `pooled_${++count}`)

  test('eight processes start at once, and work', async () => {
    freshSchema()
    const engines = Array.from({ length: 8 }, () => connect())
    const done = await Promise.all(engines.map((engine) => engine.migrate()))
    expect(done.filter(({ from }) => from === 0)).toHaveLength(1)
    const graphs = engines.map((_, n) => (n % 2 === 0 ? chainOf('a', 'b', 'c') : chordOf(['a', 'b'], 'c')))
    await Promise.all(engines.map((engine, n) => engine.submit([submission(graphs[n] as (typeof graphs)[0])])))
    await Promise.all(engines.map(async (engine) => (await hand(engine)).drain()))
    for (let ran = ['']; ran.length > 0;) ran = await (await hand(engines[0] as Engine)).drain()
    for (const graph of graphs) expect(await collectionState(engines[0] as Engine, graph)).toBe('succeeded')
  })

  test('it is noticed, and looked for by asking instead of listening', async () => {
    freshSchema()
    const engine = connect()
    const found = (await engine.diagnose()).find(({ check }) => check === 'notifications')
    expect(found).toMatchObject({ level: 'ok', found: expect.stringContaining('a pooler stands between') as string })
    const other = connect()
    await other.migrate()
    let told = Promise.withResolvers<void>()
    closing.push(engine.subscribe(() => told.resolve()))
    await told.promise
    told = Promise.withResolvers()
    await other.submit([submission(alone())])
    await told.promise
    const direct = new pg.Client(server.url)
    await direct.connect()
    closing.push(() => direct.end())
    const { rows } = await direct.query(
      "select 1 from pg_stat_activity where query ilike '%listen \"celeriac%' and pid <> pg_backend_pid()",
    )
    expect(rows).toEqual([])
  })

  test('whoever has a connection of their own hears those who have none', async () => {
    freshSchema()
    const [direct, behind] = [connect({ url: server.url }), connect()]
    await direct.migrate()
    await behind.migrate()
    const listening = Promise.withResolvers<void>()
    let told = Promise.withResolvers<void>()
    // To look for anything is what is told once the connection listens, and what a look from time to time finds; a submission
    // that was heard of says that jobs are queued, and nothing about a cancel.
    const hear = ({ queued, cancel }: Signal): void =>
      queued && cancel ? listening.resolve() : queued ? told.resolve() : undefined
    closing.push(direct.subscribe(hear))
    await listening.promise
    await behind.submit([submission(alone())])
    await told.promise
    told = Promise.withResolvers()
    await behind.submit([submission(alone())])
    await told.promise
  })

  test('listening that was asked for all the same is warned of', async () => {
    freshSchema()
    expect((await connect({ listen: true }).diagnose()).find(({ check }) => check === 'notifications')).toMatchObject({
      level: 'warning',
      advice: expect.stringContaining('transaction mode') as string,
    })
  })

  test('a server without one is not taken for one', async () => {
    freshSchema()
    const found = (await connect({ url: server.url }).diagnose()).find(({ check }) => check === 'notifications')
    expect(found?.found).toMatch(/^listened for/)
  })

  test('nothing is left set or prepared on the connections that others get next', async () => {
    freshSchema()
    const engine = connect()
    await engine.submit([submission(chainOf('a', 'b'))])
    await (await hand(engine)).drain()
    await engine.sweep()
    const next = new pg.Client(pooler.url)
    await next.connect()
    closing.push(() => next.end())
    for (let tries = 0; tries < 4; tries++) {
      const { rows } = await next.query<{ changed: string[]; prepared: string; locks: string }>(
        `select array(select name from pg_settings where source = 'session') as changed,
           (select count(*) from pg_prepared_statements) as prepared,
           (select count(*) from pg_locks where locktype = 'advisory') as locks`,
      )
      expect(rows[0]).toMatchObject({ prepared: '0', locks: '0' })
      expect(
        rows[0]?.changed.filter(
          (name) => !['client_encoding', 'DateStyle', 'application_name', 'TimeZone'].includes(name),
        ),
      ).toEqual([])
    }
  })

  test('a wrong password, user and database are told of in words', async () => {
    const at = (change: Partial<Pick<URL, 'username' | 'password' | 'pathname'>>): Engine =>
      connect({ url: Object.assign(new URL(pooler.url), change).href })
    await expect(at({ password: 'nonsense' }).migrate()).rejects.toMatchObject({ code: 'STORE_DENIED' })
    await expect(at({ username: 'nobody' }).migrate()).rejects.toMatchObject({ code: 'STORE_DENIED' })
    await expect(at({ pathname: '/none' }).migrate()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
    const error = await connect({ url: `${pooler.url}?options=-c%20geqo%3Doff` })
      .migrate()
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'STORE_UNSUITABLE',
      message: expect.stringContaining('ignore_startup_parameters') as string,
    })
  })
})
