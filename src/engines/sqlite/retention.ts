import { rowsPerCall } from '../../engine/limits.ts'
import { type Change, later, leaves, type WorkItem } from './change.ts'
import { state, work } from '../../engine/codes.ts'
import { sessionRetention } from '../../engine/recovery.ts'
import {
  collectionRetention,
  entriesPerCall,
  eventRetention,
  eventsKept,
  keysPerCall,
  lookAgainAfter,
  type NumberRun,
  readRuns,
  runsText,
  talliesKept,
  valuesPerCall,
} from '../../engine/retention.ts'
import type { Database } from './database.ts'
import { abandonUploads } from './submit.ts'

/** Maximum events removed in one call: they may be long. */
const eventsPerCall = 200

/**
 * Removes some of what was kept for long enough. Returns whether more is due: then the caller goes on in a transaction of its
 * own.
 */
export function retain(change: Change): boolean {
  const hasMoreEvents = trimEvents(change)
  // A large collection is removed by several calls, and before any other is begun.
  if (isRemoving(change)) return true
  return removeDue(change) || hasMoreEvents
}

const isRemoving = ({ db, now }: Change): boolean =>
  db.get('select 1 from celeriac_work where kind = ? and not_before <= ? limit 1', work.remove, now) !== undefined

// ── collections ──────────────────────────────────────────────────────────────────────────────────────────────────

function removeDue(change: Change): boolean {
  const { db, now } = change
  const rows = db.all<{ due_at: number; runs: string }>(
    'select due_at, runs from celeriac_leaving where due_at <= ? order by due_at, runs limit ? + 0',
    now,
    entriesPerCall,
  )
  for (const { due_at, runs } of rows) {
    if (change.left <= 0) return true
    const rest = removeRuns(change, readRuns(runs))
    db.run('delete from celeriac_leaving where due_at = ? and runs = ?', due_at, runs)
    if (rest !== '')
      db.run('insert into celeriac_leaving (due_at, runs) values (?, ?) on conflict do nothing', due_at, rest)
  }
  return rows.length === entriesPerCall || change.left <= 0
}

/** Removes what these numbers stand for, as far as the call may. Returns the runs that remain. */
function removeRuns(change: Change, runs: readonly NumberRun[]): string {
  const rest: NumberRun[] = []
  for (const { first, last } of runs) {
    const next = change.left > 0 ? removeRun(change, first, last) : first
    if (next <= last) rest.push({ first: next, last })
  }
  return runsText(rest)
}

/** Returns the first number that it did not come to. */
function removeRun(change: Change, first: number, last: number): number {
  const reach = Math.min(last, first + Math.ceil(change.left) - 1)
  change.left -= 1 + removeAlone(change, first, reach)
  const others = [...dueTogether(change, first, reach), ...dueWithMembers(change, first, reach)]
  for (const number of others.toSorted((one, other) => one - other)) {
    if (change.left <= 0) return number
    if (isBusy(change.db, number)) leaves(change, number, lookAgainAfter)
    else forget(change, number)
  }
  return reach + 1
}

/** What a job has besides its own row. */
const besides = ['celeriac_attempts', 'celeriac_log', 'celeriac_notes']
const isDueAlone = `collection = seq and state > 3 and finished_at + coalesce(retention, ${collectionRetention}) <= ?`

/** Removes the jobs alone that are due among these numbers, and have nothing besides. Returns how many. */
function removeAlone({ db, now }: Change, first: number, last: number): number {
  const removed = db.run(
    `delete from celeriac_jobs where seq between ? and ? and ${isDueAlone} and not exists (
       select 1 from celeriac_jobs i indexed by celeriac_jobs_together where i.collection = celeriac_jobs.seq and i.collection <> i.seq)`,
    first,
    last,
    now,
  )
  for (const table of besides)
    db.run(
      `delete from ${table} where job between ? and ? and not exists (select 1 from celeriac_jobs where seq = job)`,
      first,
      last,
    )
  return removed
}

function dueWithMembers({ db, now }: Change, first: number, last: number): number[] {
  const hasMembers = db.get(
    'select 1 from celeriac_jobs indexed by celeriac_jobs_together where collection between ? and ? and collection <> seq limit 1',
    first,
    last,
  )
  if (hasMembers === undefined) return []
  const rows = db.all<{ seq: number }>(
    `select seq from celeriac_jobs j where seq between ? and ? and ${isDueAlone} and exists (
       select 1 from celeriac_jobs i indexed by celeriac_jobs_together where i.collection = j.seq and i.collection <> i.seq)`,
    first,
    last,
    now,
  )
  return rows.map(({ seq }) => seq)
}

function dueTogether({ db, now }: Change, first: number, last: number): number[] {
  const rows = db.all<{ number: number }>(
    `select number from celeriac_collections where number between ? and ? and removed_at is null
       and settled_at + coalesce(retention, ${collectionRetention}) <= ?`,
    first,
    last,
    now,
  )
  return rows.map(({ number }) => number)
}

/** A settled collection may have side branches and callbacks that are not over; the rest of it is. */
const isBusy = (db: Database, number: number): boolean =>
  db.get(
    'select 1 from celeriac_jobs indexed by celeriac_jobs_aside where collection = ? and role <> 0 and state < 4 and archived is null limit 1',
    number,
  ) !== undefined

/**
 * Takes a settled collection out of sight at once; its rows go in this call or later. From here on nobody can retry it, so its
 * rows need not be looked at again. A job alone that continued gives its place to a row of the same id.
 */
function forget(change: Change, number: number): void {
  const { db, now } = change
  const changed = db.run('update celeriac_collections set removed_at = ? where number = ?', now, number)
  if (changed === 0) {
    db.run(
      `insert into celeriac_collections (number, id, state, exit, shape, created_at, removed_at)
       select seq, id, min(state - 3, 3), 0, '0', created_at, ? from celeriac_jobs where seq = ?`,
      now,
      number,
    )
    removeJobs(db, [number])
  }
  change.headers.delete(number)
  if (!removeSome(change, { subject: number })) later(change, work.remove, number)
}

/** Removes some of the rows of a collection. True when none is left. */
export function removeSome(change: Change, { subject }: Pick<WorkItem, 'subject'>): boolean {
  const { db } = change
  while (change.left > 0) {
    const limit = Math.ceil(change.left)
    const jobs = db.lists<readonly [seq: number]>(
      'select seq from celeriac_jobs indexed by celeriac_jobs_together where collection = ? and collection <> seq order by seq limit ? + 0',
      subject,
      limit,
    )
    removeJobs(
      db,
      jobs.map(([seq]) => seq),
    )
    const barriers = db.run(
      'delete from celeriac_barriers where number in (select number from celeriac_barriers where collection = ? limit ? + 0)',
      subject,
      limit,
    )
    change.left -= jobs.length + barriers
    if (jobs.length < limit && barriers < limit) {
      db.run('delete from celeriac_collections where number = ?', subject)
      change.left--
      return true
    }
  }
  return false
}

function removeJobs(db: Database, seqs: readonly number[]): void {
  if (seqs.length === 0) return
  const list = `[${seqs.join(',')}]`
  for (const table of besides) db.run(`delete from ${table} where job in (select value from json_each(?))`, list)
  db.run('delete from celeriac_jobs where seq in (select value from json_each(?))', list)
}

/** Removes the rows of a table that have been due longest, so many at a time. True where there may be more. */
function trim(table: string, key: string, due: string, most: number, keptFor = 0): (change: Change) => boolean {
  const first = `select ${key} from celeriac_${table} where ${due} limit ? + 0`
  const sql = `delete from celeriac_${table} where (${key}) in (${first})`
  return ({ db, now }) => db.run(sql, now - keptFor, most) === most
}

/** What else is removed once its time is over: each in a transaction of its own. True where there may be more. */
export const chores: readonly (readonly [name: string, chore: (change: Change) => boolean])[] = [
  ['abandoned uploads', abandonUploads],
  ['idempotency keys', trimIdempotency],
  ['unique keys', trim('unique', 'key', 'expires_at is not null and expires_at < ? order by expires_at', keysPerCall)],
  [
    'ended workers',
    trim('sessions', 'number', 'ended_at < ? and losing is null order by ended_at', rowsPerCall, sessionRetention),
  ],
  ['values', trim('values', 'kind, id', 'expires_at <= ? order by expires_at', valuesPerCall)],
  ['statistics', trim('tallies', 'minute, task, session', 'minute < ? order by minute', valuesPerCall, talliesKept)],
]

// ── events ──────────────────────────────────────────────────────────────────────────────────────────────

/** The newest event stays: it says which number comes next, and where the feed stands. Returns whether more is due. */
function trimEvents({ db, now }: Change): boolean {
  const edge = (order: 'asc' | 'desc'): { number: number; at: number; total: number } =>
    db.get(`select number, at, total from celeriac_events order by number ${order} limit 1`) as never
  const [oldest, newest] = [edge('asc'), edge('desc')]
  const [before, total] = [now - eventRetention, newest.total - eventsKept]
  if (oldest.at >= before && oldest.total > total) return false
  const removed = db.run(
    `delete from celeriac_events where number in (select number from celeriac_events where number < ? order by number limit ?)
       and (at < ? or total <= ?)`,
    newest.number,
    eventsPerCall,
    before,
    total,
  )
  return removed === eventsPerCall
}

/** A key is kept as long as its collection, and looked at again where that is still there. */
function trimIdempotency({ db, now }: Change): boolean {
  const isThere = `(exists (select 1 from celeriac_collections where id = collection_id)
    or exists (select 1 from celeriac_jobs where id = collection_id))`
  const due =
    '(scope, key) in (select scope, key from celeriac_idempotency where expires_at < ? order by expires_at limit ? + 0)'
  const gone = db.run(`delete from celeriac_idempotency where ${due} and not ${isThere}`, now, keysPerCall)
  const kept = db.run(
    `update celeriac_idempotency set expires_at = ? where ${due} and ${isThere}`,
    now + lookAgainAfter,
    now,
    keysPerCall,
  )
  return gone + kept >= keysPerCall
}

// ── by hand ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Removes a settled collection on request. */
export function remove(change: Change, id: string): 'removed' | 'unsettled' | 'not-found' {
  const { db } = change
  const row =
    db.get<{ number: number; settled: number }>(
      'select number, state > 0 as settled from celeriac_collections where id = ? and removed_at is null',
      id,
    ) ??
    db.get<{ number: number; settled: number }>(
      `select seq as number, state >= ${state.succeeded} as settled from celeriac_jobs where id = ? and collection = seq`,
      id,
    )
  if (row === undefined) return 'not-found'
  if (row.settled === 0 || isBusy(db, row.number)) return 'unsettled'
  forget(change, row.number)
  return 'removed'
}
