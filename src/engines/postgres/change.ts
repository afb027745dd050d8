import type { Signal } from '../../engine/feed.ts'
import { firstKept, lastKept, rowsPerCall } from '../../engine/limits.ts'
import { collectionRetention } from '../../engine/retention.ts'

/**
 * What a call tells besides its answer: bits that `celeriac.finish` puts together. `left`: a large change is not done yet,
 * `celeriac.go_on` does more of it.
 */
export function readSignals(bits: number): { readonly signal: Signal; readonly isLeft: boolean } {
  return {
    signal: { queued: (bits & 1) !== 0, changed: (bits & 2) !== 0, cancel: (bits & 4) !== 0 },
    isLeft: (bits & 8) !== 0,
  }
}

/**
 * For the functions that are called from outside: plans made once, that go by the indexes. They are kept while the tables
 * grow, and made for ones that were small they would read those from end to end ever after: so no sequential scans, and
 * prices by which looking up ten rows is cheaper than reading all of twenty. What a worker calls all day does without joins
 * whose order would matter.
 */
export const hot = `set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off
  set enable_mergejoin = off set enable_material = off set random_page_cost = 0.01 set seq_page_cost = 0.01
  set cpu_operator_cost = 0.00001 set jit = off`
/** The same for what nobody waits for: it waits for nobody long. */
export const unhurried = `${hot} set lock_timeout = '2s'`

/**
 * Jobs `j` that are looked up by what stands before in the query. Not a join: by the prices above a plan may turn that round, and walk
 * through all jobs for the few that are meant.
 */
export const eachJob = (condition: string): string =>
  `lateral (select * from celeriac.jobs where ${condition} offset 0) j`

/** The running jobs `j` of some claims `k`. */
export const runningOf = `unnest(k.seqs) n (seq) cross join ${eachJob('seq = n.seq and state = 3 and session = k.session and token = k.token')}`

/** The most that an `integer` holds. */
const mostCounted = 2_147_483_647
/**
 * SQL for one more of a number that is counted up. One that is damaged and the largest there is stays so: what cannot be stored would
 * stop all that are written with it.
 */
export const oneMore = (column: string): string => `least(${column}, ${mostCounted - 1}) + 1`
/** SQL for the place of a priority in line. The least that a `smallint` holds has no opposite. */
export const rankOf = (priority: string): string => `-greatest(${priority}, '-32767'::smallint)`

/** Where a number stands in a list that is in order: instead of a join, of which a plan could get the order wrong. */
export const placeIn = (number: string, list: string): string => `width_bucket(${number}, ${list})`

/** An entry of the journal for a row of `from` (see journal.ts). A job alone tells its round where it is not the first. */
export const entryOf = `concat_ws(',', state, case when collection = seq then 0 else collection end, seq, attempt, version)`
export const endEntryOf = `${entryOf} || case when collection = seq and round > 1 and state > 3
    then concat(',', least(state - 3, 3) + 10, ',', collection, ',', round) else '' end`

/** The entry of a run where rows of jobs alone are one in which these columns are the same, else `entries`. */
export const runOf = (from: string, entries: string, ...columns: string[]): string => `
  case when max(seq) - min(seq) = count(*) - 1 and max(round) = 1
      and ${['attempt', 'version', ...columns].map((column) => `min(${column}) = max(${column})`).join(' and ')}
    then concat_ws(',', 30 + max(state), min(seq), max(seq), max(attempt), max(version))
    else (select ${entries} from ${from}) end`

/** Puts the queued jobs among rows just written in line. Queue, priority, collection, seq, state, crashes are their columns. */
export const lineUp = (from: string): string => `
  lined as (
    insert into celeriac.ready (queue, rank, collection, seq)
    select queue, ${rankOf('priority')}, collection, seq from ${from} where state = 2 and crashes = 0
  ),
  suspected as (
    insert into celeriac.suspects (queue, rank, collection, seq)
    select queue, ${rankOf('priority')}, collection, seq from ${from} where state = 2 and crashes > 0
  )`
/** Where in their lines they begin: nothing of them stands before it. */
export const headsOf = (from: string): string => `
  (select array_agg(row(queue, rank, collection, seq)::celeriac.head) from (
     select queue, ${rankOf('priority')} as rank, min(collection) as collection, min(seq) as seq from ${from}
     where state = 2 group by queue, priority) heads)`

/** Part of a query over rows that settled: notes when they leave. `number` and `retention` are columns of theirs. */
export const leave = (from: string, number: string, now: string): string => `
  insert into celeriac.leaving (due_at, runs)
  select ${now} + coalesce(retention, ${collectionRetention}),
    case when max(${number}) - min(${number}) = count(*) - 1 and count(*) > 1 then concat(min(${number}), '-', max(${number}))
      else string_agg(${number}::text, ',') end
  from ${from} group by retention on conflict do nothing`

export const changeFunctions = `
create or replace function celeriac.instant(a_now bigint) returns bigint language sql volatile as $$
  select coalesce(a_now, floor(extract(epoch from clock_timestamp()) * 1000)::bigint)
$$;

create or replace function celeriac.begin_change(a_now bigint) returns celeriac.change language sql volatile as $$
  select row(celeriac.instant(a_now), ${rowsPerCall}, '', null, '{}', null, null, false, false, '{}', '{}')::celeriac.change
$$;

-- Takes numbers never given before, one behind the other: the first of them. Nothing interrupts one expression, so the lock
-- is given back whatever happens; it is not held until the commit, which others would have to wait for.
create or replace function celeriac.take_numbers(a_count bigint) returns bigint language plpgsql as $$
begin
  return (array[
    pg_advisory_lock(hashtext('celeriac.numbers'), 0)::text,
    setval('celeriac.numbers', nextval('celeriac.numbers') + a_count - 1)::text,
    pg_advisory_unlock(hashtext('celeriac.numbers'), 0)::text
  ])[2]::bigint - a_count + 1;
end $$;

-- Takes what is queued of these jobs out of the line, which locks it there: no claim gets hold of it any more.
create or replace function celeriac.unqueue(a_seqs bigint[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
  delete from celeriac.ready r using celeriac.jobs j where j.seq = any(a_seqs)
    and r.queue = j.queue and r.rank = ${rankOf('j.priority')} and r.collection = j.collection and r.seq = j.seq;
  delete from celeriac.suspects r using celeriac.jobs j where j.seq = any(a_seqs) and j.crashes > 0
    and r.queue = j.queue and r.rank = ${rankOf('j.priority')} and r.collection = j.collection and r.seq = j.seq;
end $$;

-- Locks what is queued of these jobs in line, where it stays: a claim that is taking one is waited for, and others pass over it.
create or replace function celeriac.hold_line(a_seqs bigint[]) returns void language plpgsql as $$
begin
  perform 1 from celeriac.jobs j join celeriac.ready r on r.queue = j.queue and r.rank = ${rankOf('j.priority')} and r.collection = j.collection and r.seq = j.seq
  where j.seq = any(a_seqs) and j.state = 2 order by j.seq for update of r;
  perform 1 from celeriac.jobs j join celeriac.suspects r on r.queue = j.queue and r.rank = ${rankOf('j.priority')} and r.collection = j.collection and r.seq = j.seq
  where j.seq = any(a_seqs) and j.state = 2 and j.crashes > 0 order by j.seq for update of r;
end $$;

-- Locks jobs, the queued ones in line first, as a claim does: then their state is what it stays.
create or replace function celeriac.hold(a_seqs bigint[]) returns void language plpgsql as $$
begin
  perform celeriac.unqueue(array(select seq from celeriac.jobs where seq = any(a_seqs) and state = 2));
  perform 1 from celeriac.jobs where seq = any(a_seqs) order by seq for update;
end $$;

-- Locks collections, in order, and says which of them somebody wants cancelled. One of a job alone has no row but the job's.
create or replace function celeriac.hold_collections(a_numbers bigint[]) returns bigint[] language plpgsql as $$
#variable_conflict use_column
declare
  v_count integer;
  v_cancelled bigint[];
  v_marked bigint[];
begin
  with held as (select number, cancelled_at from celeriac.collections where number = any(a_numbers) order by number for no key update)
  select count(*), array_agg(number) filter (where cancelled_at is not null) into v_count, v_cancelled from held;
  if v_count < cardinality(a_numbers) then
    -- In line before it is locked itself, as a claim does: else each would wait for the other.
    perform celeriac.hold_line(a_numbers);
    with held as (select seq, marked_at from celeriac.jobs where seq = any(a_numbers) order by seq for no key update)
    select array_agg(seq) filter (where marked_at is not null) into v_marked from held;
  end if;
  return coalesce(v_cancelled || v_marked, v_marked, '{}');
end $$;

-- Makes jobs final, whatever they were, and sees to what follows from it.
create or replace function celeriac.end_jobs(inout c celeriac.change, a_ends celeriac.ending[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_queued bigint[] := array(select seq from unnest(a_ends) where was = 2);
  v_changes text;
  v_arrivals celeriac.arrival[];
  v_items celeriac.item[];
  v_unique bigint[];
  v_aside bigint[];
begin
  if cardinality(a_ends) = 0 then return; end if;
  if cardinality(v_queued) > 0 then perform celeriac.unqueue(v_queued); end if;
  with scopes as materialized (
    select s.scope, (
      select cause from celeriac.jobs where collection = s.collection and collection <> seq and scope = s.scope and role = 0
        and state in (5, 6) and reason <> 5 and archived is null order by finished_at, seq limit 1) as cause
    from (select distinct j.collection, j.scope from unnest(a_ends) e join celeriac.jobs j on j.seq = e.seq
          where e.reason = 5 and j.scope is not null) s
  ),
  ended as (
    update celeriac.jobs j set
      state = e.state, reason = e.reason, failure = coalesce(e.failure, j.failure), finished_at = c.now, version = ${oneMore('j.version')},
      -- What a fail-fast group cancelled tells the failure of the one that failed first.
      cause = case when e.reason = 5 then coalesce((select s.cause from scopes s where s.scope = j.scope), e.cause) else e.cause end,
      -- Not so a parked job whose canvas failed, nor one whose worker died.
      failures = least(j.failures, ${mostCounted - 1}) + case when e.state = 5 and e.failure is not null and (e.settled or e.reason = 1) then 1 else 0 end,
      token = case when e.settled then j.token end, due_at = null, lapses_at = null, deadline_at = null,
      -- One that has not begun is held again by a retry: until the same instant, or not at all where that has come.
      start_in = case when j.state in (1, 2) and j.attempt = 0 then null else j.start_in end,
      start_at = case when j.attempt > 0 or j.state = 2 then null when j.state = 1 then j.due_at else j.start_at end
    from unnest(a_ends) with ordinality e (seq, was, state, reason, cause, failure, settled, place)
    where j.seq = e.seq
    returning e.place, j.seq, j.collection, j.attempt, j.version, j.state, j.role, j.feeds, j.scope, j.reason, j.cause, j.round, j.unique_claim, j.retention
  ),
  left_at as (${leave('(select seq, retention from ended where collection = seq) alone', 'seq', 'c.now')})
  select string_agg(${endEntryOf}, ',' order by place),
    array_agg(row(feeds, state = 4, cause)::celeriac.arrival order by place) filter (where feeds is not null),
    array_agg(distinct row(collection, 2, scope, collection)::celeriac.item)
      filter (where scope is not null and role = 0 and (state = 5 or (state = 6 and reason <> 5))),
    array_agg(seq) filter (where collection = seq and unique_claim is not null),
    array_agg(distinct collection) filter (where role <> 0)
  into v_changes, v_arrivals, v_items, v_unique, v_aside from ended;
  c.changes := concat(c.changes, ',' || v_changes);
  c.arrivals := c.arrivals || v_arrivals;
  c.items := c.items || v_items;
  c.rows_left := c.rows_left - cardinality(a_ends);
  perform celeriac.release_unique(v_unique), celeriac.leave_again(c.now, v_aside);
end $$;

create or replace function celeriac.release_unique(a_collections bigint[]) returns void language plpgsql as $$
begin
  if a_collections is null then return; end if;
  delete from celeriac.unique_keys where collection = any(a_collections) and until <> 'time';
end $$;

-- Keeps attempts that did not end their jobs.
create or replace function celeriac.record_attempts(inout c celeriac.change, a_seqs bigint[], a_outcome integer, a_failures text[])
language plpgsql as $$
#variable_conflict use_column
declare
  v_most integer;
begin
  if cardinality(a_seqs) = 0 then return; end if;
  with kept as (
    insert into celeriac.attempts (job, attempt, round, session, started_at, finished_at, outcome, failure)
    select j.seq, j.attempt, j.round, j.session, j.started_at, c.now, a_outcome, r.failure
    from unnest(a_seqs, a_failures) r (seq, failure) join celeriac.jobs j on j.seq = r.seq
    where j.started_at is not null on conflict do nothing returning attempt
  )
  select max(attempt) into v_most from kept;
  if v_most > ${firstKept + lastKept} then perform celeriac.forget_attempts(a_seqs); end if;
  c.rows_left := c.rows_left - cardinality(a_seqs);
end $$;

-- Of the attempts up to the present one the first and the last are kept.
create or replace function celeriac.forget_attempts(a_seqs bigint[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
  delete from celeriac.attempts a using celeriac.jobs j
  where j.seq = any(a_seqs) and j.attempt > ${firstKept + lastKept} and a.job = j.seq and a.attempt > ${firstKept} and a.attempt <= j.attempt - ${lastKept};
end $$;

-- Ends attempts without ending the jobs: they are queued, or scheduled where they are to wait. They keep their place in line. Unless an
-- attempt had not begun, the job has started in time, and expires no more.
create or replace function celeriac.put_back(inout c celeriac.change, a_puts celeriac.putting[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_changes text;
  v_heads celeriac.head[];
  v_due_at bigint;
  v_lapses_at bigint;
begin
  if cardinality(a_puts) = 0 then return; end if;
  with put as (
    update celeriac.jobs j set
      state = case when p.delay > 0 then 1 else 2 end, due_at = case when p.delay > 0 then c.now + p.delay end,
      expires_at = case when p.unstarted then j.expires_at end, lapses_at = case when p.unstarted then j.expires_at end,
      deadline_at = null, version = ${oneMore('j.version')}, failure = coalesce(p.failure, j.failure), failures = least(j.failures, ${mostCounted - 1}) + (p.failure is not null)::integer,
      crashes = coalesce(p.crashes, j.crashes), attempt = case when p.unstarted then greatest(j.attempt, 1) - 1 else j.attempt end,
      started_at = case when p.unstarted then null else j.started_at end,
      session = case when p.unstarted or p.no_session then null else j.session end,
      token = case when p.no_token then null else j.token end
    from unnest(a_puts) with ordinality p (seq, delay, failure, unstarted, no_token, no_session, crashes, place)
    where j.seq = p.seq
    returning p.place, j.seq, j.collection, j.attempt, j.version, j.state, j.queue, j.priority, j.crashes, j.due_at, j.lapses_at
  ), ${lineUp('put')}
  select string_agg(${entryOf}, ',' order by place), min(due_at), min(lapses_at), ${headsOf('put')}
  into v_changes, v_due_at, v_lapses_at, v_heads from put;
  c.changes := concat(c.changes, ',' || v_changes);
  c.heads := c.heads || v_heads;
  c.due_at := least(c.due_at, v_due_at);
  c.lapses_at := least(c.lapses_at, v_lapses_at);
  c.queued := true;
  c.rows_left := c.rows_left - cardinality(a_puts);
end $$;
`
