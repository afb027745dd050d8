import { expect, test } from 'vitest'
import { systemRuntime } from '../../core/runtime.ts'
import type { Engine } from '../../engine/engine.ts'
import { alone, submission } from '../../../test/fixtures/graphs.ts'
import { hand } from '../../../test/fixtures/hand.ts'
import { closedAfterEach, ownPostgres } from '../../../test/servers/own.ts'
import { functionsHash } from './functions.ts'
import { pinnedHash } from './functions-version.ts'
import { schemaVersion } from './migrate.ts'
import { postgres } from './postgres.ts'

const own = ownPostgres()

const closing = closedAfterEach()

function connect(schema: string): Engine {
  const engine = postgres({ url: own.server.url, schema, size: 2 })(systemRuntime)
  closing.push(() => engine.close())
  return engine
}

const put = async (schema: string, key: string, value: string): Promise<unknown> =>
  own.admin.query(`update ${schema}.meta set value = $2 where key = $1`, [key, value])
const noted = async (schema: string, key: string): Promise<string | undefined> =>
  (await own.admin.query<{ value: string }>(`select value from ${schema}.meta where key = $1`, [key])).rows[0]?.value

test('eight processes that start at once make one store, and all work in it', async () => {
  const engines = Array.from({ length: 8 }, () => connect('together'))
  const done = await Promise.all(engines.map((engine) => engine.migrate()))
  expect(done.map(({ to }) => to)).toEqual(Array.from({ length: 8 }, () => schemaVersion))
  // One of them made it; the others saw that at once, or after they had waited for it.
  expect(done.filter(({ from }) => from === 0)).toHaveLength(1)
  await Promise.all(engines.map((engine, n) => engine.submit([submission(alone(`job-${n}`))])))
  const ran = await (await hand(engines[0] as Engine)).drain()
  expect(ran.toSorted()).toEqual(engines.map((_, n) => `job-${n}`))
})

test('two schemas of one database are two stores, and one that is there otherwise stays what it is', async () => {
  await own.admin.query('create schema beside; create table beside.jobs_of_theirs (name text)')
  const [one, two] = [connect('beside'), connect('apart')]
  await one.submit([submission(alone('a'))])
  expect((await two.jobs({ limit: 10 })).items).toEqual([])
  expect(await (await hand(one)).drain()).toEqual(['a'])
  expect((await own.admin.query('select * from beside.jobs_of_theirs')).rows).toEqual([])
})

test('a schema made by a newer version is refused and not touched', async () => {
  await connect('newer').migrate()
  await put('newer', 'schema', String(schemaVersion + 1))
  const before = (await own.admin.query('select * from newer.meta order by key')).rows
  await expect(connect('newer').submit([submission(alone())])).rejects.toMatchObject({
    code: 'STORE_TOO_NEW',
    message: expect.stringMatching(
      new RegExp(
        `has schema ${schemaVersion + 1} in "newer".*knows schemas up to ${schemaVersion}.*update the package`,
      ),
    ) as string,
  })
  expect((await own.admin.query('select * from newer.meta order by key')).rows).toEqual(before)
})

test('functions of an older version are written anew while workers of that one go on', async () => {
  const before = connect('updated')
  await before.submit([submission(alone('a'))])
  await put('updated', 'functions', '0 of long ago')
  await own.admin.query('drop function updated.feed_cursor()')
  const after = connect('updated')
  expect(await after.migrate()).toEqual({ from: schemaVersion, to: schemaVersion })
  expect(await after.cursor()).toBe(await before.cursor())
  expect(await noted('updated', 'functions')).not.toBe('0 of long ago')
  await before.submit([submission(alone('b'))])
  expect(await (await hand(before)).drain()).toEqual(['a', 'b'])
})

test('the version of the functions rises with their text', () => {
  expect(functionsHash, 'A function on PostgreSQL has changed: run npm run functions, and commit what it writes').toBe(
    pinnedHash,
  )
})

test.each(['statement_timeout', 'lock_timeout'])('finishes whatever %s this user has', async (limit) => {
  const schema = `limited_by_${limit}`
  await own.admin.query("select pg_advisory_lock(hashtextextended('celeriac migrate ' || $1, 0))", [schema])
  const url = `${own.server.url}?options=-c%20${limit}%3D1s`
  const engine = postgres({ url, schema, size: 2 })(systemRuntime)
  closing.push(() => engine.close())
  const migrating = engine.migrate()
  const waits = `select 1 from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and not l.granted and clock_timestamp() - a.query_start > interval '1.2 s'`
  let isOver = false
  migrating.catch(() => undefined).finally(() => (isOver = true))
  while (!isOver && (await own.admin.query(waits)).rows.length === 0);
  await own.admin.query("select pg_advisory_unlock(hashtextextended('celeriac migrate ' || $1, 0))", [schema])
  expect(await migrating).toEqual({ from: 0, to: schemaVersion })
})

test('functions of a newer version stay', async () => {
  await connect('ahead').migrate()
  await put('ahead', 'functions', '999 of later')
  const engine = connect('ahead')
  await engine.submit([submission(alone('a'))])
  expect(await noted('ahead', 'functions')).toBe('999 of later')
})

test('a migration that breaks off leaves nothing behind', async () => {
  // A type of the user's, by a name that a table here needs: making it fails half-way.
  await own.admin.query('create schema half; create type half.work as enum ()')
  await expect(connect('half').migrate()).rejects.toMatchObject({ code: 'STORE_FAILED' })
  const { rows } = await own.admin.query<{ relname: string }>(
    "select relname from pg_class where relnamespace = 'half'::regnamespace",
  )
  expect(rows).toEqual([])
  await own.admin.query('drop type half.work')
  expect(await connect('half').migrate()).toMatchObject({ from: 0 })
})
