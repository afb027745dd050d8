import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { StoreUnavailable } from '../../core/errors.ts'
import { systemRuntime } from '../../core/runtime.ts'
import { leavingPostgres } from '../../../test/fixtures/old-server.ts'
import { Proxy } from '../../../test/fixtures/proxy.ts'
import { closedAfterEach, ownPostgres } from '../../../test/servers/own.ts'
import { Database, isSentAgain } from './database.ts'
import { checkServer } from './open.ts'
import { type PostgresOptions, readSettings } from './options.ts'

const own = ownPostgres({}, (admin) =>
  admin.query(`
    create table things (id int primary key, count int not null default 0);
    insert into things values (1), (2);
    create function bump(a_id int) returns int language sql as 'update things set count = count + 1 where id = a_id returning count'`),
)

const closing = closedAfterEach()

async function connect(options: Partial<PostgresOptions> = {}): Promise<Database> {
  const from = options.pool === undefined ? { url: own.server.url } : {}
  const db = new Database(readSettings({ ...from, schema: 'public', ...options }), systemRuntime)
  closing.push(() => db.close())
  await db.open()
  return db
}

async function proxied(options: Partial<PostgresOptions> = {}): Promise<{ db: Database; proxy: Proxy }> {
  const proxy = await Proxy.before(own.server.url)
  closing.push(() => proxy.close())
  return { proxy, db: await connect({ url: proxy.url(own.server.url), ...options }) }
}

const refusal = (act: Promise<unknown>): Promise<unknown> =>
  act.then(
    (answer) => expect.fail(`Expected an error, not ${JSON.stringify(answer)}.`),
    (error: unknown) => error,
  )
const countOf = async (id: number): Promise<number | undefined> =>
  (await own.admin.query<{ count: number }>('select count from things where id = $1', [id])).rows[0]?.count

/** Ends what asks for this, once it does. */
async function endWhileAt(part: string, how: 'pg_terminate_backend' | 'pg_cancel_backend'): Promise<void> {
  const sql = `select ${how}(pid) from pg_stat_activity where query like $1 and state = 'active' and pid <> pg_backend_pid()`
  while ((await own.admin.query(sql, [`%${part}%`])).rowCount === 0);
}

describe('values', () => {
  test('numbers come as numbers, text as it was', async () => {
    const db = await connect()
    const text = '{"a": 1.0, "b":[]}  \u{1f600}'
    expect(
      await db.get(
        `select 9007199254740991::bigint as big, 1::smallint as small, 1.5::float8 as float, true as yes,
      array[1,2]::bigint[] as list, '{}'::bigint[] as none, $1::text as text, '{"b":2,"a":1}'::json as json`,
        text,
      ),
    ).toEqual({
      big: 9007199254740991,
      small: 1,
      float: 1.5,
      yes: true,
      list: [1, 2],
      none: [],
      text,
      json: '{"b":2,"a":1}',
    })
  })
})

describe('a request that is lost', () => {
  test('says that it was sent before, when it is sent again', async () => {
    const { db, proxy } = await proxied()
    const ask = (about: string): Promise<unknown> => db.lists('select $1::boolean, $2::text', isSentAgain, about)
    expect(await ask('first')).toEqual([[false, 'first']])
    const lost = proxy.loseReply((sent) => sent.includes('second'))
    const answer = ask('second')
    await lost
    expect(await answer).toEqual([[true, 'second']])
  })

  test('is sent again where its connection was ended at work, or while it rested', async () => {
    const db = await connect({ size: 1 })
    const slow = db.all('select pg_sleep(0.2), 1 as done')
    await endWhileAt('pg_sleep(0.2)', 'pg_terminate_backend')
    expect(await slow).toMatchObject([{ done: 1 }])
    const [row] = await db.lists<[number]>('select pg_backend_pid()')
    await own.admin.query('select pg_terminate_backend($1)', [row?.[0]])
    expect(await db.get('select 1 as one')).toEqual({ one: 1 })
  })

  test('is sent again where its reply was lost', async () => {
    const { db, proxy } = await proxied({ size: 1 })
    await db.get('select 1')
    const before = (await countOf(1)) as number
    const lost = proxy.loseReply((sent) => sent.includes('bump'))
    expect(await db.get('select bump(1) as count')).toEqual({ count: before + 2 })
    await lost
  })

  test('is told of as one that may be stored, when nobody answers any more', async () => {
    const { db, proxy } = await proxied({ size: 1 })
    await db.get('select 1')
    const before = (await countOf(1)) as number
    void proxy.loseReply((sent) => {
      if (!sent.includes('bump')) return false
      proxy.refuse()
      return true
    })
    const error = await refusal(db.get('select bump(1)'))
    expect(error).toBeInstanceOf(StoreUnavailable)
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE', mayBeStored: true })
    expect(await countOf(1)).toBe(before + 1)
    expect(await refusal(db.get('select bump(1)'))).toMatchObject({ mayBeStored: false })
    proxy.refuse(false)
    expect(await db.get('select 1 as one')).toEqual({ one: 1 })
  })

  test('whose answer does not come in time is given up, and so is every connection from before', async () => {
    const { db, proxy } = await proxied({ size: 3, timeout: 200 })
    await Promise.all([1, 2, 3].map(() => db.get('select pg_sleep(0.01)')))
    const before = proxy.counts.connections
    proxy.freeze()
    const error = await refusal(db.get('select 1'))
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE', mayBeStored: true })
    expect((error as Error).message).toMatch(/gave no answer within \d+ ms/)
    proxy.thaw()
    expect(await db.get('select 1 as one')).toEqual({ one: 1 })
    // One to tell the server to stop, one anew: of three that were open none is used.
    expect(proxy.counts.connections).toBe(before + 2)
  })

  test('is stopped at the server too: it would go on, holding what it holds', async () => {
    const db = await connect({ timeout: 200 })
    await refusal(db.get('select pg_sleep(1000)'))
    const { rows } = await own.admin.query(
      "select 1 from pg_stat_activity where query like '%pg_sleep(1000)%' and pid <> pg_backend_pid() and state = 'active'",
    )
    for (let left = rows.length; left > 0;)
      left = (
        await own.admin.query(
          "select 1 from pg_stat_activity where query like '%pg_sleep(1000)%' and pid <> pg_backend_pid() and state = 'active'",
        )
      ).rows.length
  })

  test('is not one that this process was too busy to hear the answer of', async () => {
    const db = await connect({ timeout: 1_000, size: 1 })
    await db.get('select 1')
    const answer = db.get('select 1 as one, pg_sleep(0.51)')
    const active = "select 1 from pg_stat_activity where query like '%pg_sleep(0.51)%' and pid <> pg_backend_pid()"
    while ((await own.admin.query(active)).rowCount === 0);
    // The answer comes while nobody looks, and then it is too late for it.
    const end = performance.now() + 1_200
    while (performance.now() < end);
    expect(await answer).toMatchObject({ one: 1 })
  })
})

describe('a request that gives way', () => {
  test('is sent again after a deadlock', async () => {
    const db = await connect()
    const both = (first: number, second: number): Promise<unknown> =>
      db.all(`do $$ begin perform bump(${first}); perform pg_sleep(0.1); perform bump(${second}); end $$`)
    const before = (await countOf(1)) as number
    await Promise.all([both(1, 2), both(2, 1)])
    expect(await countOf(1)).toBe(before + 2)
  })

  test('is told of when it gives way again and again', async () => {
    const db = await connect()
    const error = await refusal(
      db.all(`do $$ begin raise exception using errcode = '40001', message = 'no luck'; end $$`),
    )
    expect(error).toMatchObject({ code: 'STORE_BUSY' })
    expect((error as Error).message).toContain('again and again (no luck)')
  })
})

describe('what the server says', () => {
  const says = async (state: string): Promise<unknown> => {
    const db = await connect()
    return refusal(db.all(`do $$ begin raise exception using errcode = '${state}', message = 'as it says'; end $$`))
  }

  test('becomes a code and a sentence with what to do', async () => {
    const known: Readonly<Record<string, readonly [string, RegExp]>> = {
      '53100': ['STORE_FULL', /no room on its disk; nothing was stored: make room/],
      '53200': ['STORE_FAILED', /out of memory/],
      '55P03': ['STORE_BUSY', /waited too long for a lock/],
      '42501': ['STORE_DENIED', /grant the right/],
      '25006': ['STORE_READ_ONLY', /give the address of the primary/],
      XX001: ['STORE_CORRUPT', /restore a backup/],
      '22012': ['STORE_FAILED', /refused a request: as it says/],
    }
    for (const [state, [code, sentence]] of Object.entries(known)) {
      const error = await says(state)
      expect(error, state).toMatchObject({ code, message: expect.stringMatching(sentence) as string })
      expect((error as Error).message).toContain('as it says')
    }
  })

  test('a statement time-out of the server is told as what it is', async () => {
    const db = await connect({ size: 1 })
    const slow = refusal(db.all('select pg_sleep(600)'))
    await endWhileAt('pg_sleep(600)', 'pg_cancel_backend')
    expect(await slow).toMatchObject({
      code: 'STORE_BUSY',
      message: expect.stringContaining('took too long') as string,
    })
  })
})

describe('connections', () => {
  test('a server that has none left is gone on with on those that are open', async () => {
    await own.admin.query("create role few login password 'few' connection limit 2; grant all on things to few")
    const url = Object.assign(new URL(own.server.url), { username: 'few', password: 'few' }).href
    const db = await connect({ url, size: 20 })
    const all = await Promise.all(Array.from({ length: 40 }, () => db.get<{ one: number }>('select 1 as one')))
    expect(all).toHaveLength(40)
    expect(db.connections.most).toBeLessThanOrEqual(2)
  })

  test('a server that lets in and goes away in one breath does not end the process', async () => {
    const server = await leavingPostgres()
    closing.push(() => server.close())
    const url = `postgres://somebody@127.0.0.1:${server.port}/jobs`
    const { Pool } = pg
    for (const options of [{ url }, { pool: new Pool({ connectionString: url }) }]) {
      const db = await connect(options)
      expect(await refusal(db.get('select 1 as one'))).toBeInstanceOf(StoreUnavailable)
    }
  })

  test('that all are in use for too long is told of', async () => {
    const db = await connect({ size: 1, timeout: 300 })
    const slow = refusal(db.get('select pg_sleep(1000)'))
    const error = await refusal(db.get('select 1'))
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE', mayBeStored: false })
    expect((error as Error).message).toContain('raise "size"')
    await slow
  })

  test('that break while nothing is asked of them do not end the process', async () => {
    const pool = new pg.Pool({ connectionString: own.server.url, max: 2 })
    closing.push(() => pool.end())
    for (const db of [await connect({ size: 2 }), await connect({ pool })]) {
      const pids = await Promise.all(
        [1, 2].map(async () => (await db.lists<[number]>('select pg_backend_pid(), pg_sleep(0.05)'))[0]?.[0]),
      )
      await own.admin.query('select pg_terminate_backend(pid) from unnest($1::int[]) pid', [pids])
      expect(await db.get('select 1 as one')).toEqual({ one: 1 })
    }
  })

  test('one that breaks within a transaction ends that one only', async () => {
    const db = await connect()
    const error = await refusal(
      db.transaction(async (requests) => {
        const [row] = await requests.lists<[number]>('select pg_backend_pid()')
        await requests.all('select bump(1)')
        await own.admin.query('select pg_terminate_backend($1)', [row?.[0]])
        await requests.all('select 1')
      }),
    )
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE' })
    expect(await db.get('select 1 as one')).toEqual({ one: 1 })
  })

  test('what a body throws undoes its transaction and comes out as it is', async () => {
    const db = await connect()
    const before = await countOf(2)
    const thrown = new Error('changed my mind')
    const error = await refusal(
      db.transaction(async (requests) => {
        await requests.all('select bump(2)')
        throw thrown
      }),
    )
    expect(error).toBe(thrown)
    expect(await countOf(2)).toBe(before)
  })

  test('a plan that is needed often is kept by a connection that nobody else gets, and by no other', async () => {
    const direct = await connect({ size: 1 })
    expect(direct.isPooled).toBe(true)
    const prepared = async (): Promise<string[]> =>
      (await direct.lists<[string]>('select statement from pg_prepared_statements')).map(([text]) => text)
    const bump = async (): Promise<void> => {
      for (let calls = 0; calls < 3; calls++) await direct.call('bump', 1)
    }
    await bump()
    expect(await prepared()).toEqual([])
    await checkServer(direct)
    expect(direct.isPooled).toBe(false)
    await bump()
    expect(await prepared()).toEqual(['select * from "public".bump($1)'])
  })
})
