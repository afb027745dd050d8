import { type Change, later, rowsPerCall, type WorkItem } from './change.ts'
import { work } from '../../engine/codes.ts'
import { sessionRetention } from '../../engine/recovery.ts'
import type { Database } from './database.ts'
import { trimTallies } from './statistics.ts'
import { abandonUploads } from './submit.ts'

/** Defaults, in milliseconds: a settled collection is kept for a week, events for a day. */
const collectionRetention = 7 * 24 * 60 * 60_000
const eventRetention = 24 * 60 * 60_000

/** Numbers looked at in one call, the most that are removed of them, and the rest between two passes. */
const window = 2_000
const removedPerCall = 200
const pause = 60_000
/** Values that have run out are removed so many at a time. */
const valuesPerCall = 10_000

/** Where this process stands in its pass over what has settled: oldest first, some numbers a call, then a pause. */
export interface RetentionPass {
  after: number
  nextAt: number
}
export const newRetentionPass = (): RetentionPass => ({ after: 0, nextAt: 0 })

/**
 * Removes what has been settled for longer than it is kept. Nothing finished stands in an index for this (see the
 * migrations), so passes go over all rows, a window of numbers in each call however few of them are due.
 */
export function retain(change: Change, pass: RetentionPass): void {
  if (change.now < pass.nextAt) return
  const first = firstAfter(change.db, pass.after)
  if (first === null) {
    pass.after = 0
    pass.nextAt = change.now + pause
    return
  }
  const due = [dueAlone(change, first), dueTogether(change, first)]
  for (const number of due.flat()) forget(change, number)
  // A list that is full may go on within the window.
  const reached = due.flatMap((numbers) => (numbers.length < removedPerCall ? [] : [numbers.at(-1) as number]))
  pass.after = Math.min(first + window - 1, ...reached)
}

/** The first number behind this one that a job or a collection has: what was removed leaves gaps. */
function firstAfter(db: Database, after: number): number | null {
  const job = db.get<{ seq: number }>('select seq from celeriac_jobs where seq > ? order by seq limit 1', after)?.seq
  const collection = db.get<{ number: number }>(
    'select number from celeriac_collections where number > ? order by number limit 1',
    after,
  )?.number
  const known = [job, collection].filter((number) => number !== undefined)
  return known.length === 0 ? null : Math.min(...known)
}

function dueAlone({ db, now }: Change, first: number): number[] {
  const rows = db.all<{ seq: number }>(
    `select seq from celeriac_jobs j where seq between ? and ? and collection = seq and state > 3
       and finished_at + coalesce(retention, ?) <= ? and not exists (
         select 1 from celeriac_jobs i where i.collection = j.seq and i.collection <> i.seq and i.state < 4 and i.archived is null)
     order by seq limit ? + 0`,
    first,
    first + window - 1,
    collectionRetention,
    now,
    removedPerCall,
  )
  return rows.map(({ seq }) => seq)
}

function dueTogether({ db, now }: Change, first: number): number[] {
  const rows = db.all<{ number: number }>(
    `select number from celeriac_collections c where number between ? and ? and removed_at is null
       and settled_at + coalesce(retention, ?) <= ? and not exists (
         select 1 from celeriac_jobs j where j.collection = c.number and j.collection <> j.seq and j.state < 4 and j.archived is null)
     order by number limit ? + 0`,
    first,
    first + window - 1,
    collectionRetention,
    now,
    removedPerCall,
  )
  return rows.map(({ number }) => number)
}

/** Takes a settled collection, or a job alone, out of sight at once; its rows go in this call or later. */
function forget(change: Change, number: number): void {
  change.db.run('update celeriac_collections set removed_at = ? where number = ?', change.now, number)
  later(change, work.remove, number)
}

/** Removes some of the rows of a collection. True when none is left. */
export function removeSome(change: Change, item: WorkItem): boolean {
  const { db } = change
  const limit = Math.max(Math.ceil(change.left), 1)
  const jobs = db.all<{ seq: number }>(
    'select seq from celeriac_jobs indexed by celeriac_jobs_together where collection = ? and collection <> seq order by seq limit ? + 0',
    item.subject,
    limit,
  )
  for (const { seq } of jobs) removeJob(db, seq)
  const barriers = db.run(
    'delete from celeriac_barriers where number in (select number from celeriac_barriers where collection = ? limit ? + 0)',
    item.subject,
    limit,
  )
  change.left -= jobs.length + barriers
  if (jobs.length + barriers > 0) return change.left > 0 && removeSome(change, item)
  removeJob(db, item.subject)
  db.run('delete from celeriac_collections where number = ?', item.subject)
  change.left -= 2
  return true
}

function removeJob(db: Database, seq: number): void {
  db.run('delete from celeriac_attempts where job = ?', seq)
  db.run('delete from celeriac_log where job = ?', seq)
  db.run('delete from celeriac_notes where job = ?', seq)
  db.run('delete from celeriac_jobs where seq = ?', seq)
}

/** What else is removed once its time is over: each in a transaction of its own. True where there may be more. */
export const chores: readonly (readonly [name: string, chore: (change: Change) => boolean])[] = [
  ['abandoned uploads', abandonUploads],
  ['old events', trimEvents],
  ['idempotency keys', trimIdempotency],
  ['unique keys', trimUnique],
  ['ended workers', trimSessions],
  ['values', trimValues],
  ['statistics', trimTallies],
]

function trimEvents({ db, now }: Change): boolean {
  const count = db.run(
    `delete from celeriac_events where number in (select number from celeriac_events order by number limit ?)
       and at < ? and number < (select max(number) from celeriac_events)`,
    rowsPerCall,
    now - eventRetention,
  )
  return count === rowsPerCall
}

function trimIdempotency({ db, now }: Change): boolean {
  db.run(
    `delete from celeriac_idempotency where expires_at < ? and not exists (select 1 from celeriac_collections where id = collection_id)
       and not exists (select 1 from celeriac_jobs where id = collection_id)`,
    now,
  )
  return false
}

function trimUnique({ db, now }: Change): boolean {
  db.run('delete from celeriac_unique where expires_at is not null and expires_at < ?', now)
  return false
}

function trimSessions({ db, now }: Change): boolean {
  const count = db.run(
    `delete from celeriac_sessions where number in (
       select number from celeriac_sessions where ended_at < ? and losing is null order by ended_at limit ? + 0)`,
    now - sessionRetention,
    rowsPerCall,
  )
  return count === rowsPerCall
}

function trimValues({ db, now }: Change): boolean {
  const count = db.run(
    `delete from celeriac_values where (kind, id) in (
       select kind, id from celeriac_values where expires_at <= ? order by expires_at limit ? + 0)`,
    now,
    valuesPerCall,
  )
  return count === valuesPerCall
}

/** Removes a settled collection on request. */
export function remove(change: Change, id: string): 'removed' | 'unsettled' | 'not-found' {
  const row =
    change.db.get<{ number: number; settled: number }>(
      'select number, state > 0 as settled from celeriac_collections where id = ? and removed_at is null',
      id,
    ) ??
    change.db.get<{ number: number; settled: number }>(
      'select seq as number, state > 3 as settled from celeriac_jobs where id = ? and collection = seq',
      id,
    )
  if (row === undefined) return 'not-found'
  const isBusy =
    change.db.get(
      'select 1 from celeriac_jobs where collection = ? and collection <> seq and state < 4 and archived is null limit 1',
      row.number,
    ) !== undefined
  if (row.settled === 0 || isBusy) return 'unsettled'
  forget(change, row.number)
  return 'removed'
}
