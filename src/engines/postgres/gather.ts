import type { JobCounts, SettledState } from '../../core/collection.ts'
import type { StoredResult } from '../../core/job.ts'
import { decided, stateName } from '../../engine/codes.ts'
import { reportOf } from '../../engine/failures.ts'
import { inlineLimit, inputsPerClaim, jobsPerPage, resultsPerClaim, resultsPerPage } from '../../engine/limits.ts'
import type { ResultsPage } from '../../engine/results.ts'
import type { JobInput } from '../../engine/work.ts'
import { hot } from './change.ts'
import type { Requests } from './database.ts'
import { type FailureColumns, failedIn } from './record.ts'
import { resultsIn } from './results.ts'

// ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────

type Leaf = readonly [result: string | null, continuation: number | null, shape: string | null]

/** A page of the results at a barrier. Nested ones are left out: they have a barrier of their own. */
export async function resultsPage(requests: Requests, barrier: number, after: string | null): Promise<ResultsPage> {
  const [row] = await requests.call<readonly [leaves: string, next: number | null]>(
    'results_page',
    barrier,
    after === null ? -1 : Number(after),
  )
  const [leaves, next] = row as NonNullable<typeof row>
  const results = (JSON.parse(leaves) as Leaf[]).map(([json, continuation, shape]): StoredResult =>
    continuation === null ? { json } : { shape: shape ?? '0', barrier: continuation, results: null },
  )
  return { results, next: next === null ? null : String(next) }
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
  | { readonly from: 'unreadable' }
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
  if (found.from === 'unreadable') return found
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
-- The next jobs at a barrier, in order, whichever of the barriers nested in it they feed; behind which to go on, null where there
-- are no more.
create or replace function celeriac.leaf_page(a_barrier bigint, a_after bigint, out seqs bigint[], out next bigint) language plpgsql stable ${hot} as $$
#variable_conflict use_column
declare
  v_number bigint := a_barrier;
  v_collection bigint;
  v_parent bigint;
  v_page bigint[];
begin
  if not exists (select 1 from celeriac.barriers where feeds = a_barrier) then
    seqs := array(
      select seq from celeriac.jobs where feeds = a_barrier and archived is null and seq > a_after order by seq limit ${resultsPerPage});
    if cardinality(seqs) = ${resultsPerPage} then next := seqs[${resultsPerPage}]; end if;
    return;
  end if;
  -- Others are found among the jobs of its graph, whose numbers come before those of its barriers.
  seqs := '{}';
  loop
    select collection, parent into v_collection, v_parent from celeriac.jobs where feeds = v_number limit 1;
    exit when found;
    v_number := (select number from celeriac.barriers where feeds = v_number and inputs > 0 limit 1);
    if v_number is null then return; end if;
  end loop;
  if v_parent is null then
    v_page := array(
      select seq from celeriac.jobs where collection = v_collection and collection <> seq and parent is null and seq > a_after and seq < a_barrier
      order by seq limit ${jobsPerPage});
  else
    v_page := array(
      select seq from celeriac.jobs where parent = v_parent and seq > a_after and seq < a_barrier order by seq limit ${jobsPerPage});
  end if;
  seqs := array(
    with recursive climb (start, number) as (
      select distinct feeds, feeds from celeriac.jobs where seq = any(v_page) and feeds is not null
      union
      select c.start, b.feeds from climb c join celeriac.barriers b on b.number = c.number where c.number <> a_barrier and b.feeds is not null
    )
    select seq from celeriac.jobs where seq = any(v_page) and archived is null
      and feeds = any(array(select start from climb where number = a_barrier)) order by seq);
  if cardinality(v_page) = ${jobsPerPage} then next := v_page[${jobsPerPage}]; end if;
end $$;

create or replace function celeriac.results_page(a_barrier bigint, a_after bigint) returns table (results text, next bigint) language plpgsql stable as $$
#variable_conflict use_column
declare
  p record;
begin
  select * into p from celeriac.leaf_page(a_barrier, a_after);
  return query
    with page as (
      select seq, result, continuation, shape, row_number() over way as place, sum(coalesce(octet_length(result), 4)) over way as size
      from celeriac.jobs where seq = any(p.seqs) window way as (order by seq)
    ),
    told as materialized (select * from page where place = 1 or size <= ${inlineLimit})
    select coalesce(json_agg(json_build_array(result, continuation, shape) order by seq)::text, '[]'),
      case when count(*) < cardinality(p.seqs) then max(seq) else p.next end
    from told;
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
      'results', celeriac.results_at(a_behind, least(${inlineLimit}, ${inputsPerClaim} / a_count), least(${resultsPerPage}, ${resultsPerClaim} / a_count)));
  end if;
  select * into v_barrier from celeriac.barriers where number = a_behind;
  if a_input like 'f%' then
    return json_build_object('from', 'failure', 'cause', celeriac.cause_of(v_barrier.cause));
  end if;
  if a_input !~ '^s[0-9]{1,18},[0-9]{1,18}$' then return json_build_object('from', 'unreadable'); end if;
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
