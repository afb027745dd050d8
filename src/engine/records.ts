import type { Callback, CollectionRecord, JobCounts } from '../core/collection.ts'
import type { AttemptRecord, JobDetail, JobRecord, LogLine, Progress } from '../core/job.ts'
import { callbackOf, type CallbackColumns } from './callback.ts'
import { attemptOutcomeName, collectionStateName, reasonName, role, roleName, state, stateName } from './codes.ts'
import type { FoundFailure } from './failures.ts'
import { firstKept, lastKept } from './limits.ts'
import { readStored, storedFailure } from './stored.ts'

/** What is told of jobs and collections, from what stores keep of them. */

// ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A job as a store of SQL reads it. */
export interface JobColumns {
  readonly seq: number
  readonly id: string
  readonly collection: number
  readonly collection_id: string
  readonly task: string
  readonly state: number
  readonly reason: number | null
  readonly role: number
  readonly queue: string
  readonly priority: number
  readonly args: string
  readonly parent_id: string | null
  readonly behind: number | null
  readonly feeds: number | null
  readonly attempt: number
  readonly failures: number
  readonly round: number
  readonly version: number
  readonly progress: string | null
  readonly failure: string | null
  readonly cause: number | null
  readonly actor: string | null
  readonly description: string | null
  readonly tags: string | null
  readonly worker: string | null
  readonly created_at: number
  readonly due_at: number | null
  readonly started_at: number | null
  readonly finished_at: number | null
  readonly marked_at: number | null
  readonly continuation: number | null
}

/** @param found the failure of its cause */
export function jobRecordOf(row: JobColumns, found: FoundFailure | null, after: readonly string[]): JobRecord {
  return {
    id: row.id,
    collectionId: row.collection_id,
    task: row.task,
    state: stateName(row.state),
    reason: row.state >= state.succeeded ? reasonName(row.reason) : null,
    role: roleName(row.role),
    queue: row.queue,
    priority: row.priority,
    args: row.args,
    parentId: row.parent_id,
    after,
    attempt: row.attempt,
    failures: row.failures,
    round: row.round,
    version: row.version,
    progress: readStored<Progress | null>(row.progress, null),
    failure: row.state === state.succeeded ? null : (found?.failure ?? storedFailure(row.failure)),
    failedJobId: found?.jobId ?? null,
    actor: row.actor === null ? null : { id: row.actor },
    description: row.description,
    tags: readStored<string[]>(row.tags, []),
    worker: row.worker,
    createdAt: row.created_at,
    dueAt: row.state < state.succeeded ? row.due_at : null,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    cancelling: row.state < state.succeeded && row.marked_at !== null,
    continued: row.continuation !== null,
  }
}

// ── attempts ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** An attempt that ended, as it is kept. `failure` as JSON; `isOmitted`: there is one, which is too large to come along. */
export type StoredAttempt = readonly [
  attempt: number,
  round: number,
  worker: string | null,
  startedAt: number,
  finishedAt: number,
  outcome: number,
  failure: string | null,
  isOmitted: boolean | number,
]

/** The attempt that stands on the job itself. */
interface StandingAttempt extends Pick<AttemptRecord, 'attempt' | 'round' | 'worker' | 'finishedAt'> {
  readonly startedAt: number | null
  readonly state: number
  readonly failure: string | null
}

const outcomes: Readonly<Record<number, AttemptRecord['outcome']>> = {
  [state.running]: 'running',
  [state.succeeded]: 'succeeded',
  [state.failed]: 'failed',
  [state.cancelled]: 'cancelled',
}

export type History = Pick<JobDetail, 'attempts' | 'log' | 'omitted'>
export const noHistory: History = { attempts: [], log: [], omitted: null }

/** @param lines how many log lines are left out */
export function historyOf(
  job: StandingAttempt,
  stored: readonly StoredAttempt[],
  log: readonly LogLine[],
  lines: number,
): History {
  const failures = stored.filter(([, , , , , , , isOmitted]) => isOmitted).length
  const omitted = failures + lines === 0 ? null : { failures, lines }
  return { attempts: attemptsOf(job, stored), log, omitted }
}

/** The attempts that ended, and the one that stands on the job itself. */
function attemptsOf(job: StandingAttempt, stored: readonly StoredAttempt[]): AttemptRecord[] {
  const attempts = stored.map(([attempt, round, worker, startedAt, finishedAt, outcome, failure]): AttemptRecord => ({
    attempt,
    round,
    worker,
    startedAt,
    finishedAt,
    outcome: attemptOutcomeName(outcome),
    failure: storedFailure(failure),
  }))
  const { attempt, round, worker, startedAt, finishedAt } = job
  if (startedAt === null || attempts.some((each) => each.attempt === attempt)) return firstAndLast(attempts)
  const outcome = outcomes[job.state] ?? 'released'
  const failure = job.state === state.failed ? storedFailure(job.failure) : null
  return firstAndLast([...attempts, { attempt, round, worker, startedAt, finishedAt, outcome, failure }])
}

/** Stores keep as many that ended; the one that stands on the job may be one more. */
const firstAndLast = (attempts: AttemptRecord[]): AttemptRecord[] =>
  attempts.length <= firstKept + lastKept ? attempts : [...attempts.slice(0, firstKept), ...attempts.slice(-lastKept)]

// ── collections ──────────────────────────────────────────────────────────────────────────────────────────────────

export interface Tally {
  readonly counts: JobCounts
  /** Of the main jobs. */
  readonly progress: { readonly done: number; readonly total: number }
}

/** How many jobs there are of a state and a role, without those that were not needed. */
export type Counted = readonly [state: number, role: number, count: number]

export function tallyOf(counted: readonly Counted[]): Tally {
  const counts = { waiting: 0, scheduled: 0, queued: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0, skipped: 0 }
  const progress = { done: 0, total: 0 }
  for (const [code, roleOf, count] of counted) {
    counts[stateName(code)] += count
    if (roleOf !== role.main) continue
    progress.total += count
    if (code >= state.succeeded) progress.done += count
  }
  return { counts, progress }
}

/** The tally of jobs that have been read, so that both agree. */
export function tallyOfJobs(jobs: readonly JobRecord[]): Tally {
  const needed = jobs.filter(({ reason }) => reason !== 'not-needed')
  return tallyOf(needed.map((job): Counted => [state[job.state], role[job.role], 1]))
}

export interface StoredCollection {
  readonly id: string
  readonly state: number
  readonly round: number
  readonly description: string | null
  readonly actor: string | null
  readonly tags: readonly string[]
  readonly callback: Callback | null
  readonly createdAt: number
  readonly settledAt: number | null
  readonly cancelledAt: number | null
}

/** A collection as a store of SQL reads it. */
export interface CollectionColumns extends CallbackColumns {
  readonly number: number
  readonly id: string
  readonly state: number
  readonly round: number
  readonly exit: number | null
  readonly shape: string
  readonly created_at: number
  readonly settled_at: number | null
  readonly cancelled_at: number | null
  readonly description: string | null
  readonly actor: string | null
  readonly tags: string | null
}

export const collectionIn = (row: CollectionColumns): StoredCollection => ({
  ...row,
  tags: readStored<string[]>(row.tags, []),
  callback: callbackOf(row),
  createdAt: row.created_at,
  settledAt: row.settled_at,
  cancelledAt: row.cancelled_at,
})

/** @param found the failure that came first */
export function collectionRecordOf(
  row: StoredCollection,
  { counts, progress }: Tally,
  found: FoundFailure | null,
): CollectionRecord {
  return {
    id: row.id,
    state: collectionStateName(row.state),
    round: row.round,
    description: row.description,
    actor: row.actor === null ? null : { id: row.actor },
    tags: row.tags,
    callback: row.callback,
    counts,
    progress,
    createdAt: row.createdAt,
    settledAt: row.settledAt,
    cancelling: row.state === 0 && row.cancelledAt !== null,
    failure: found?.failure ?? null,
    failedJobId: found?.jobId ?? null,
  }
}
