import type { Runtime } from '../../core/runtime.ts'
import { reason, state } from '../../engine/codes.ts'
import {
  blameFor,
  cancelGrace,
  deadlineGrace,
  isStoreGone,
  jobsPerStep,
  lastWordsName,
  lateOutcome,
  type NamedJob,
  poisonedFailure,
  sessionsPerTurn,
  Steps,
  suspicion,
  suspicionAfter,
  turnLength,
} from '../../engine/recovery.ts'
import { bySlices, restOfTurn } from '../../engine/retention.ts'
import type { SweepAnswer } from '../../engine/work.ts'
import { type Change, endJob } from './change.ts'
import { expire, expiredAfter, expireThese, nextDueAt, type Ref, refColumns, releaseDue } from './claim.ts'
import type { Database } from './database.ts'
import { chores, retain } from './retention.ts'
import { putBack, recordAttempt, retryLater } from './settle.ts'
import { longestPause, note, noted, noteFaults, takeChores, takeTurn } from './turn.ts'

export interface SweepParts {
  readonly runtime: Runtime
  /** Runs its body in a transaction of its own, with what follows from it. */
  readonly write: <T>(body: (change: Change) => T) => Promise<T>
  readonly read: <T>(body: (db: Database) => T) => Promise<T>
  readonly isClosed: () => boolean
}

/** Recovery first, stored a step at a time; then upkeep, of which each chore may fail for itself. */
export async function sweep(parts: SweepParts): Promise<SweepAnswer> {
  const { write, read, runtime } = parts
  const steps = new Steps()
  const begun = await beginCarefully(parts, steps)
  if (!begun.isTurn) {
    const nextAt = await read((db) => nextSweepAt(db, runtime.now()))
    return { released: begun.released, nextAt: nextAt === null ? begun.nextAt : Math.max(nextAt, begun.nextAt ?? 0) }
  }
  let { released } = begun
  for (const session of begun.sessions)
    released += (await steps.run(`worker ${session.name}`, () => lose(parts, steps, session))) ?? 0
  if (begun.hasLate) released += (await steps.run('deadlines', () => stopLate(parts, steps))) ?? 0
  const isDue = (await steps.run('retention', () => retainAll(parts))) ?? false
  if (begun.hasChores) await steps.runChores(chores, write, () => write(({ db }) => note(db, 'chores_at', 0)))
  const { faults } = steps
  if (faults.length > 0) await write((change) => noteFaults(change, steps.keptFaults))
  const isAtRest = begun.sessions.length === 0 && !begun.hasLate
  const nextAt = isAtRest ? begun.nextAt : await write(foresee)
  return { released, faults, nextAt: isDue ? Math.min(nextAt ?? Infinity, runtime.now() + restOfTurn) : nextAt }
}

/** Where the row of one job that has expired is damaged, each is ended for itself, and what stays is looked at again in the next turn. */
async function beginCarefully({ write }: SweepParts, steps: Steps): Promise<Begun> {
  try {
    return await write((change) => begin(change))
  } catch (error) {
    if (isStoreGone(error)) throw error
  }
  await steps.runPages(
    (after) => write((change) => expiredAfter(change, after)),
    (jobs) => write((change) => expireThese(change, jobs)),
  )
  const begun = await write((change) => begin(change, false))
  return { ...begun, nextAt: Math.max(begun.nextAt ?? 0, begun.now + turnLength) }
}

const retainAll = ({ write, runtime, isClosed }: SweepParts): Promise<boolean> =>
  bySlices(runtime, async () => !isClosed() && (await write(retain)))

interface Begun {
  readonly now: number
  readonly released: number
  readonly isTurn: boolean
  readonly hasChores: boolean
  readonly hasLate: boolean
  readonly sessions: readonly Session[]
  readonly nextAt: number | null
}

function begin(change: Change, mayExpire = true): Begun {
  const isTurn = takeTurn(change)
  const released = releaseDue(change)
  if (mayExpire) expire(change)
  const { now } = change
  if (!isTurn) return { now, released, isTurn, hasChores: false, hasLate: false, sessions: [], nextAt: null }
  return {
    now,
    released,
    isTurn,
    hasChores: takeChores(change),
    hasLate: lateAfter(change, 0, 1).length > 0,
    sessions: lostSessions(change),
    nextAt: foresee(change),
  }
}

// ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────

interface Session {
  readonly number: number
  readonly name: string
}

/** Those that are over, and those whose jobs are being given back. */
function lostSessions({ db, now }: Change): Session[] {
  return db.all<Session>(
    `select number, name from celeriac_sessions where losing is not null
     union all select number, name from celeriac_sessions
       where ended_at is null and losing is null and expires_at <= ? and ? + (expires_at - seen_at) <= ? limit ? + 0`,
    now,
    noted(db, 'calm_at'),
    now,
    sessionsPerTurn,
  )
}

/** Ends a session at once, and gives back its jobs some at a time. */
async function lose({ write }: SweepParts, steps: Steps, session: Session): Promise<number> {
  const isLost = await write((change) => endSession(change, session))
  if (!isLost) return 0
  const count = await steps.runPages(
    (after) => write((change) => heldAfter(change, session, after)),
    (jobs) => write((change) => giveUpJobs(change, session, jobs)),
  )
  await write((change) => forgetIfEmpty(change, session))
  return count
}

/** Who is to blame is decided at once for all it held. A session that has renewed itself meanwhile lives. */
function endSession({ db, now }: Change, { number }: Session): boolean {
  const suspects = db.all('select 1 from celeriac_jobs where state = 3 and session = ? and crashes > 0 limit 2', number)
  db.run(
    'update celeriac_sessions set ended_at = ?, lost = 1, losing = ? where number = ? and ended_at is null and expires_at <= ?',
    now,
    blameFor(suspects.length),
    number,
    now,
  )
  return db.get('select 1 from celeriac_sessions where number = ? and losing is not null', number) !== undefined
}

/** In the order of the graph, whatever the claims' tokens are: the first that fails is what the others fail for. */
function heldAfter({ db }: Change, { number }: Session, after: number): NamedJob[] {
  return db.all<NamedJob>(
    'select seq, id from celeriac_jobs where state = 3 and session = ? and seq > ? order by +seq limit ? + 0',
    number,
    after,
    jobsPerStep,
  )
}

function forgetIfEmpty({ db }: Change, { number }: Session): void {
  db.run(
    'update celeriac_sessions set losing = null where number = ? and not exists (select 1 from celeriac_jobs where state = 3 and session = ?)',
    number,
    number,
  )
}

interface Lost extends Ref {
  readonly crashes: number
  readonly marked_at: number | null
  readonly reason: number | null
}
const lostColumns = `${refColumns}, crashes, marked_at, reason`

/** Asked for by their numbers, so that one of them may fail for itself. A session that came back to life keeps what is left. */
function giveUpJobs(change: Change, { number, name }: Session, jobs: readonly NamedJob[]): number {
  const { db } = change
  const whose = db.get<{ losing: number }>(
    'select losing from celeriac_sessions where number = ? and losing is not null',
    number,
  )?.losing
  if (whose === undefined) return 0
  const lost = db.all<Lost>(
    `select ${lostColumns} from celeriac_jobs
     where seq in (select value from json_each(?)) and state = 3 and session = ? order by +seq`,
    `[${jobs.map(({ seq }) => seq).join(',')}]`,
    number,
  )
  for (const job of lost) giveUp(change, job, suspicionAfter(job.crashes, whose), name)
  return lost.length
}

function giveUp(change: Change, job: Lost, crashes: number, worker: string): void {
  if (job.marked_at !== null)
    return endJob(change, job, { state: state.cancelled, reason: job.reason ?? reason.cancelled, cause: job.seq })
  if (crashes >= suspicion.poisoned) {
    const failure = poisonedFailure(worker, lastWords(change, job), job.attempt, change.now)
    return endJob(change, job, {
      state: state.failed,
      reason: reason.poisoned,
      cause: job.seq,
      failure: JSON.stringify(failure),
    })
  }
  recordAttempt(change, job.seq, 'lost', lastWords(change, job))
  putBack(change, job, 0, `token = null, session = null, crashes = ${crashes}`)
}

const lastWords = ({ db }: Change, { seq, attempt }: Lost): string | null =>
  db.get<{ value: string }>('select value from celeriac_notes where job = ? and name = ?', seq, lastWordsName(attempt))
    ?.value ?? null

// ── deadlines ────────────────────────────────────────────────────────────────────────────────────────────────────

interface Late extends Ref {
  readonly marked_at: number | null
  readonly reason: number | null
  readonly failures: number
  readonly options: string | null
  readonly timeout: number | null
}
/** From then on a running job is late. After a gap it has its time anew: nobody knows how much of it it had. */
const lateAt = `min(
  coalesce(max(started_at, calm) + timeout + ${deadlineGrace}, 9e15), coalesce(max(marked_at, calm) + ${cancelGrace}, 9e15))`
const lateJobs = `celeriac_jobs, (select ? as calm, ? as instant) where state = 3 and ${lateAt} <= instant`

/** Jobs whose worker did not stop them in time, though its session lives: its event loop is blocked, or the handler does not listen. */
const stopLate = ({ write, runtime }: SweepParts, steps: Steps): Promise<number> =>
  steps.runPages(
    (after) => write((change) => lateAfter(change, after, jobsPerStep)),
    (jobs) => write((change) => stopJobs(change, jobs, runtime)),
  )

function lateAfter({ db, now }: Change, after: number, limit: number): NamedJob[] {
  return db.all<NamedJob>(
    `select seq, id from ${lateJobs} and seq > ? order by +seq limit ? + 0`,
    noted(db, 'calm_at'),
    now,
    after,
    limit,
  )
}

function stopJobs(change: Change, jobs: readonly NamedJob[], runtime: Runtime): number {
  const late = change.db.all<Late>(
    `select ${refColumns}, marked_at, reason, failures, options, timeout
     from ${lateJobs} and seq in (select value from json_each(?)) order by +seq`,
    noted(change.db, 'calm_at'),
    change.now,
    `[${jobs.map(({ seq }) => seq).join(',')}]`,
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
  const outcome = lateOutcome(job, change.now, runtime.random())
  if (outcome.type === 'failed')
    return endJob(change, job, {
      state: state.failed,
      reason: reason.timeout,
      cause: job.seq,
      failure: JSON.stringify(outcome.failure),
    })
  retryLater(change, job, outcome)
  change.db.run('update celeriac_jobs set token = null where seq = ?', job.seq)
}

// ── what comes next ──────────────────────────────────────────────────────────────────────────────────────────────

/** When the next turn is to be taken, as far as can be foreseen. Kept, so that others need not look for it. */
function foresee({ db, now }: Change): number | null {
  const calm = noted(db, 'calm_at')
  const first = (sql: string, ...values: number[]): number | null =>
    db.get<{ at: number | null }>(sql, ...values)?.at ?? null
  const at = earliest(
    first('select 0 as at from celeriac_sessions where losing is not null limit 1'),
    first(
      'select min(max(expires_at, ? + expires_at - seen_at)) as at from celeriac_sessions where ended_at is null',
      calm,
    ),
    first(
      `select min(${lateAt}) as at
       from celeriac_jobs, (select ? as calm) where state = 3 and (deadline_at is not null or marked_at is not null)`,
      calm,
    ),
    now + longestPause(db),
  )
  // What is due and stays due, since it failed or others hold it, waits for the next turn.
  note(db, 'sweep_at', at === null ? 0 : at > now ? at : now + turnLength)
  return nextSweepAt(db, now)
}

/** When something will have to be swept again, as far as can be foreseen. */
function nextSweepAt(db: Database, now: number): number | null {
  const leftAt = db.get<{ at: number | null }>('select min(not_before) as at from celeriac_work')?.at ?? null
  const lapsing = db.get<{ at: number | null }>(
    'select min(expires_at) as at from celeriac_jobs where expires_at is not null and state in (1, 2)',
  )?.at
  return earliest(
    leftAt,
    nextDueAt(db),
    // What is over in the calm after a gap waits for its end.
    lapsing === null || lapsing === undefined
      ? null
      : lapsing > now
        ? lapsing
        : Math.max(lapsing, noted(db, 'calm_until')),
    noted(db, 'sweep_at') || null,
  )
}

function earliest(...times: (number | null)[]): number | null {
  const known = times.filter((at) => at !== null && at !== Infinity) as number[]
  return known.length === 0 ? null : Math.min(...known)
}
