import type { JobRecord, LogLine } from '../../core/job.ts'
import { historyBytes } from '../../engine/limits.ts'
import { type History, historyOf, type JobColumns, jobRecordOf, type StoredAttempt } from '../../engine/records.ts'
import type { Database } from './database.ts'
import { failureOf } from './gather.ts'

/** A job as it is told to people, from its row. */
export interface JobRow extends JobColumns {
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

export const jobRecord = (db: Database, row: JobRow, after: readonly string[]): JobRecord =>
  jobRecordOf(row, row.cause === null ? null : failureOf(db, row.cause), after)

/** Its attempts and log lines, the newest of them whole as far as they fit. Sizes are looked at before texts are read. */
export function readHistory(db: Database, row: JobRow): History {
  const stored = db.lists<StoredAttempt>(
    `select a.attempt, a.round, s.name, a.started_at, a.finished_at, a.outcome, iif(z.size > ?2, null, a.failure), a.failure is not null and z.size > ?2
     from (select attempt, sum(coalesce(octet_length(failure), 0)) over (order by attempt desc) as size from celeriac_attempts where job = ?1) z
     join celeriac_attempts a on a.job = ?1 and a.attempt = z.attempt left join celeriac_sessions s on s.number = a.session order by a.attempt`,
    row.seq,
    historyBytes,
  )
  const sizes = db.lists<readonly [number: number, size: number]>(
    `select number, sum(octet_length(message) + coalesce(octet_length(data), 0)) over (order by number desc) as size from celeriac_log where job = ?
     order by number`,
    row.seq,
  )
  const first = sizes.findIndex(([, size]) => size <= historyBytes)
  const log = db.all<LogLine>(
    'select at, attempt, level, message, data from celeriac_log where job = ? and number >= ? order by number',
    row.seq,
    sizes[first]?.[0] ?? 0,
  )
  return historyOf(
    { ...row, startedAt: row.started_at, finishedAt: row.finished_at },
    stored,
    log,
    sizes.length - log.length,
  )
}
