import type { CancelAnswer, QueueSettings, Selection } from '../../engine/control.ts'
import { type Change, type Ending, endJob, endingColumns, type Header, header, later, type WorkItem } from './change.ts'
import { reason, role, state, work } from '../../engine/codes.ts'
import type { Database } from './database.ts'

export function cancel(change: Change, selection: Selection): CancelAnswer {
  const found = select(change, selection)
  if (found === null) return 'not-found'
  if ('collection' in found) return cancelCollection(change, found.collection)
  return cancelJob(change, found.job, reason.cancelled)
}

/** A collection or a job by the id that people know. A job alone is its own collection. */
export function select(change: Change, selection: Selection): { collection: Header } | { job: Member } | null {
  if ('collectionId' in selection) {
    const row = change.db.get<{ number: number }>(
      'select number from celeriac_collections where id = ? and removed_at is null',
      selection.collectionId,
    )
    if (row !== undefined) return { collection: header(change, row.number) }
  }
  const id = 'jobId' in selection ? selection.jobId : selection.collectionId
  const job = change.db.get<Member>(`select ${memberColumns} from celeriac_jobs j where id = ? and ${isInSight}`, id)
  if (job === undefined || ('collectionId' in selection && job.collection !== job.seq)) return null
  return job.collection === job.seq ? { collection: header(change, job.seq) } : { job }
}

/** A job `j` is out of sight when its collection is: from then on nothing of it changes, until its rows are removed. */
export const isInSight =
  'not exists (select 1 from celeriac_collections n where n.number = j.collection and n.removed_at is not null)'

export interface Member extends Ending {
  readonly state: number
  readonly reason: number | null
  readonly behind: number | null
  readonly continuation: number | null
  readonly parent: number | null
  readonly archived: number | null
  readonly marked_at: number | null
  readonly started_at: number | null
}
export const memberColumns = `${endingColumns}, state, reason, behind, continuation, parent, archived, marked_at, started_at`

// ── a collection ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Marks the collection at once; its jobs follow, some in this call. */
export function cancelCollection(change: Change, about: Header): CancelAnswer {
  if (isSettled(change, about)) return 'final'
  if (about.cancelledAt === null) {
    const mark = about.alone
      ? 'update celeriac_jobs set marked_at = ?, reason = 3 where seq = ?'
      : 'update celeriac_collections set cancelled_at = ? where number = ?'
    change.db.run(mark, change.now, about.number)
    change.headers.delete(about.number)
    later(change, work.cancel, about.number)
  }
  return about.alone && isIdle(change, about.number) ? 'cancelled' : 'marked'
}

function isSettled(change: Change, about: Header): boolean {
  if (about.alone)
    return (
      (change.db.get<{ state: number }>('select state from celeriac_jobs where seq = ?', about.number)?.state ??
        state.succeeded) >= state.succeeded
    )
  return change.db.get('select 1 from celeriac_collections where number = ? and state = 0', about.number) === undefined
}

const isIdle = (change: Change, seq: number): boolean =>
  change.db.get('select 1 from celeriac_jobs where seq = ? and state in (1, 2)', seq) !== undefined

/** Jobs of a collection in the order of their numbers, some at a time: `item.after` says how far. */
function nextMembers(change: Change, item: WorkItem, collection: number): Member[] {
  const limit = Math.max(Math.ceil(change.left), 1)
  const alone =
    item.after < collection
      ? change.db.all<Member>(
          `select ${memberColumns} from celeriac_jobs where seq = ? and collection = seq`,
          collection,
        )
      : []
  const others = change.db.all<Member>(
    `select ${memberColumns} from celeriac_jobs indexed by celeriac_jobs_together
     where collection = ? and collection <> seq and seq > ? order by seq limit ? + 0`,
    collection,
    item.after,
    limit,
  )
  return [...alone, ...others]
}

/** Applies `step` to the members of a collection, in order, for as long as the call may. True when none is left. */
export function eachMember(change: Change, item: WorkItem, collection: number, step: (job: Member) => void): boolean {
  for (;;) {
    if (change.left <= 0) return false
    const reached = item.after
    const page = nextMembers(change, item, collection)
    for (const job of page) {
      step(job)
      item.after = job.seq
      change.left -= 0.1 // reading costs a tenth of writing
    }
    // Nor where a number is damaged, and one that JavaScript does not hold is met over and over.
    if (item.after <= reached) return true
  }
}

/** Cancels the main jobs of a collection, or only those of one fail-fast scope. */
export function cancelMembers(change: Change, item: WorkItem, collection: number, scope: number | null): boolean {
  return eachMember(change, item, collection, (job) => {
    if (job.role !== role.main || job.archived !== null || (scope !== null && job.scope !== scope)) return
    // What waits in a cancelled collection goes by the collection's mark; in a scope each job carries its own.
    if (scope === null && job.state === state.waiting) return
    cancelOne(change, job, scope === null ? reason.cancelled : reason.failFast)
  })
}

// ── a job ────────────────────────────────────────────────────────────────────────────────────────────────────────

function cancelJob(change: Change, job: Member, why: number): CancelAnswer {
  if (job.state >= state.succeeded) return 'final'
  cancelOne(change, job, why)
  if (job.continuation !== null) later(change, work.cancelInside, job.seq)
  return job.state === state.scheduled || job.state === state.queued ? 'cancelled' : 'marked'
}

function cancelOne(change: Change, job: Member, why: number): void {
  if (job.state >= state.succeeded) return
  if (job.state === state.scheduled || job.state === state.queued) {
    return endJob(change, job, { state: state.cancelled, reason: why, cause: job.seq })
  }
  if (job.marked_at === null || job.seq === job.collection) {
    change.left--
    change.db.run(
      'update celeriac_jobs set marked_at = coalesce(marked_at, ?), reason = ? where seq = ?',
      change.now,
      why,
      job.seq,
    )
  }
  if (job.state === state.running) change.journal.cancel = true
}

/** Cancels what a job continued as. */
export function cancelInside(change: Change, item: WorkItem): boolean {
  const limit = Math.max(Math.ceil(change.left), 1)
  const inside = change.db.all<Member>(
    `select ${memberColumns} from celeriac_jobs where parent = ? and archived is null and seq > ? order by seq limit ? + 0`,
    item.subject,
    item.after,
    limit,
  )
  for (const job of inside) {
    cancelJob(change, job, reason.cancelled)
    item.after = job.seq
  }
  return inside.length < limit
}

export function putQueues(db: Database, settings: readonly QueueSettings[]): void {
  for (const { name, paused } of settings)
    db.run(
      paused
        ? 'insert into celeriac_queues (name, paused) values (?, 1) on conflict do nothing'
        : 'delete from celeriac_queues where name = ?',
      name,
    )
}
