import type { AttemptRecord, JobRecord, LogLine, Progress } from '../../core/job.ts'
import type { Failure } from '../../core/failure.ts'
import { attemptOutcomeName, reasonName, roleName, state, stateName } from '../../engine/codes.ts'
import type { Database } from './database.ts'
import { failureOf } from './gather.ts'

/** A job as it is told to people, from its row. */
export interface JobRow {
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
  readonly shape: string | null
  readonly result: string | null
}

/** Everything but the result, which may be large. */
export const jobColumns = `j.seq, j.id, j.collection, coalesce(c.id, h.id) as collection_id, j.task, j.state, j.reason, j.role, j.queue, j.priority,
  j.args, p.id as parent_id, j.behind, j.feeds, j.attempt, j.failures, j.round, j.version, j.progress, j.failure, j.cause,
  coalesce(c.actor, h.actor) as actor, j.description, j.tags, s.name as worker, j.created_at, j.due_at, j.started_at, j.finished_at,
  coalesce(j.marked_at, iif(j.role = 0, c.cancelled_at, null)) as marked_at, j.continuation, j.shape`
export const jobTables = `celeriac_jobs j
  left join celeriac_collections c on c.number = j.collection
  left join celeriac_jobs h on h.seq = j.collection
  left join celeriac_jobs p on p.seq = j.parent
  left join celeriac_sessions s on s.number = j.session`

export function jobRecord(db: Database, row: JobRow, after: readonly string[]): JobRecord {
  const failed = row.cause === null || row.cause === row.seq ? null : failureOf(db, row.cause)
  const own = row.cause === row.seq ? failureOf(db, row.seq) : null
  const earlier = row.failure === null ? null : (JSON.parse(row.failure) as Failure)
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
    progress: row.progress === null ? null : (JSON.parse(row.progress) as Progress),
    failure: row.state === state.succeeded ? null : (failed?.failure ?? own?.failure ?? earlier),
    failedJobId: failed?.jobId ?? own?.jobId ?? null,
    actor: row.actor === null ? null : { id: row.actor },
    description: row.description,
    tags: row.tags === null ? [] : (JSON.parse(row.tags) as string[]),
    worker: row.worker,
    createdAt: row.created_at,
    dueAt: row.state < state.succeeded ? row.due_at : null,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    cancelling: row.state < state.succeeded && row.marked_at !== null,
    continued: row.continuation !== null,
  }
}

interface AttemptRow {
  readonly attempt: number
  readonly round: number
  readonly worker: string | null
  readonly started_at: number
  readonly finished_at: number
  readonly outcome: number
  readonly failure: string | null
}

/** The attempts that ended, and the one that stands on the job itself. */
export function attemptsOf(db: Database, row: JobRow): AttemptRecord[] {
  const rows = db.all<AttemptRow>(
    `select a.attempt, a.round, s.name as worker, a.started_at, a.finished_at, a.outcome, a.failure from celeriac_attempts a
     left join celeriac_sessions s on s.number = a.session where a.job = ? order by a.attempt`,
    row.seq,
  )
  const attempts = rows.map(({ attempt, round, worker, started_at, finished_at, outcome, failure }): AttemptRecord => ({
    attempt,
    round,
    worker,
    startedAt: started_at,
    finishedAt: finished_at,
    outcome: attemptOutcomeName(outcome),
    failure: failure === null ? null : (JSON.parse(failure) as Failure),
  }))
  const isKept = rows.some(({ attempt }) => attempt === row.attempt)
  return row.started_at === null || isKept ? attempts : [...attempts, standing(row)]
}

function standing(row: JobRow): AttemptRecord {
  const outcomes: Readonly<Record<number, AttemptRecord['outcome']>> = {
    3: 'running',
    4: 'succeeded',
    5: 'failed',
    6: 'cancelled',
  }
  const failure = row.state === state.failed && row.failure !== null ? (JSON.parse(row.failure) as Failure) : null
  return {
    attempt: row.attempt,
    round: row.round,
    worker: row.worker,
    startedAt: row.started_at as number,
    finishedAt: row.finished_at,
    outcome: outcomes[row.state] ?? 'released',
    failure,
  }
}

export function logOf(db: Database, seq: number): LogLine[] {
  return db.all<LogLine>(
    'select at, attempt, level, message, data from celeriac_log where job = ? order by number',
    seq,
  )
}
