import type { CollectionRecord } from '../../core/collection.ts'
import type { JobRecord, LogLine } from '../../core/job.ts'
import { failureIn, type FoundFailure } from '../../engine/failures.ts'
import { historyBytes } from '../../engine/limits.ts'
import { briefLimit, snapshotBytes } from '../../engine/members.ts'
import {
  type CollectionColumns,
  collectionIn,
  collectionRecordOf,
  type Counted,
  type History,
  historyOf,
  type JobColumns,
  jobRecordOf,
  type StoredAttempt,
  tallyOf,
} from '../../engine/records.ts'

// ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A job as it is told to people, from its row. */
export type JobRow = JobColumns & FailureColumns

/** The failure of the job `f`: the one to blame. */
export const failureColumns = `f.id as failed_id, f.task as failed_task, f.state as failed_state, f.reason as failed_reason,
  f.failure as failed_failure, f.attempt as failed_attempt, f.finished_at as failed_at`

const ownColumns = (cancelledAt: string, args = 'j.args', failure = 'j.failure', ofCause = failureColumns): string => `
  j.seq, j.id, j.collection, j.task, j.state, j.reason, j.role, j.queue, j.priority,
  ${args} as args, p.id as parent_id, j.behind, j.feeds, j.attempt, j.failures, j.round, j.version, j.progress, ${failure} as failure, j.cause,
  j.description, j.tags, s.name as worker, j.created_at,
  coalesce(j.due_at, case when j.state = 0 then j.start_at end) as due_at, j.started_at, j.finished_at,
  coalesce(j.marked_at, case when j.role = 0 then ${cancelledAt} end) as marked_at, j.continuation, ${ofCause}`
const ownTables = `
  left join celeriac.jobs p on p.seq = j.parent
  left join celeriac.sessions s on s.number = j.session
  left join celeriac.jobs f on f.seq = j.cause`

/** Everything but the result, which may be large. */
export const jobColumns = `${ownColumns('c.cancelled_at')}, coalesce(c.id, h.id) as collection_id, coalesce(c.actor, h.actor) as actor`
export const jobTables = `celeriac.jobs j
  left join celeriac.collections c on c.number = j.collection
  left join celeriac.jobs h on h.seq = j.collection
  ${ownTables}`

/** Behind the first `snapshotBytes` of a collection what is long is left with the server (see engine/members.ts). */
const isOver = `sum(octet_length(j.args) + coalesce(octet_length(j.failure), 0) + coalesce(octet_length(f.failure), 0))
  over (order by j.seq) > ${snapshotBytes}`
const longest = 4 * briefLimit
const briefly = (failure: string): string =>
  `case when octet_length(${failure}) > ${longest} and ${isOver} then celeriac.brief_failure(${failure}) else ${failure} end`

/** Of a job whose collection is known: `$2` is when that was cancelled. */
export const memberColumns = `${ownColumns(
  '$2::bigint',
  `case when octet_length(j.args) > ${longest} and ${isOver} then '[]' else j.args end`,
  briefly('j.failure'),
  failureColumns.replace('f.failure', briefly('f.failure')),
)}, ${isOver} and greatest(octet_length(j.args), octet_length(j.failure), octet_length(f.failure)) > ${longest} as is_over`
export const memberTables = `celeriac.jobs j ${ownTables}`
export type MemberRow = Omit<JobRow, 'collection_id' | 'actor'> & { readonly is_over: boolean }

/**
 * A number of no graph that is still being uploaded. No two overlap, so only the last that begins before it need be looked at: there
 * may be hundreds that somebody gave up, and every list asks this of every job.
 */
export const isSealed = (number: string): string => {
  const all = (column: string): string => `array(select ${column} from celeriac.uploads order by first)`
  return `coalesce((${all('last')})[width_bucket(${number}, ${all('first')})] < ${number}, true)`
}
/** Of a graph that is still being uploaded nobody knows yet. */
export const isVisible = isSealed('j.seq')

export const jobRecord = (row: JobRow, after: readonly string[]): JobRecord => jobRecordOf(row, failedIn(row), after)

// ── failures ─────────────────────────────────────────────────────────────────────────────────────────────────────

export interface FailureColumns {
  readonly failed_id: string | null
  readonly failed_task: string | null
  readonly failed_state: number | null
  readonly failed_reason: number | null
  readonly failed_failure: string | null
  readonly failed_attempt: number | null
  readonly failed_at: number | null
}

/** That of a job that failed or was cancelled; null where there is none. */
export function failedIn(row: FailureColumns): FoundFailure | null {
  if (row.failed_id === null) return null
  return failureIn({
    id: row.failed_id,
    task: row.failed_task ?? '',
    state: row.failed_state ?? 0,
    reason: row.failed_reason,
    failure: row.failed_failure,
    attempt: row.failed_attempt ?? 0,
    finishedAt: row.failed_at,
  })
}

// ── attempts and log ─────────────────────────────────────────────────────────────────────────────────────────────

/** As JSON, so that one statement tells all of a job. Of attempts and log lines, the newest whole as far as they fit; and how many lines do not. */
export const historyColumns = `
  (select json_agg(json_build_array(a.attempt, a.round, w.name, a.started_at, a.finished_at, a.outcome,
      case when a.size <= ${historyBytes} then a.failure end, a.failure is not null and a.size > ${historyBytes}) order by a.attempt)
   from (select *, sum(coalesce(octet_length(failure), 0)) over (order by attempt desc) as size from celeriac.attempts where job = j.seq) a
   left join celeriac.sessions w on w.number = a.session)::text as attempts,
  (select json_build_array(count(*) filter (where l.size > ${historyBytes}),
      json_agg(json_build_array(l.at, l.attempt, l.level, l.message, l.data) order by l.number) filter (where l.size <= ${historyBytes}))
   from (select *, sum(octet_length(message) + coalesce(octet_length(data), 0)) over (order by number desc) as size
     from celeriac.log where job = j.seq) l)::text as log`

type StoredLine = readonly [at: number, attempt: number, level: LogLine['level'], message: string, data: string | null]

/** @param texts what `historyColumns` gave */
export function historyIn(
  row: JobRow,
  texts: { readonly attempts?: string | null; readonly log?: string | null },
): History {
  const stored = JSON.parse(texts.attempts ?? '[]') as StoredAttempt[]
  const [omitted, lines] = JSON.parse(texts.log ?? '[0, null]') as [number, StoredLine[] | null]
  const log = (lines ?? []).map(([at, attempt, level, message, data]) => ({ at, attempt, level, message, data }))
  return historyOf({ ...row, startedAt: row.started_at, finishedAt: row.finished_at }, stored, log, omitted)
}

// ── collections ──────────────────────────────────────────────────────────────────────────────────────────────────

export interface CollectionRow extends FailureColumns, CollectionColumns {
  readonly alone: boolean
  readonly tally: string | null
}

export const collectionColumns =
  'number, id, false as alone, state, round, exit, shape, created_at, settled_at, cancelled_at, description, actor, tags, callback_url, callback_results'
/** A job alone, told as a collection of one: its states map onto a collection's. */
export const aloneColumns = `seq as number, id, true as alone, (case when state < 4 then 0 else least(state - 3, 3) end)::smallint as state, round,
  null::bigint as exit, '0' as shape, created_at, case when state > 3 then finished_at end as settled_at,
  case when state < 4 or state = 6 then marked_at end as cancelled_at, description, actor, tags, null::text as callback_url, null::text as callback_results`

/** What is told of the collections `n` besides their own row. Only where something went wrong is it looked for what. */
export const toldColumns = `n.*, t.tally::text as tally, ${failureColumns}`
export const toldTables = `
  left join lateral (
    select json_agg(json_build_array(state, role, count)) as tally, bool_or(state in (5, 6)) as is_unlucky from (
      select state, role, count(*) as count from (
        select state, role, reason from celeriac.jobs where collection = n.number and collection <> seq and archived is null
        union all select state, role, reason from celeriac.jobs where seq = n.number and n.alone and archived is null) own
      where state <> 7 or reason <> 7 group by state, role) counted
  ) t on true
  left join celeriac.jobs f on t.is_unlucky and n.state <> 1 and f.seq = coalesce(
    (select cause from celeriac.barriers where number = n.exit),
    (select cause from celeriac.jobs where seq = n.number and n.alone and state in (5, 6)),
    (select cause from celeriac.jobs where collection = n.number and collection <> seq and role = 0 and state in (5, 6) and archived is null
     order by finished_at, seq limit 1))`

export function collectionRecord(row: CollectionRow): CollectionRecord {
  const tally = tallyOf(row.tally === null ? [] : (JSON.parse(row.tally) as Counted[]))
  return collectionRecordOf(collectionIn(row), tally, failedIn(row))
}

export const recordFunctions = `
create or replace function celeriac.brief_failure(a_failure text) returns text language plpgsql immutable as $$
declare
  v_failure json := a_failure;
begin
  return json_build_object('name', v_failure ->> 'name', 'message', left(v_failure ->> 'message', ${longest}), 'attempt', v_failure -> 'attempt',
    'at', v_failure ->> 'at');
exception when invalid_text_representation then
  return left(a_failure, ${longest});
end $$;

-- Where they are damaged there are none.
create or replace function celeriac.tags_in(a_tags text) returns text[] language plpgsql immutable as $$
begin
  return array(select json_array_elements_text(a_tags::json));
exception when data_exception then
  return '{}';
end $$;
`
