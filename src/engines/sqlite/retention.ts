import { type Change, later, rowsPerCall, type WorkItem } from './change.ts'
import { work } from './codes.ts'
import type { Database } from './database.ts'

/** Defaults, in milliseconds: a settled collection is kept for a week, events for a day. */
export const collectionRetention = 7 * 24 * 60 * 60_000
const eventRetention = 24 * 60 * 60_000
const sessionRetention = 30 * 24 * 60 * 60_000

/** Rows looked at in one go; and the rest between two passes over the finished. */
const lookedAt = 500
const pause = 60_000

/** Where this process stands in its pass over what has settled: oldest first, some rows a call, then a pause. */
export interface RetentionPass {
  jobsAfter: number
  collectionsAfter: number
  nextAt: number
}
export const newRetentionPass = (): RetentionPass => ({ jobsAfter: 0, collectionsAfter: 0, nextAt: 0 })

/**
 * Removes what has been settled for longer than it is kept. Nothing finished stands in an index for this (see the
 * migrations), so passes go over all rows, some hundred a call: under a tenth of a percent of a core with a million of them.
 */
export function retain(change: Change, pass: RetentionPass): void {
  if (change.now < pass.nextAt) return
  trim(change)
  const jobs = change.db.all<{ seq: number; due: number }>(
    `select seq, state > 3 and finished_at + coalesce(retention, ?) <= ? and not exists (
         select 1 from celeriac_jobs i where i.collection = j.seq and i.collection <> i.seq and i.state < 4 and i.archived is null) as due
     from celeriac_jobs j where collection = seq and seq > ? order by seq limit ?`,
    collectionRetention,
    change.now,
    pass.jobsAfter,
    lookedAt,
  )
  const collections = change.db.all<{ number: number; due: number }>(
    `select number, settled_at + coalesce(retention, ?) <= ? and not exists (
         select 1 from celeriac_jobs j where j.collection = c.number and j.collection <> j.seq and j.state < 4 and j.archived is null) as due
     from celeriac_collections c where removed_at is null and number > ? order by number limit ?`,
    collectionRetention,
    change.now,
    pass.collectionsAfter,
    lookedAt,
  )
  for (const { seq, due } of jobs) if (due === 1) forget(change, seq)
  for (const { number, due } of collections) if (due === 1) forget(change, number)
  pass.jobsAfter = jobs.at(-1)?.seq ?? 0
  pass.collectionsAfter = collections.at(-1)?.number ?? 0
  if (jobs.length < lookedAt) pass.jobsAfter = 0
  if (collections.length < lookedAt) pass.collectionsAfter = 0
  if (pass.jobsAfter === 0 && pass.collectionsAfter === 0) pass.nextAt = change.now + pause
}

/** Takes a settled collection, or a job alone, out of sight at once; its rows go in this call or later. */
export function forget(change: Change, number: number): void {
  change.db.run('update celeriac_collections set removed_at = ? where number = ?', change.now, number)
  later(change, work.remove, number)
}

/** Removes some of the rows of a collection. True when none is left. */
export function removeSome(change: Change, item: WorkItem): boolean {
  const { db } = change
  const limit = Math.max(Math.ceil(change.left), 1)
  const jobs = db.all<{ seq: number }>(
    'select seq from celeriac_jobs indexed by celeriac_jobs_together where collection = ? and collection <> seq order by seq limit ?',
    item.subject,
    limit,
  )
  for (const { seq } of jobs) removeJob(db, seq)
  const barriers = db.run(
    'delete from celeriac_barriers where number in (select number from celeriac_barriers where collection = ? limit ?)',
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
  db.run('delete from celeriac_jobs where seq = ?', seq)
}

function trim({ db, now }: Change): void {
  db.run(
    `delete from celeriac_events where number in (select number from celeriac_events order by number limit ?)
       and at < ? and number < (select max(number) from celeriac_events)`,
    rowsPerCall,
    now - eventRetention,
  )
  db.run(
    `delete from celeriac_idempotency where expires_at < ? and not exists (select 1 from celeriac_collections where id = collection_id)
       and not exists (select 1 from celeriac_jobs where id = collection_id)`,
    now,
  )
  db.run('delete from celeriac_unique where expires_at is not null and expires_at < ?', now)
  db.run('delete from celeriac_sessions where ended_at < ?', now - sessionRetention)
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
