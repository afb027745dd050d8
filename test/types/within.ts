/* eslint @typescript-eslint/no-floating-promises: off, @typescript-eslint/unbound-method: off */
/** Transactions of the user's own: what may be given as one, and what a handler gets. Nothing here is run. */
import type { DatabaseSync } from 'node:sqlite'
import { type Celeriac, chain, currentJob } from 'celeriac'
import type { CallOptions, CollectionHandle, JobHandle, SubmitOptions, Task, TransactionClient } from 'celeriac'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { ControlledTransaction, Kysely, Transaction } from 'kysely'
import type { Client, Pool, PoolClient } from 'pg'
import { add, show } from './tasks.ts'

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
declare function same<A, B>(proof: Same<A, B>): void

interface Tables {
  orders: { id: string }
}
interface Given {
  client: Client
  poolClient: PoolClient
  database: DatabaseSync
  kysely: Transaction<Tables>
  controlled: ControlledTransaction<Tables>
  drizzle: Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]
  /** Shaped like a client of pg. */
  other: { query(text: string, values?: unknown[]): Promise<{ rows: any[]; rowCount: number | null }> }
}

export async function sending(app: Celeriac, given: Given): Promise<void> {
  for (const within of [given.client, given.poolClient, given.database, given.other]) {
    const job = await add.with({ within }).delay(1, 2)
    same<typeof job, JobHandle<number>>(true)
  }
  const handle = await app.submit(chain(add.s(1, 2), show.s()), { within: given.kysely, description: 'x' })
  same<typeof handle, CollectionHandle<string>>(true)
  await app.submitMany([add.s(1, 2)], { within: given.controlled })
  await add.with({ within: given.drizzle, priority: 5 }).delayMany([[1, 2]])
  await add.with({ within: undefined }).delay(1, 2)
  const maybe: CallOptions['within'] = given.client
  const options: SubmitOptions = { within: maybe }
  await app.submit(add.s(1, 2), options)
}

export function completing(app: Celeriac): void {
  // What the handler gives is what the callback gives.
  const book = app.task('seats.book', (seat: string) =>
    currentJob().completeWithin(async (client) => {
      same<typeof client, TransactionClient>(true)
      const { rows } = await client.query('update seats set taken = true where id = $1 returning number', [seat])
      const [first] = rows as { number: number }[]
      return { seat, number: first!.number }
    }),
  )
  same<typeof book, Task<(seat: string) => Promise<{ seat: string; number: number }>>>(true)

  // The driver's own types, by saying so.
  const onPg = app.task('pg', () =>
    currentJob().completeWithin(
      async (client: PoolClient) => (await client.query<{ n: number }>('select 1 as n')).rowCount,
    ),
  )
  same<typeof onPg, Task<() => Promise<number | null>>>(true)
  const onSqlite = app.task('sqlite', async (n: number) =>
    currentJob().completeWithin((database: DatabaseSync) => {
      database.prepare('insert into notes values (?)').run(n)
      return n > 5 ? 'many' : null
    }),
  )
  same<typeof onSqlite, Task<(n: number) => Promise<'many' | null>>>(true)
  const untyped = app.task('untyped', () =>
    currentJob().completeWithin((client) => client.prepare('select 1').get() as number),
  )
  same<typeof untyped, Task<() => Promise<number>>>(true)
  const nothing = app.task('nothing', () => currentJob().completeWithin(async () => {}))
  same<typeof nothing, Task<() => Promise<void>>>(true)
  const tell = app.task('seats.tell', ({ seat }: { seat: string }) => seat)
  chain(book.s('12A'), tell.s())
}

export function mistaken(app: Celeriac, given: Given, pool: Pool, db: Kysely<Tables>, drizzle: NodePgDatabase): void {
  // @ts-expect-error a pool is no transaction: its queries go here and there
  add.with({ within: pool })
  // @ts-expect-error a Kysely that no transaction was begun on
  add.with({ within: db })
  // @ts-expect-error a Drizzle that no transaction was begun on
  add.with({ within: drizzle })
  // @ts-expect-error nothing to send by
  add.with({ within: {} })
  // @ts-expect-error no client but a promise of one
  add.with({ within: pool.connect() })
  // @ts-expect-error it is for one submission, not for a part of a canvas
  add.s(1, 2).with({ within: given.client })
  // @ts-expect-error nor for a task
  app.task('x', { within: given.client }, () => 1)
  // @ts-expect-error result that is not JSON
  app.task('at', () => currentJob().completeWithin(() => new Date()))
  // @ts-expect-error no function
  currentJob().completeWithin(5)
  // @ts-expect-error the callback's client has no such method
  currentJob().completeWithin((client) => client.commit())
}
