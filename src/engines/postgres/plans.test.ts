import pg from 'pg'
import { expect, test } from 'vitest'
import { manualRuntime } from '../../../test/fixtures/clock.ts'
import { alone, submission } from '../../../test/fixtures/graphs.ts'
import { hand, lease } from '../../../test/fixtures/hand.ts'
import { closedAfterEach, ownPostgres } from '../../../test/servers/own.ts'
import { postgres } from './postgres.ts'

const own = ownPostgres()
const closing = closedAfterEach()
const schema = 'planned'
const size = 3_000

test('no call of a worker reads the jobs that are over, though its plans were made while there were none', async () => {
  const clock = manualRuntime()
  const engine = postgres({ url: own.server.url, schema, clock: 'process' })(clock)
  closing.push(() => engine.close())
  await engine.migrate()
  const client = new pg.Client(own.server.url)
  await client.connect()
  closing.push(() => client.end())
  const worker = await hand(engine)
  await worker.beat()
  /** How many rows of jobs one connection reads in a sweep, a beat, and the loss of a worker; nothing of it stays. */
  const read = async (): Promise<number> => {
    await client.query('begin')
    const now = clock.now()
    await client.query(`select ${schema}.begin_sweep($1)`, [now + 1_000])
    await client.query(`select ${schema}.late_jobs($1, 0, 500)`, [now])
    const { id, name, host, pid } = worker.session
    const beat = [now, id, name, host, pid, lease]
    const [list, json] = [
      `'{1,2,3,4,5,6,7,8}'::bigint[]`,
      `'[{"job":0,"token":0,"name":"n","value":"1","attempt":1,"at":1}]'::json`,
    ]
    await client.query(
      `select ${schema}.heartbeat($1, $2, $3, $4, $5, null, 1, $6, false, ${list}, ${list}, null, null, null, ${json}, null, ${json})`,
      beat,
    )
    await client.query(`select ${schema}.forget_claims($1)`, [now + lease])
    await client.query(`select ${schema}.lose_session($1, (select max(number) from ${schema}.sessions), 0)`, [
      now + lease,
    ])
    const { rows } = await client.query<{ count: number }>(
      `select (coalesce(idx_tup_fetch, 0) + seq_tup_read)::integer as count from pg_stat_xact_user_tables
       where schemaname = '${schema}' and relname = 'jobs'`,
    )
    await client.query('rollback')
    return rows[0]?.count ?? Number.NaN
  }
  expect(await read()).toBe(0)
  for (let at = 0; at < size; at += 1_000)
    await engine.submit(Array.from({ length: 1_000 }, () => submission(alone('a'))))
  await worker.drain()
  await engine.submit([submission(alone('running'))])
  await worker.take('running')
  expect(await read()).toBeLessThan(50)
})
