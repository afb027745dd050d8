import {
  type Change,
  type End,
  type Ending,
  type Header,
  arrive,
  endJob,
  endingColumns,
  ended,
  header,
  later,
  releaseUnique,
} from './change.ts'
import { collectionState, decided, reason, role, state, when, work } from './codes.ts'

interface Barrier {
  readonly number: number
  readonly collection: number
  readonly pending: number
  readonly failed: number
  readonly decided: number
  readonly cause: number | null
  readonly feeds: number | null
  readonly gate: number | null
  readonly continues: number | null
}
const barrierColumns = 'number, collection, pending, failed, decided, cause, feeds, gate, continues'

interface Waiting extends Ending {
  readonly fit: number
  readonly start_in: number | null
  readonly due_at: number | null
  readonly marked_at: number | null
  readonly reason: number | null
}
const waitingColumns = `${endingColumns}, fit, start_in, due_at, marked_at, reason`

/** What a barrier came to, as the jobs behind it see it. */
interface Decision {
  readonly succeeded: boolean
  /** The canvas that the barrier closes had begun: only then do its side branches run on failure. */
  readonly began: boolean
  readonly cause: number | null
}

/** Counts down every barrier that something arrived at, decides those that came to zero, and so on outward. */
export function settleBarriers(change: Change): void {
  for (const [number, arrivals] of change.arrivals) {
    change.arrivals.delete(number)
    change.left--
    const barrier = change.db.get<Barrier>(
      `update celeriac_barriers set pending = pending - ?, failed = failed + ?, cause = coalesce(cause, ?) where number = ?
       returning ${barrierColumns}`,
      arrivals.count,
      arrivals.failed,
      arrivals.cause,
      number,
    ) as Barrier
    if (barrier.pending === 0) decide(change, barrier)
  }
}

/** Decides a barrier, all of whose inputs are final (or that has none, and whose gate has decided). */
export function decideBarrier(change: Change, number: number): void {
  const barrier = readBarrier(change, number)
  if (barrier.decided === decided.no) decide(change, barrier)
}

function decide(change: Change, barrier: Barrier): void {
  const decision = decisionOf(change, barrier)
  change.left--
  change.db.run(
    'update celeriac_barriers set decided = ?, cause = ? where number = ?',
    decision.succeeded ? decided.success : decided.failure,
    decision.cause,
    barrier.number,
  )
  release(change, barrier, decision)
  if (barrier.continues !== null) settleParked(change, barrier.continues, barrier.number, decision)
  else if (barrier.feeds === null) settleCollection(change, barrier, decision)
  const gated = change.db.all<{ number: number }>(
    'select number from celeriac_barriers where gate = ? and inputs = 0 and decided = 0',
    barrier.number,
  )
  for (const { number } of gated) decideBarrier(change, number)
  if (barrier.feeds !== null) arrive(change, barrier.feeds, decision.succeeded, decision.cause)
}

function decisionOf(change: Change, barrier: Barrier): Decision {
  const gate = barrier.gate === null ? null : readBarrier(change, barrier.gate)
  const isOpen = gate === null || gate.decided === decided.success
  if (!isOpen) return { succeeded: false, began: false, cause: barrier.cause ?? gate.cause }
  if (barrier.failed === 0) return { succeeded: true, began: true, cause: null }
  const cause = standingCause(change, barrier)
  // Inputs that were all "not needed" failed for no cause: then nothing on this canvas has begun.
  return { succeeded: false, began: cause !== null, cause }
}

/** The job that failed first, unless a retry has put it back to work since: then another that failed. */
function standingCause(change: Change, barrier: Barrier): number | null {
  if (barrier.cause !== null) {
    const job = change.db.get<{ state: number; cause: number | null }>(
      'select state, cause from celeriac_jobs where seq = ?',
      barrier.cause,
    )
    // It may have failed anew, by another one inside it.
    if (job !== undefined && job.state > state.succeeded) return job.cause
  }
  const other =
    change.db.get<{ cause: number | null }>(
      'select cause from celeriac_jobs where feeds = ? and state > 4 and cause is not null limit 1',
      barrier.number,
    ) ??
    change.db.get<{ cause: number | null }>(
      'select cause from celeriac_barriers where feeds = ? and decided = 2 and cause is not null limit 1',
      barrier.number,
    )
  return other?.cause ?? null
}

function readBarrier(change: Change, number: number): Barrier {
  return change.db.get<Barrier>(`select ${barrierColumns} from celeriac_barriers where number = ?`, number) as Barrier
}

// ── what stands behind ───────────────────────────────────────────────────────────────────────────────────────────

/** Goes on where a call had to leave the jobs behind a decided barrier waiting. True when none is left. */
export function releaseRest(change: Change, number: number): boolean {
  const barrier = change.db.get<Barrier>(`select ${barrierColumns} from celeriac_barriers where number = ?`, number)
  if (barrier === undefined || barrier.decided === decided.no) return true
  return releaseSome(change, barrier, standingDecision(change, barrier))
}

/** The decision of a barrier that has decided. */
function standingDecision(change: Change, barrier: Barrier): Decision {
  const gate = barrier.gate === null ? null : readBarrier(change, barrier.gate)
  const succeeded = barrier.decided === decided.success
  return {
    succeeded,
    began: succeeded || (barrier.cause !== null && (gate?.decided ?? decided.success) === decided.success),
    cause: barrier.cause,
  }
}

function release(change: Change, barrier: Barrier, decision: Decision): void {
  if (!releaseSome(change, barrier, decision)) later(change, work.release, barrier.number)
}

function releaseSome(change: Change, barrier: Barrier, decision: Decision): boolean {
  const limit = Math.ceil(change.left)
  if (limit <= 0) return false
  const jobs = change.db.all<Waiting>(
    `select ${waitingColumns} from celeriac_jobs where behind = ? and state = 0 and continuation is null and archived is null
     order by seq limit ? + 0`,
    barrier.number,
    limit,
  )
  for (const job of jobs) letGo(change, job, decision)
  return jobs.length < limit
}

/** A job whose barrier has decided, or that stands behind none. */
function letGo(change: Change, job: Waiting, decision: Decision): void {
  if (job.role === role.main && (job.marked_at !== null || header(change, job.collection).cancelledAt !== null)) {
    // What did not succeed before it came first, and is what a report names.
    const cause = decision.cause ?? job.seq
    return endJob(change, job, { state: state.cancelled, reason: job.reason ?? reason.cancelled, cause })
  }
  if (fits(job.fit, decision)) return enqueue(change, job)
  const upstream = job.role === role.main || (job.fit === when.success && isSide(change, decision.cause))
  const end = upstream
    ? { state: state.skipped, reason: reason.upstream, cause: decision.cause }
    : { state: state.skipped, reason: reason.notNeeded, cause: null }
  endJob(change, job, end)
}

function fits(fit: number, decision: Decision): boolean {
  if (fit === when.success) return decision.succeeded
  return fit === when.always ? decision.began : !decision.succeeded && decision.began
}

const isSide = (change: Change, seq: number | null): boolean =>
  seq !== null &&
  change.db.get<{ role: number }>('select role from celeriac_jobs where seq = ?', seq)?.role !== role.main

function enqueue(change: Change, job: Waiting): void {
  change.left--
  const due = job.start_in === null ? job.due_at : change.now + job.start_in
  const code = due !== null && due > change.now ? state.scheduled : state.queued
  change.db.run(
    'update celeriac_jobs set state = ?, due_at = ?, version = version + 1 where seq = ?',
    code,
    code === state.scheduled ? due : null,
    job.seq,
  )
  change.journal.job(code, job.collection, job.seq, job.attempt, job.version + 1)
}

/** Lets go a waiting job if nothing holds it up (any more): its barrier has decided, or there is none. */
export function letGoIfFree(change: Change, job: Waiting & { readonly behind: number | null }): void {
  const barrier = job.behind === null ? null : readBarrier(change, job.behind)
  if (barrier === null) return letGo(change, job, { succeeded: true, began: true, cause: null })
  if (barrier.decided !== decided.no) letGo(change, job, standingDecision(change, barrier))
}
export { waitingColumns, type Waiting }

// ── what it closes ───────────────────────────────────────────────────────────────────────────────────────────────

interface Parked extends Ending {
  readonly state: number
  readonly marked_at: number | null
  readonly reason: number | null
}

/** The canvas that a job continued as is over, and so is the job: its result stays where it is, and is found from there. */
function settleParked(change: Change, seq: number, continuation: number, decision: Decision): void {
  const job = change.db.get<Parked>(
    `select ${endingColumns}, state, marked_at, reason from celeriac_jobs where seq = ? and state = 0 and continuation = ?`,
    seq,
    continuation,
  )
  if (job === undefined) return
  const isCancelled =
    job.marked_at !== null || (job.role === role.main && header(change, job.collection).cancelledAt !== null)
  endJob(change, job, { ...endOfParked(job, isCancelled, decision), settled: true })
}

function endOfParked(job: Parked, isCancelled: boolean, decision: Decision): End {
  if (isCancelled) return { state: state.cancelled, reason: job.reason ?? reason.cancelled, cause: job.seq }
  if (decision.succeeded) return { state: state.succeeded, reason: null, cause: null }
  return { state: state.failed, reason: reason.failed, cause: decision.cause ?? job.seq }
}

/** Settles a parked job whose canvas is over already. */
export function settleParkedIfOver(change: Change, seq: number, continuation: number): void {
  const barrier = readBarrier(change, continuation)
  if (barrier.decided !== decided.no) settleParked(change, seq, continuation, standingDecision(change, barrier))
}

function settleCollection(change: Change, barrier: Barrier, decision: Decision): void {
  const row = change.db.get<{ number: number; exit: number }>(
    'select number, exit from celeriac_collections where number = ?',
    barrier.collection,
  )
  if (row === undefined || row.exit !== barrier.number) return
  const about = header(change, row.number)
  const code = settledState(change, about, decision)
  change.db.run(
    'update celeriac_collections set state = ?, settled_at = ? where number = ?',
    code,
    change.now,
    row.number,
  )
  change.journal.collection(code, row.number, about.round)
  releaseUnique(change, row.number)
}

function settledState(change: Change, about: Header, decision: Decision): number {
  if (decision.succeeded) return collectionState.succeeded
  if (about.cancelledAt !== null) return collectionState.cancelled
  const isFailed = (where: string, seq: number | null): boolean =>
    seq !== null &&
    change.db.get(
      `select 1 from celeriac_jobs where ${where} and state = 5 and role = 0 and archived is null limit 1`,
      seq,
    ) !== undefined
  const hasFailed =
    isFailed('seq = ?', decision.cause) || isFailed('collection = ? and collection <> seq', about.number)
  return hasFailed ? collectionState.failed : collectionState.cancelled
}

export { ended }
