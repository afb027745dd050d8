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
  /** A pool has it, a client has not. */
  readonly totalCount?: never
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
