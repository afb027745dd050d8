import pg from 'pg'
import type { Figures } from '../case.ts'
import { quantiles } from '../statistics.ts'
import { costed } from './processor-time.ts'
import { withClient } from './database.ts'

const claimSize = 500
/** Of so many loops one waits for the server while another one works. */
const loops = 2

/** `pg` and nothing else: one table, no identity, fence, events or handlers, and what is done is gone. */
export async function rawTable(url: string): Promise<void> {
  await withClient(url, (client) =>
    client.query(`
      create table job (seq bigint generated always as identity primary key, state smallint not null, args text not null);
      create index queued on job (seq) where state = 0;
    `),
  )
}

export function fillRaw(url: string, count: number): Promise<Figures> {
  return withClient(url, (client) =>
    costed(url, count, async () => {
      const startedAt = performance.now()
      const args = Array.from({ length: 1000 }, () => '[1,1]')
      for (let added = 0; added < count; added += args.length) {
        await client.query({
          name: 'add',
          text: 'insert into job (state, args) select 0, unnest($1::text[])',
          values: [args],
        })
      }
      return performance.now() - startedAt
    }),
  )
}

export async function drainRaw(url: string, count: number): Promise<Figures> {
  const pool = new pg.Pool({ connectionString: url, max: loops })
  const figures = await costed(url, count, async () => {
    const startedAt = performance.now()
    await Promise.all(Array.from({ length: loops }, () => claimAndFinish(pool)))
    return performance.now() - startedAt
  })
  await pool.end()
  return figures
}

const claim = `update job set state = 1 where seq = any(array(
  select seq from job where state = 0 order by seq limit ${claimSize} for update skip locked)) returning seq, args`

async function claimAndFinish(pool: pg.Pool): Promise<void> {
  const client = await pool.connect()
  for (;;) {
    const { rows } = await client.query<[string, string]>({ name: 'claim', text: claim, rowMode: 'array' })
    if (rows.length === 0) break
    const done = rows.filter(([, args]) => (JSON.parse(args) as number[])[0] === 1).map(([seq]) => seq)
    await client.query({ name: 'finish', text: 'delete from job where seq = any($1::bigint[])', values: [done] })
  }
  client.release()
}

/** A request that does nothing, and one that commits a row, in milliseconds. */
export function requests(url: string, count: number): Promise<Figures> {
  return withClient(url, async (client) => {
    await client.query('create table one (value integer)')
    return {
      ping: await median(count, () => client.query({ name: 'ping', text: 'select 1' })),
      commit: await median(count, () => client.query({ name: 'commit', text: 'insert into one values (1)' })),
    }
  })
}

async function median(count: number, request: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let index = 0; index < count; index++) {
    const startedAt = performance.now()
    await request()
    times.push(performance.now() - startedAt)
  }
  return quantiles(times).p50
}
