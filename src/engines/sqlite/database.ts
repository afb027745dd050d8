import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { CeleriacError } from '../../core/errors.ts'
import type { Runtime } from '../../core/runtime.ts'
import { closedBy } from '../../engine/transfer.ts'
import type { Place } from './place.ts'

export type Value = string | number | null

/**
 * The narrow way to `node:sqlite`: prepared statements by their text, and transactions that run whole in one turn of
 * the event loop.
 */
export class Database {
  readonly #db: DatabaseSync
  readonly #runtime: Runtime
  readonly #statements = new Map<string, StatementSync>()
  readonly #lists = new Map<string, StatementSync>()
  readonly #patience: number
  readonly #place: Place | null
  /** Other connections of this process to the same file, which may hold a transaction over turns of the event loop. */
  readonly #others = new Set<Database>()
  /** Ends with the transaction that is held here. */
  #holding: Promise<void> | null = null

  /**
   * @param place the file that it is open on: nothing is answered that was read from or written to one that has no name any more
   * @param patience how long a write waits for other processes before it fails, in milliseconds
   */
  constructor(db: DatabaseSync, runtime: Runtime, place: Place | null = null, patience = 10_000) {
    this.#db = db
    this.#runtime = runtime
    this.#patience = patience
    this.#place = place
  }

  exec(sql: string): void {
    try {
      this.#db.exec(sql)
    } catch (error) {
      throw storeError(error)
    }
  }

  /**
   * The prepared statement of this text; prepared once. Write `limit ? + 0`: a parameter alone behind LIMIT is read by the
   * planner, so that SQLite prepares the statement again for each execution (5 to 17 µs).
   */
  statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#db.prepare(sql)
      // A connection of the user's own may have been opened with other ideas of what a row is.
      statement.setReadBigInts(false)
      statement.setReturnArrays(false)
      this.#statements.set(sql, statement)
    }
    return statement
  }

  all<Row>(sql: string, ...values: Value[]): Row[] {
    return this.#readable(this.statement(sql), sql, (statement) => statement.all(...values)) as Row[]
  }

  /** Rows as lists of values, in the order of the columns: for hot paths, where making objects costs as much as finding them. */
  lists<Row>(sql: string, ...values: Value[]): Row[] {
    let statement = this.#lists.get(sql)
    if (statement === undefined) {
      statement = this.#db.prepare(sql)
      statement.setReadBigInts(false)
      statement.setReturnArrays(true)
      this.#lists.set(sql, statement)
    }
    return this.#readable(statement, sql, (found) => found.all(...values)) as Row[]
  }

  get<Row>(sql: string, ...values: Value[]): Row | undefined {
    return this.#readable(this.statement(sql), sql, (statement) => statement.get(...values)) as Row | undefined
  }

  /**
   * One row with a number that JavaScript cannot hold has Node refuse all of them: they are read again, with that number as near
   * as can be. What writes is not made twice.
   */
  #readable(statement: StatementSync, sql: string, read: (statement: StatementSync) => unknown): unknown {
    try {
      return read(statement)
    } catch (error) {
      if ((error as { code?: string }).code !== 'ERR_OUT_OF_RANGE' || !/^\s*(select|with)\b/i.test(sql)) throw error
      statement.setReadBigInts(true)
      try {
        return asNumbers(read(statement))
      } finally {
        statement.setReadBigInts(false)
      }
    }
  }

  /** Gives how many rows changed. */
  run(sql: string, ...values: Value[]): number {
    return this.statement(sql).run(...values).changes as number
  }

  /**
   * Runs `body` in one write transaction. Where another process is writing, SQLite itself waits a few milliseconds,
   * which blocks the event loop; after that this waits without blocking, up to the patience given.
   */
  write<T>(body: () => T): Promise<T> {
    return this.#patiently(
      () => this.#transaction('begin immediate', body),
      () => this.#db.isTransaction || this.#isHeld(),
    )
  }

  /** Runs `body` on one consistent state of the store. */
  async read<T>(body: () => T): Promise<T> {
    if (this.#db.isTransaction) await this.untilFree()
    try {
      return this.#transaction('begin', body)
    } catch (error) {
      throw storeError(error)
    }
  }

  /**
   * Holds a write transaction over turns of the event loop, while everything else on this connection waits. Commits where
   * the answer is to be kept.
   */
  async hold<T>(body: () => Promise<T>, isKept: (answer: T) => boolean): Promise<T> {
    const held = Promise.withResolvers<void>()
    await this.#patiently(
      () => {
        this.statement('begin immediate').run()
        this.#holding = held.promise
      },
      () => this.#db.isTransaction || this.#isHeld(),
    )
    try {
      const answer = await body()
      this.exec(isKept(answer) ? 'commit' : 'rollback')
      this.#place?.check()
      return answer
    } catch (error) {
      if (this.#isTaken) this.exec('rollback')
      throw error
    } finally {
      this.#holding = null
      held.resolve()
    }
  }

  /** Runs `body` whole or not at all in the transaction that is open on this connection. */
  inside<T>(body: () => T): Promise<T> {
    return this.#patiently(
      () => this.#savepoint(body),
      () => false,
    )
  }

  /** Waits for a transaction that somebody holds on this connection. */
  untilFree(): Promise<void> {
    return this.#patiently(
      () => undefined,
      () => this.#db.isTransaction,
    )
  }

  /** While this connection has a transaction open, writes wait for it without trying. */
  waitFor(other: Database): void {
    if (other.#db !== this.#db) this.#others.add(other)
  }

  get #isTaken(): boolean {
    return this.#db.isOpen && this.#db.isTransaction
  }

  #isHeld(): boolean {
    for (const other of this.#others) {
      if (other.#isTaken) return true
      this.#others.delete(other)
    }
    return false
  }

  /** Tries until the store is not busy. Where this process itself holds it, trying would only block the event loop. */
  async #patiently<T>(attempt: () => T, isTaken: () => boolean): Promise<T> {
    const giveUpAt = this.#runtime.elapsed() + this.#patience
    for (let wait = 1; ; wait = Math.min(wait * 2, 25)) {
      const isHeldHere = isTaken()
      try {
        if (!isHeldHere) return attempt()
      } catch (error) {
        if (!isBusy(error) || this.#runtime.elapsed() > giveUpAt) throw storeError(error)
      }
      if (isHeldHere && this.#runtime.elapsed() > giveUpAt) throw heldHere()
      await this.#pause((isHeldHere ? Math.min(wait, 5) : wait) * (0.5 + this.#runtime.random()))
    }
  }

  /** Ends early with a transaction that is held here: of one that a user holds, nobody tells when it ends. */
  async #pause(ms: number): Promise<void> {
    const { promise: rung, resolve } = Promise.withResolvers<void>()
    const timer = this.#runtime.after(ms, resolve)
    const held = [this, ...this.#others].flatMap((database) => database.#holding ?? [])
    await Promise.race([rung, ...held])
    timer.cancel()
  }

  #savepoint<T>(body: () => T): T {
    this.statement('savepoint celeriac').run()
    try {
      const answer = body()
      this.statement('release celeriac').run()
      return answer
    } catch (error) {
      if (this.#db.isTransaction) {
        this.statement('rollback to celeriac').run()
        this.statement('release celeriac').run()
      }
      throw error
    }
  }

  #transaction<T>(begin: string, body: () => T): T {
    this.statement(begin).run()
    try {
      const answer = body()
      this.statement('commit').run()
      // Afterwards: what was there then has the file's name.
      this.#place?.check()
      return answer
    } catch (error) {
      // A full disk and some other errors have already rolled back.
      if (this.#db.isTransaction) this.statement('rollback').run()
      throw error
    }
  }

  close(): void {
    this.#statements.clear()
    this.#lists.clear()
    if (this.#db.isOpen) this.#db.close()
  }
}

/** In rows and lists of them. */
function asNumbers(found: unknown): unknown {
  if (typeof found === 'bigint') return Number(found)
  if (Array.isArray(found)) return found.map(asNumbers)
  if (typeof found !== 'object' || found === null) return found
  return Object.fromEntries(Object.entries(found).map(([name, value]) => [name, asNumbers(value)]))
}

/** SQLite's result codes that mean something to users: https://sqlite.org/rescode.html */
const meaning: Readonly<Record<number, readonly [CeleriacError['code'], string]>> = {
  517: [
    'STORE_BUSY',
    'your transaction began by reading, and others have written since: roll it back and begin it again, by BEGIN IMMEDIATE',
  ],
  5: ['STORE_BUSY', 'another process has been writing to the store for too long; nothing was stored, try again'],
  8: ['STORE_READ_ONLY', 'the store cannot be written: check the permissions of the file and of its folder'],
  10: ['STORE_FAILED', 'reading or writing the store failed: check the disk'],
  11: [
    'STORE_CORRUPT',
    'the store is damaged: restore the file from a backup, or rescue it with the program sqlite3 and its command .recover',
  ],
  13: ['STORE_FULL', 'the disk is full; nothing was stored: make room and try again, workers go on by themselves'],
  14: ['STORE_UNREACHABLE', 'the store cannot be opened: check that its folder exists and may be written'],
  18: ['TOO_LARGE', 'a text is larger than SQLite takes: store the data elsewhere and pass where it is'],
  26: ['STORE_CORRUPT', 'the file is not a SQLite database: give another path'],
}

interface SqliteError extends Error {
  readonly errcode: number
}
const isSqlite = (error: unknown): error is SqliteError =>
  error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
/** Not so where a transaction began by reading and others have written since: it stays like that until it is rolled back. */
const isBusy = (error: unknown): boolean =>
  isSqlite(error) && (error.errcode & 0xff) === 5 && error.errcode !== readBefore
const readBefore = 517

const heldHere = (): CeleriacError =>
  new CeleriacError(
    'STORE_BUSY',
    'A transaction has been open in this process for too long, and the store waited for it in vain: end it before you wait for anything of the app, or send with { within: it }.',
  )

/** A row is not what it should be: a text that is no JSON, a number that JavaScript does not hold. Errors of Node's own have a code. */
export const isOfRow = (error: unknown): error is Error =>
  error instanceof SyntaxError ||
  (error instanceof TypeError && !('code' in error)) ||
  (error instanceof RangeError && 'code' in error && error.code === 'ERR_OUT_OF_RANGE')

/** An error of SQLite, or of what stands in a row, as one of ours; any other as it is. */
export function storeError(error: unknown, about = ''): unknown {
  if (isOfRow(error))
    return new CeleriacError(
      'STORE_CORRUPT',
      `${about}a row of the store is damaged (${error.message}): look with celeriac doctor, and restore the file from a backup if this goes on`,
      { cause: error },
    )
  if (!isSqlite(error)) return error
  const closed = closedBy(error.message)
  if (closed !== null) return closed
  const known = meaning[error.errcode] ?? meaning[error.errcode & 0xff]
  if (known === undefined)
    return new CeleriacError('STORE_FAILED', `${about}the store refused a request: ${error.message}`, { cause: error })
  return new CeleriacError(known[0], `${about}${known[1]} (${error.message})`, { cause: error })
}
