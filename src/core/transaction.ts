/**
 * A transaction of your own that is open: a client of `pg`, a transaction of Kysely or Drizzle, a `DatabaseSync`. Known by
 * its shape, so that no driver's types are needed. A pool is none of these: each of its queries may go another way.
 */
export type OpenTransaction = PgClient | KyselyTransaction | DrizzleTransaction | SqliteDatabase

/**
 * What `completeWithin` hands to its callback: on PostgreSQL the connection, shaped like a client of `pg`, on SQLite the
 * `DatabaseSync`. Give the parameter a type of its own for the driver's: `completeWithin(async (client: PoolClient) => …)`.
 */
export interface TransactionClient extends PgClient, SqliteDatabase {}

export interface PgClient {
  query(text: string, values?: any[]): Promise<{ rows: any[]; rowCount: number | null }>
  /** A pool has it, a client has not: the type is what the compiler says to one. */
  readonly totalCount?: 'this is a pool, and no transaction is open on it: give a client of it on which you began one'
}

export interface SqliteDatabase {
  readonly isTransaction: boolean
  exec(sql: string): void
  prepare(sql: string): {
    run(...values: any[]): { changes: number | bigint; lastInsertRowid: number | bigint }
    get(...values: any[]): any
    all(...values: any[]): any[]
  }
}

export interface KyselyTransaction {
  readonly isTransaction: true
  executeQuery(query: any): Promise<{ rows: any[] }>
}

export interface DrizzleTransaction {
  execute(query: any): PromiseLike<unknown>
  rollback(): never
}
