import { statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { CeleriacError } from '../../core/errors.ts'
import { shown } from '../../core/text.ts'
import type { Runtime } from '../../core/runtime.ts'
import type { Transaction } from '../../engine/intake.ts'
import type { SettleAnswer } from '../../engine/work.ts'
import type { Change } from './change.ts'
import type { Ref } from './claim.ts'
import { state } from '../../engine/codes.ts'
import { Database } from './database.ts'
import { settle } from './settle.ts'

/** Where the jobs are: the connection that the store was given, else the path that it opens. */
export interface Home {
  readonly database?: DatabaseSync
  readonly path: string
}

/** Connections of users, and what they are worked with: its prepared statements are theirs. */
const guests = new WeakMap<DatabaseSync, Database>()

/**
 * The connection that a user's transaction is open on.
 *
 * @throws CeleriacError BAD_ARGUMENT where it is none, none is open, or it is one of another database
 */
export function openTransaction(given: Transaction, home: Home, runtime: Runtime): Database {
  if (!isDatabase(given)) {
    throw refusal(`SQLite takes the DatabaseSync of node:sqlite that it is open on, not ${shown(given)}`)
  }
  if (!given.isOpen) throw refusal('this DatabaseSync has been closed')
  if (given !== home.database) checkFile(given, home)
  if (!given.isTransaction)
    throw refusal("no transaction is open on this DatabaseSync: begin one, by exec('begin immediate')")
  let guest = guests.get(given)
  if (guest === undefined) guests.set(given, (guest = new Database(given, runtime)))
  return guest
}

function isDatabase(given: unknown): given is DatabaseSync {
  return typeof given === 'object' && given !== null && 'prepare' in given && 'isTransaction' in given
}

function checkFile(given: DatabaseSync, { database, path }: Home): void {
  const theirs = fileOf(given)
  const ours = database === undefined ? path : fileOf(database)
  if (ours === '' || ours === ':memory:') {
    const advice =
      database === undefined ? 'make the app with engine: sqlite({ database }) and that connection' : 'that is it'
    throw refusal(`the jobs are in the memory of one connection, and this is another: ${advice}`)
  }
  if (isSameFile(theirs, ours)) return
  throw refusal(`this DatabaseSync is open on ${theirs || 'a database in memory'}, and the jobs are kept in ${ours}`)
}

/** Empty where there is none. */
const fileOf = (database: DatabaseSync): string => database.location() ?? ''

function isSameFile(one: string, other: string): boolean {
  const [a, b] = [one, other].map((path) => (path === '' ? undefined : statSync(path, { throwIfNoEntry: false })))
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino
}

const refusal = (problem: string): CeleriacError => new CeleriacError('BAD_ARGUMENT', `within: ${problem}.`)

/**
 * Settles a job as succeeded in a transaction with other writes. Not as `settle`, which says of an outcome that came before
 * that it was accepted: these writes belong to no outcome but this one.
 */
export function settleOnce(change: Change, ref: Ref, token: number, result: string | null): SettleAnswer {
  const row = change.db.get<{ state: number; token: number | null }>(
    'select state, token from celeriac_jobs where seq = ?',
    ref.seq,
  )
  if (row === undefined || row.token !== token) return 'superseded'
  if (row.state !== state.running) return row.state === state.cancelled ? 'cancelled' : 'superseded'
  const [answer] = settle(change, [{ ref, token, outcome: { type: 'succeeded', result } }])
  return answer as SettleAnswer
}

/** Callbacks must leave the end of the transaction to the store: half of it would be kept whatever the job comes to. */
export function checkStillOpen(connection: DatabaseSync): void {
  if (connection.isOpen && connection.isTransaction) return
  throw new CeleriacError(
    'BAD_ARGUMENT',
    'completeWithin: the callback ended the transaction itself, so the job is not completed: leave out commit and rollback, and throw to undo it all.',
  )
}
