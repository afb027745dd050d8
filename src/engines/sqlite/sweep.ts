import { decideFailure } from '../../core/retry.ts'
import type { Failure } from '../../core/failure.ts'
import type { Runtime } from '../../core/runtime.ts'
import { type Change, endJob } from './change.ts'
import { expire, nextDueAt, readOptions, type Ref, releaseDue } from './claim.ts'
import { reason, state } from '../../engine/codes.ts'
import type { Database } from './database.ts'
import { putBack, recordAttempt, retryLater } from './settle.ts'
import { abandonUploads } from './submit.ts'

/** How long a running job that was told to stop may take, and how far past its deadline a worker may settle it itself. */
const cancelGrace = 10_000
const deadlineGrace = 2_000
const poisonLimit = 3

/** Gives how many jobs became queued. */
export function sweep(change: Change, runtime: Runtime): number {
  const isCalm = takeTurn(change)
  const released = releaseDue(change)
  expire(change)
  const lost = isCalm ? 0 : loseSessions(change)
  const late = stopLate(change, runtime)
  abandonUploads(change)
  return released + lost + late
}

/**
 * After a gap longer than a lease (the machine slept, nobody was there) every session looks dead: nothing is given up for
 * one lease, so that those who live can say so.
 */
function takeTurn(change: Change): boolean {
  const meta = (key: string): number =>
    change.db.get<{ value: number }>('select value from celeriac_meta where key = ?', key)?.value ?? 0
  const put = (key: string, value: number): number =>
    change.db.run('update celeriac_meta set value = ? where key = ?', value, key)
  const lease =
    change.db.get<{ lease: number | null }>(
      'select max(expires_at - seen_at) as lease from celeriac_sessions where ended_at is null',
    )?.lease ?? 0
  if (meta('swept_at') + lease < change.now) put('calm_until', change.now + lease)
  put('swept_at', change.now)
  return meta('calm_until') > change.now
}

// ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────

interface Lost extends Ref {
  readonly crashes: number
  readonly marked_at: number | null
  readonly reason: number | null
}
const lostColumns = 'seq, collection, attempt, version, role, feeds, scope, depth, crashes, marked_at, reason'

function loseSessions(change: Change): number {
  const sessions = change.db.all<{ number: number; name: string }>(
    'select number, name from celeriac_sessions where ended_at is null and expires_at <= ?',
    change.now,
  )
  let count = 0
  for (const { number, name } of sessions) {
    // In the order of the graph, whatever the claims' tokens are: the first that fails is what the others fail for.
    const jobs = change.db.all<Lost>(
      `select ${lostColumns} from celeriac_jobs where state = 3 and session = ? order by +seq`,
      number,
    )
    // One that was suspect already is to blame. Where none was, each of them may be.
    const suspects = jobs.some(({ crashes }) => crashes > 0)
    for (const job of jobs) giveUp(change, job, !suspects || job.crashes > 0, name)
    change.db.run('update celeriac_sessions set ended_at = ?, lost = 1 where number = ?', change.now, number)
    count += jobs.length
  }
  return count
}

function giveUp(change: Change, job: Lost, isSuspect: boolean, worker: string): void {
  const crashes = job.crashes + (isSuspect ? 1 : 0)
  if (job.marked_at !== null)
    return endJob(change, job, { state: state.cancelled, reason: job.reason ?? reason.cancelled, cause: job.seq })
  if (crashes >= poisonLimit) {
    const failure = failed(
      'JobPoisoned',
      `Its worker died ${crashes} times while it ran; the last one was ${worker}.`,
      job,
      change.now,
    )
    return endJob(change, job, {
      state: state.failed,
      reason: reason.poisoned,
      cause: job.seq,
      failure: JSON.stringify(failure),
    })
  }
  recordAttempt(change, job.seq, 'lost', null)
  putBack(change, job, 0, `token = null, session = null, crashes = ${crashes}`)
}

const failed = (name: string, message: string, job: Ref, now: number): Failure => ({
  name,
  message,
  attempt: job.attempt,
  at: new Date(now).toISOString(),
})

// ── deadlines ────────────────────────────────────────────────────────────────────────────────────────────────────

interface Late extends Ref {
  readonly marked_at: number | null
  readonly reason: number | null
  readonly failures: number
  readonly options: string | null
  readonly timeout: number | null
}

/** Jobs whose worker did not stop them in time, though its session lives: its event loop is blocked, or the handler does not listen. */
function stopLate(change: Change, runtime: Runtime): number {
  const late = change.db.all<Late>(
    `select seq, collection, attempt, version, role, feeds, scope, depth, marked_at, reason, failures, options, timeout from celeriac_jobs
     where state = 3 and (marked_at <= ? or deadline_at <= ?)`,
    change.now - cancelGrace,
    change.now - deadlineGrace,
  )
  for (const job of late) {
    if (job.marked_at !== null)
      endJob(change, job, { state: state.cancelled, reason: job.reason ?? reason.cancelled, cause: job.seq })
    else timeOut(change, job, runtime)
  }
  if (late.length > 0) change.journal.cancel = true
  return late.length
}

function timeOut(change: Change, job: Late, runtime: Runtime): void {
  const failure = failed(
    'JobTimedOut',
    `It took longer than its ${job.timeout} ms, and did not stop when told.`,
    job,
    change.now,
  )
  const policy = readOptions(job.options).retry
  const outcome = decideFailure({
    reason: 'timeout',
    failure,
    policy,
    failures: job.failures,
    random: runtime.random(),
  })
  if (outcome.type === 'failed')
    return endJob(change, job, {
      state: state.failed,
      reason: reason.timeout,
      cause: job.seq,
      failure: JSON.stringify(failure),
    })
  retryLater(change, job, outcome)
  change.db.run('update celeriac_jobs set token = null where seq = ?', job.seq)
}

// ── what comes next ──────────────────────────────────────────────────────────────────────────────────────────────

/** When something will have to be swept again, as far as can be foreseen. */
export function nextSweepAt(db: Database): number | null {
  const first = (sql: string): number | null => db.get<{ at: number | null }>(sql)?.at ?? null
  const times = [
    first('select 0 as at from celeriac_work limit 1'),
    nextDueAt(db),
    // Nobody is given up before the calm after a gap is over.
    first(`select max(min(expires_at), (select value from celeriac_meta where key = 'calm_until')) as at
           from celeriac_sessions where ended_at is null`),
    first('select min(expires_at) as at from celeriac_jobs where expires_at is not null and state in (1, 2)'),
    first(
      `select min(min(coalesce(deadline_at + ${deadlineGrace}, 9e15), coalesce(marked_at + ${cancelGrace}, 9e15))) as at from celeriac_jobs where state = 3 and (deadline_at is not null or marked_at is not null)`,
    ),
  ]
  const known = times.filter((at) => at !== null)
  return known.length === 0 ? null : Math.min(...known)
}
