import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import {
  CamelCasePlugin,
  Kysely,
  type KyselyPlugin,
  ParseJSONResultsPlugin,
  PostgresDialect,
  sql as kyselySql,
} from 'kysely'
import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import type { Transaction } from '../../src/engine/intake.ts'
import { postgres } from '../../src/engines/postgres/postgres.ts'
import { alone, chordOf, groupOf, submission } from '../fixtures/graphs.ts'
import { hand } from '../fixtures/hand.ts'
import { Proxy } from '../fixtures/proxy.ts'
import { type OpenStore, onEveryEngine, type Store } from '../fixtures/store.ts'

interface Beside extends Store {
  readonly pool: pg.Pool
  readonly schema: string
  /** The notes that are kept. */
  notes(): Promise<readonly string[]>
}

/** A pool of the user's to the same database, and a table of notes. */
async function openBeside(open: OpenStore): Promise<Beside> {
  const store = await open()
  await store.engine.migrate()
  const url = new URL(store.engine.url!)
  const schema = url.searchParams.get('schema')!
  url.search = ''
  const pool = new pg.Pool({ connectionString: url.href, max: 5 })
  pool.on('error', () => undefined)
  onTestFinished(() => pool.end())
  await pool.query(`create table ${schema}.own_notes (text text)`)
  const notes = async (): Promise<string[]> =>
    (await pool.query<{ text: string }>(`select text from ${schema}.own_notes`)).rows.map(({ text }) => text)
  return { ...store, pool, schema, notes }
}

/** Runs the body in a transaction, which is rolled back where it throws. */
type InTransaction = (
  beside: Beside,
  body: (transaction: Transaction, note: (text: string) => Promise<unknown>) => Promise<void>,
) => Promise<void>

const byKysely =
  (plugins: KyselyPlugin[] = []): InTransaction =>
  async ({ pool, schema }, body) => {
    const db = new Kysely<unknown>({
      dialect: new PostgresDialect({ pool: Object.assign(pool, { end: async () => {} }) }),
      plugins,
    })
    await db.transaction().execute(async (trx) => {
      await body(trx, (text) =>
        kyselySql`insert into ${kyselySql.ref(`${schema}.own_notes`)} values (${text})`.execute(trx),
      )
    })
  }

const ways: Record<string, InTransaction> = {
  'a client of pg': async ({ pool, schema }, body) => {
    const client = await pool.connect()
    try {
      await client.query('begin')
      await body(client, (text) => client.query(`insert into ${schema}.own_notes values ($1)`, [text]))
      await client.query('commit')
    } catch (error) {
      await client.query('rollback')
      throw error
    } finally {
      client.release()
    }
  },
  'what is shaped like one': async (beside, body) =>
    ways['a client of pg']!(beside, async (transaction, note) => {
      const client = transaction as pg.PoolClient
      await body({ query: (text: string, values: unknown[]) => client.query(text, values) }, note)
    }),
  'a client with its own ideas of values': async (beside, body) =>
    ways['a client of pg']!(beside, async (transaction, note) => {
      const client = transaction as pg.PoolClient
      const types = { getTypeParser: () => (text: string) => `${text} ` } as never
      await body({ query: (text: string, values: unknown[]) => client.query({ text, values, types }) }, note)
    }),
  Kysely: byKysely(),
  'Kysely with its own ideas of rows': byKysely([new CamelCasePlugin(), new ParseJSONResultsPlugin()]),
  'a controlled transaction of Kysely': async ({ pool, schema }, body) => {
    const db = new Kysely<unknown>({
      dialect: new PostgresDialect({ pool: Object.assign(pool, { end: async () => {} }) }),
    })
    const trx = await db.startTransaction().execute()
    try {
      await body(trx, (text) =>
        kyselySql`insert into ${kyselySql.ref(`${schema}.own_notes`)} values (${text})`.execute(trx),
      )
      await trx.commit().execute()
    } catch (error) {
      await trx.rollback().execute()
      throw error
    }
  },
  Drizzle: async ({ pool, schema }, body) => {
    await drizzle({ client: pool }).transaction(async (tx) => {
      await body(tx, (text) => tx.execute(drizzleSql`insert into ${drizzleSql.raw(schema)}.own_notes values (${text})`))
    })
  },
  'a transaction inside one of Drizzle': async ({ pool, schema }, body) => {
    await drizzle({ client: pool }).transaction((outer) =>
      outer.transaction(async (tx) => {
        await body(tx, (text) =>
          tx.execute(drizzleSql`insert into ${drizzleSql.raw(schema)}.own_notes values (${text})`),
        )
      }),
    )
  },
}

onEveryEngine(
  (open) => {
    describe.each(Object.entries(ways))('submitting within a transaction of %s', (_, inTransaction) => {
      test('it is stored with what else was written, or neither is', async () => {
        const beside = await openBeside(open)
        const { engine } = beside
        const worker = await hand(engine)
        const unique = { key: 'u', until: 'settled', onConflict: 'reject' } as const
        const held = alone('held')
        await inTransaction(beside, async (transaction, note) => {
          await note('kept')
          const several = [submission(alone('one')), submission(chordOf(['a', 'b'])), submission(held, { unique })]
          expect(await engine.submit(several, transaction)).toMatchObject([
            { type: 'created' },
            { type: 'created' },
            { type: 'created' },
          ])
          expect(await engine.submit([submission(alone(), { unique })], transaction)).toEqual([
            { type: 'conflict', reason: 'unique', collectionId: held.id },
          ])
          const large = chordOf(Array.from({ length: engine.partSize + 1 }, (__, n) => `m${n}`))
          for (let part = 0; part < 2; part++) await engine.upload(large, part, null, transaction)
        })
        const failing = inTransaction(beside, async (transaction, note) => {
          await note('never')
          await engine.submit([submission(alone('never'))], transaction)
          throw new Error('Expected')
        })
        await expect(failing).rejects.toThrow('Expected')
        expect(await beside.notes()).toEqual(['kept'])
        expect(await worker.drain()).toEqual(['one', 'a', 'b', 'held', 'body'])
      })
    })

    describe('what is no transaction', () => {
      const wrong: Record<string, [(beside: Beside) => unknown, string]> = {
        'a pool': [({ pool }) => pool, 'this is a pool, whose queries go this way and that'],
        'a Kysely that none was begun on': [
          ({ pool }) => new Kysely({ dialect: new PostgresDialect({ pool }) }),
          'begin one of this Kysely, and give what it hands you: db.transaction().execute(async (trx) => …)',
        ],
        'a Drizzle that none was begun on': [
          ({ pool }) => drizzle({ client: pool }),
          'begin one of this Drizzle, and give what it hands you: db.transaction(async (tx) => …)',
        ],
        'a DatabaseSync': [() => ({ prepare() {}, isTransaction: true }), 'not one of SQLite'],
        'a text': [
          () => 'begin',
          "PostgreSQL takes a client of pg, or a transaction of Kysely or Drizzle, not 'begin'",
        ],
      }
      test.each(Object.entries(wrong))('%s is refused', async (_, [make, words]) => {
        const beside = await openBeside(open)
        const graph = alone()
        await expect(beside.engine.submit([submission(graph)], make(beside))).rejects.toMatchObject({
          code: 'BAD_ARGUMENT',
          message: expect.stringContaining(words) as string,
        })
        expect(await beside.engine.job(graph.id)).toBeNull()
      })

      test('a client on which none was begun, or one that failed, is refused', async () => {
        const beside = await openBeside(open)
        const client = await beside.pool.connect()
        onTestFinished(() => client.release())
        const graph = alone()
        await expect(beside.engine.submit([submission(graph)], client)).rejects.toThrow(
          "begin one on this connection, by query('begin')",
        )
        await client.query('begin')
        await client.query('select 1 / 0').catch(() => undefined)
        await expect(beside.engine.submit([submission(graph)], client)).rejects.toThrow('can only be rolled back')
        await client.query('rollback')
        expect(await beside.engine.job(graph.id)).toBeNull()
      })

      test('a begin that is on its way is begun', async () => {
        const beside = await openBeside(open)
        const client = await beside.pool.connect()
        onTestFinished(() => client.release())
        void client.query('begin')
        await beside.engine.submit([submission(alone())], client)
        await client.query('rollback')
        expect(await (await hand(beside.engine)).drain()).toEqual([])
      })

      test('one of another database, or where there is no store, is refused', async () => {
        const beside = await openBeside(open)
        const name = `${beside.schema}_other`
        await beside.pool.query(`create database ${name}`)
        const url = new URL(beside.engine.url!)
        url.pathname = name
        const other = postgres({ url: url.href })({ ...beside.clock })
        const pool = new pg.Pool({ connectionString: Object.assign(new URL(url), { search: '' }).href })
        pool.on('error', () => undefined)
        onTestFinished(async () => {
          await other.close()
          await pool.end()
          await new pg.Pool({
            connectionString: Object.assign(new URL(beside.engine.url!), { search: '' }).href,
            allowExitOnIdle: true,
          }).query(`drop database ${name} with (force)`)
        })
        const client = await pool.connect()
        onTestFinished(() => client.release())
        const refused = async (): Promise<string> => {
          await client.query('begin')
          const error = await beside.engine.submit([submission(alone())], client).catch((thrown: Error) => thrown)
          await client.query('rollback')
          return (error as Error).message
        }
        expect(await refused()).toBe(
          `within: there is no store in the schema "${beside.schema}" of the database that this transaction is open on.`,
        )
        await other.migrate()
        expect(await refused()).toMatch(
          `this transaction is open on the database "${name}", and the jobs are kept in "`,
        )
      })
    })

    test('a queue that is new holds nobody up, however long the transaction stays open', async () => {
      const beside = await openBeside(open)
      const { engine, second } = beside
      const client = await beside.pool.connect()
      onTestFinished(() => client.release())
      await client.query('begin')
      await engine.submit([submission(alone('within', { queue: 'new' }))], client)
      await second().submit([submission(alone('beside', { queue: 'new' }))])
      const worker = await hand(engine)
      expect(await worker.drain()).toEqual(['beside'])
      await client.query('commit')
      // Its number is the lower one: it is found all the same.
      expect(await worker.drain()).toEqual(['within'])
    })

    test('calls made at once in one transaction are sent one behind the other, also where one is refused', async () => {
      const { engine, pool } = await openBeside(open)
      const client = await pool.connect()
      onTestFinished(() => client.release())
      let [underWay, most] = [0, 0]
      const counting = {
        async query(text: string, values: unknown[]) {
          most = Math.max(most, ++underWay)
          return client.query(text, values).finally(() => underWay--)
        },
      }
      await client.query('begin')
      const [one, refused, other] = await Promise.allSettled([
        engine.submit([submission(alone('taken'))], counting),
        engine.upload(groupOf(), 1, null, counting),
        engine.submit([submission(alone('other'))], counting),
      ])
      await client.query('commit')
      expect([one.status, refused.status, other.status]).toEqual(['fulfilled', 'rejected', 'fulfilled'])
      expect(most).toBe(1)
      expect(await (await hand(engine)).drain()).toEqual(['taken', 'other'])
    })

    test('the server tells whoever listens, at the commit and not before', async () => {
      const { engine, pool, schema } = await openBeside(open)
      const [client, listener] = await Promise.all([pool.connect(), pool.connect()])
      onTestFinished(() => {
        client.release()
        listener.release(true)
      })
      let heard = 0
      listener.on('notification', () => heard++)
      await listener.query(`listen "celeriac:${schema}"`)
      for (const [end, expected] of [
        ['rollback', 0],
        ['commit', 1],
      ] as const) {
        await client.query('begin')
        await engine.submit([submission(alone()), submission(alone())], client)
        await listener.query('select 1')
        expect(heard).toBe(0)
        await client.query(end)
        // What was said to this connection comes before the answer to what it asks next.
        await listener.query('select 1')
        expect(heard).toBe(expected)
      }
    })

    test('handlers that hold a transaction of the user’s own pool leave a connection to everything else', async () => {
      const beside = await openBeside(open)
      const pool = new pg.Pool({ connectionString: beside.pool.options.connectionString as string, max: 3 })
      pool.on('error', () => undefined)
      const engine = postgres({ pool, schema: beside.schema, listen: false })({ ...beside.clock })
      onTestFinished(async () => {
        await engine.close()
        await pool.end()
      })
      await engine.submit(Array.from({ length: 6 }, () => submission(alone())))
      const worker = await hand(engine)
      const jobs = await worker.claim(6)
      let inside = 0
      const both = Promise.withResolvers<void>()
      const answers = await Promise.all(
        jobs.map((job) =>
          engine.settleWithin(job, async () => {
            if (++inside === 2) both.resolve()
            await both.promise
            await worker.beat()
            return null
          }),
        ),
      )
      expect(answers).toEqual(jobs.map(() => 'accepted'))
    })

    describe('completing a job while connections fail', () => {
      const behindProxy = async () => {
        const beside = await openBeside(open)
        const proxy = await Proxy.before(beside.engine.url!)
        const engine: Engine = postgres({ url: proxy.url(beside.engine.url!), timeout: 2_000 })({ ...beside.clock })
        onTestFinished(async () => {
          await engine.close()
          await proxy.close()
        })
        await engine.submit([submission(alone())])
        const worker = await hand(engine)
        const job = await worker.take()
        const write = async (transaction: Transaction): Promise<string> => {
          await (transaction as pg.PoolClient).query(`insert into ${beside.schema}.own_notes values ('done')`)
          return '"done"'
        }
        return { ...beside, engine, proxy, worker, job, write }
      }
      const isCommit = (sent: Buffer): boolean => sent.includes('commit')

      test('the reply to COMMIT is lost: it was committed, and that is found out', async () => {
        const { engine, proxy, job, write, notes, worker } = await behindProxy()
        const lost = proxy.loseReply(isCommit)
        expect(await engine.settleWithin(job, write)).toBe('accepted')
        await lost
        expect(await notes()).toEqual(['done'])
        expect(await engine.job(job.id)).toMatchObject({ state: 'succeeded', result: { json: '"done"' } })
        expect(await worker.claim(10)).toEqual([])
      })

      test('the connection breaks at COMMIT: it was not committed, and that is found out', async () => {
        const { engine, schema, pool, job, write, notes, worker } = await behindProxy()
        await pool.query(`
        create function ${schema}.die() returns trigger language plpgsql as $$
        begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(5); return null; end $$;
        create constraint trigger die after insert on ${schema}.own_notes deferrable initially deferred
          for each row execute function ${schema}.die();`)
        await expect(engine.settleWithin(job, write)).rejects.toMatchObject({
          code: 'STORE_UNREACHABLE',
          mayBeStored: false,
        })
        expect(await notes()).toEqual([])
        await pool.query(`drop trigger die on ${schema}.own_notes`)
        expect(await engine.settleWithin(job, write)).toBe('accepted')
        expect(await worker.claim(10)).toEqual([])
      })

      test('the server refuses at COMMIT: nothing is kept, and it says why', async () => {
        const { engine, schema, pool, job, write, notes, worker } = await behindProxy()
        await pool.query(`alter table ${schema}.own_notes add constraint once unique (text) deferrable initially deferred;
        insert into ${schema}.own_notes values ('done')`)
        await expect(engine.settleWithin(job, write)).rejects.toThrow(
          'duplicate key value violates unique constraint "once"',
        )
        expect(await notes()).toEqual(['done'])
        expect(await worker.succeed(job)).toBe('accepted')
      })

      test('the connection is lost while the callback runs: nothing is kept', async () => {
        const { engine, proxy, job, write, notes, worker } = await behindProxy()
        const settling = engine.settleWithin(job, async (transaction) => {
          await write(transaction)
          proxy.reset()
          return write(transaction)
        })
        await expect(settling).rejects.toThrow()
        expect(await notes()).toEqual([])
        expect(await worker.succeed(job)).toBe('accepted')
      })

      test('a callback that swallows a failed statement, or ends the transaction, completes nothing', async () => {
        const { engine, job, notes, write, worker } = await behindProxy()
        const client = (transaction: Transaction): pg.PoolClient => transaction as pg.PoolClient
        const swallowing = engine.settleWithin(job, async (transaction) => {
          await write(transaction)
          await client(transaction)
            .query('select 1 / 0')
            .catch(() => undefined)
          return null
        })
        await expect(swallowing).rejects.toThrow('a statement of the callback failed and it went on all the same')
        for (const end of ['commit', 'rollback']) {
          const ending = engine.settleWithin(job, async (transaction) => {
            await client(transaction).query(end)
            return null
          })
          await expect(ending).rejects.toThrow('leave out commit and rollback')
        }
        expect(await notes()).toEqual([])
        expect(await worker.succeed(job)).toBe('accepted')
      })

      test('many handlers that hold a transaction leave connections to everything else', async () => {
        const { engine, write, notes } = await behindProxy()
        await engine.submit(Array.from({ length: 12 }, () => submission(alone())))
        const worker = await hand(engine)
        const jobs = await worker.claim(12)
        let inside = 0
        const full = Promise.withResolvers<void>()
        const answers = Promise.all(
          jobs.map((job) =>
            engine.settleWithin(job, async (transaction) => {
              if (++inside === 5) full.resolve()
              await full.promise
              await worker.beat()
              return write(transaction)
            }),
          ),
        )
        expect(await answers).toEqual(jobs.map(() => 'accepted'))
        expect(await notes()).toHaveLength(12)
      })
    })
  },
  ['postgres'],
)
