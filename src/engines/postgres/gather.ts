import type { JobCounts, SettledState } from '../../core/collection.ts'
import type { StoredResult } from '../../core/job.ts'
import { decided, stateName } from '../../engine/codes.ts'
import { reportOf } from '../../engine/failures.ts'
import { inlineLimit, inputsPerClaim } from '../../engine/limits.ts'
import type { JobInput } from '../../engine/work.ts'
import type { Requests } from './database.ts'
import { type FailureColumns, failedIn } from './record.ts'
import { resultsIn } from './results.ts'

const pageRows = 1_000

// ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────

type Leaf = readonly [seq: number, result: string | null, continuation: number | null, shape: string | null]

/** A page of the results at a barrier. Nested ones are left out where they are large: they have a barrier of their own. */
export async function resultsPage(
  requests: Requests,
  barrier: number,
  after: string | null,
): Promise<{ results: StoredResult[]; next: string | null }> {
  const rows = await requests.call<readonly [...Leaf, isMore: boolean]>(
    'results_page',
    barrier,
    after === null ? -1 : Number(after),
  )
  const results = rows.map(([, json, continuation, shape]): StoredResult =>
    continuation === null ? { json } : { shape: shape ?? '0', barrier: continuation, results: null },
  )
  const last = rows.at(-1)
  return { results, next: last?.[4] === true ? String(last[0]) : null }
}

// ── inputs ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** What `celeriac.read_input` gives. */
type FoundInput =
  | {
      readonly from: 'results'
      readonly shape: string
      readonly barrier: number | null
      readonly results: string | null
    }
  | { readonly from: 'failure'; readonly cause: FoundCause | null }
  | {
      readonly from: 'summary'
      readonly cause: FoundCause | null
      readonly decided: number | null
      readonly cancelled: boolean
      readonly counts: readonly (readonly [state: number, count: number])[]
    }
interface FoundCause extends FailureColumns {
  readonly collection: string
}

/** What is put before a job's own arguments. */
export function readInput(text: string, now: number): JobInput {
  const found = JSON.parse(text) as FoundInput
  if (found.from === 'results') {
    const { shape, barrier } = found
    return { from: 'results', shape, barrier, results: barrier === null ? [] : resultsIn(barrier, found.results) }
  }
  if (found.from === 'failure')
    return {
      from: 'failure',
      report: reportOf(found.cause && failedIn(found.cause), found.cause?.collection ?? '', now),
    }
  const counts = countsIn(found.counts)
  return {
    from: 'summary',
    state: summaryState(found.cancelled, counts, found.decided),
    counts,
    failure: found.cause === null ? null : (failedIn(found.cause)?.failure ?? null),
  }
}

function summaryState(isCancelled: boolean, counts: JobCounts, decision: number | null): SettledState {
  if (decision === null || decision === decided.success) return 'succeeded'
  if (isCancelled) return 'cancelled'
  return counts.failed > 0 ? 'failed' : 'cancelled'
}

/** Counts by state, from rows of state and count. */
function countsIn(rows: readonly (readonly [state: number, count: number])[]): JobCounts {
  const counts = { waiting: 0, scheduled: 0, queued: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0, skipped: 0 }
  for (const [code, count] of rows) counts[stateName(code)] += count
  return counts
}

export const gatherFunctions = `
-- The jobs at a barrier, in order, whichever of the barriers nested in it they feed.
create or replace function celeriac.leaves(a_barrier bigint, a_after bigint, a_limit integer)
returns table (seq bigint, result text, continuation bigint, shape text) language plpgsql stable as $$
#variable_conflict use_column
begin
  if not exists (select 1 from celeriac.barriers where feeds = a_barrier) then
    return query select j.seq, j.result, j.continuation, j.shape from celeriac.jobs j
      where j.feeds = a_barrier and j.archived is null and j.seq > a_after order by j.seq limit a_limit;
    return;
  end if;
  return query
    with recursive inner_barriers as (
      select a_barrier as number union all select b.number from inner_barriers i join celeriac.barriers b on b.feeds = i.number
    )
    select j.seq, j.result, j.continuation, j.shape from inner_barriers i join celeriac.jobs j on j.feeds = i.number
    where j.archived is null and j.seq > a_after order by j.seq limit a_limit;
end $$;

create or replace function celeriac.results_page(a_barrier bigint, a_after bigint)
returns table (seq bigint, result text, continuation bigint, shape text, is_more boolean) language plpgsql stable as $$
#variable_conflict use_column
begin
  return query
    with page as (
      select l.seq, l.result, l.continuation, l.shape, row_number() over way as place, count(*) over () as found,
        sum(coalesce(octet_length(l.result), 4)) over way as size
      from celeriac.leaves(a_barrier, a_after, ${pageRows}) l window way as (order by l.seq)
    ),
    told as (select * from page where place = 1 or size <= ${inlineLimit})
    select t.seq, t.result, t.continuation, t.shape, t.found = ${pageRows} or t.found > (select count(*) from told)
    from told t order by t.seq;
end $$;

-- What is put before a job's own arguments, as JSON that \`readInput\` reads. a_count: how many jobs share the room for inputs.
create or replace function celeriac.read_input(a_seq bigint, a_collection bigint, a_input text, a_behind bigint, a_count integer) returns text language plpgsql stable as $$
#variable_conflict use_column
declare
  v_barrier celeriac.barriers;
  v_span text[];
  v_is_main boolean;
begin
  if a_input like 'r%' then
    return json_build_object('from', 'results', 'shape', substr(a_input, 2), 'barrier', a_behind,
      'results', celeriac.results_at(a_behind, least(${inlineLimit}, ${inputsPerClaim} / a_count)));
  end if;
  select * into v_barrier from celeriac.barriers where number = a_behind;
  if a_input like 'f%' then
    return json_build_object('from', 'failure', 'cause', celeriac.cause_of(v_barrier.cause));
  end if;
  v_span := string_to_array(substr(a_input, 2), ',');
  v_is_main := exists (select 1 from celeriac.jobs where seq between v_span[1]::bigint and v_span[2]::bigint and role = 0);
  return json_build_object('from', 'summary', 'cause', celeriac.cause_of(v_barrier.cause), 'decided', v_barrier.decided,
    'cancelled', celeriac.is_cancelled(a_collection), 'counts', (
      select coalesce(json_agg(json_build_array(state, count)), '[]') from (
        select state, count(*) from celeriac.jobs
        where seq between v_span[1]::bigint and v_span[2]::bigint and archived is null and (state <> 7 or reason <> 7)
          and case when v_is_main then role = 0 else seq <> a_seq end
        group by state) tallied));
end $$;

-- A job that others have the failure of.
create or replace function celeriac.cause_of(a_seq bigint) returns json language plpgsql stable as $$
begin
  return (select json_build_object('failed_id', j.id, 'failed_task', j.task, 'failed_state', j.state, 'failed_reason', j.reason,
    'failed_failure', j.failure, 'failed_attempt', j.attempt, 'failed_at', j.finished_at, 'collection', coalesce((select id from celeriac.collections where number = j.collection),
      (select id from celeriac.jobs where seq = j.collection), ''))
  from celeriac.jobs j where j.seq = a_seq);
end $$;
`
