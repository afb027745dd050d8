import { newArguments, type RetryAnswer, type RetryRequest } from '../../engine/control.ts'
import { work } from '../../engine/codes.ts'
import { insideOf, startingNow, taking } from '../../engine/resets.ts'
import { releaseOf } from './cascade.ts'
import { entryOf, hot, oneMore } from './change.ts'
import { collectionIdIn, jobIdIn, overPages } from './control.ts'
import type { Requests } from './database.ts'

/**
 * A retry goes over the collection's jobs twice, in the order of their numbers. The first time it puts back to `waiting`
 * what is to run again and reopens the barriers it feeds; side branches come after the canvas they hang on, so that their
 * barrier has been reopened when they are met. The second time it lets go what nothing holds up.
 */
export async function retry(
  requests: Requests,
  now: number | null,
  request: RetryRequest,
): Promise<{ readonly answer: RetryAnswer; readonly bits: number }> {
  const { selection, expectedRound, mode, now: isNow } = request
  const rows = await requests.call<readonly [bits: number, answer: RetryAnswer]>(
    'retry',
    now,
    collectionIdIn(selection),
    jobIdIn(selection),
    expectedRound,
    mode === 'all',
    newArguments(request)?.args ?? null,
    isNow === true,
  )
  const [bits, answer] = rows[0] as NonNullable<(typeof rows)[0]>
  return { answer, bits }
}

/** The job `j` belongs to a canvas that a handler returned which is going to be called anew. */
const isOfForgotten = `j.parent is not null and not exists (
        select 1 from celeriac.jobs p where p.seq = j.parent and p.continuation is not null and p.archived is null)`

/** The job `j` is to be put back, or to be called back where it waits behind what has been. */
const isTaken = `case
          when v_taking = ${taking.all} or (v_taking = ${taking.failed} and j.role = 0 and j.state > 4) then true
          when v_root > 0 and j.role = 0 and j.state > 4 and celeriac.is_inside(j.parent, v_root) then true
          when case when j.role = 0 then j.state <= 4 else j.state = 0 and j.continuation is null end then false
          else exists (select 1 from celeriac.barriers b where b.number = j.behind and b.decided = 0) end`

export const retryFunctions = `
create or replace function celeriac.retry(
  a_now bigint, a_collection_id text, a_job_id text, a_round integer, a_all boolean, a_args text, a_is_now boolean
) returns table (bits integer, answer text) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  c celeriac.change := celeriac.begin_change(a_now);
  v_collection bigint;
  v_seq bigint;
  v_added integer := case when a_is_now then ${startingNow} else 0 end;
  v_taking integer := case when a_all then ${taking.all} else ${taking.failed} end + v_added;
  r record;
begin
  select s.collection, s.seq into v_collection, v_seq from celeriac.selected(a_collection_id, a_job_id) s;
  if v_collection is null then
    return query select 0, 'not-found';
    return;
  end if;
  perform celeriac.hold_collections(array[v_collection]);
  -- It may have been removed before it was held.
  if (select s.collection from celeriac.selected(a_collection_id, a_job_id) s) is null then
    return query select 0, 'not-found';
    return;
  end if;
  if v_seq is null then
    answer := celeriac.retry_refusal(v_collection, a_round, a_all, c.now);
    if answer is null then
      answer := 'retried';
      c := celeriac.begin_round(c, v_collection);
      c.items := c.items || row(v_collection, ${work.reset}, v_collection, v_taking)::celeriac.item;
      if a_all then
        c.items := c.items || row(v_collection, ${work.reopen}, v_collection, 0)::celeriac.item
          || row(v_collection, ${work.decide}, v_collection, 0)::celeriac.item;
      end if;
      c.items := c.items || row(v_collection, ${work.restart}, v_collection, v_taking)::celeriac.item;
    end if;
  else
    select * into r from celeriac.retry_job(c, v_seq, a_round, v_added);
    c := r.c;
    answer := r.answer;
  end if;
  if answer = 'retried' and a_args is not null then
    update celeriac.jobs set args = a_args where seq = coalesce(v_seq, v_collection);
    delete from celeriac.notes where job = coalesce(v_seq, v_collection);
  end if;
  return query select celeriac.finish(c), answer;
end $$;

-- What is known of a collection, that of a job alone from the job. state: 0 running, 1 succeeded, 2 something else.
create or replace function celeriac.header(a_number bigint, out round integer, out cancelled boolean, out state integer, out claim json)
language plpgsql stable as $$
#variable_conflict use_column
begin
  select n.round, n.cancelled_at is not null, least(n.state, 2), n.unique_claim::json into round, cancelled, state, claim
  from celeriac.collections n where n.number = a_number;
  if found then return; end if;
  select j.round, j.marked_at is not null, case when j.state < 4 then 0 when j.state = 4 then 1 else 2 end, j.unique_claim::json
  into round, cancelled, state, claim from celeriac.jobs j where j.seq = a_number;
end $$;

create or replace function celeriac.retry_refusal(a_number bigint, a_round integer, a_all boolean, a_now bigint) returns text language plpgsql as $$
declare
  h record := celeriac.header(a_number);
begin
  return case
    when h.round <> a_round then 'round'
    when h.state = 0 then case when h.cancelled then 'cancelling' else 'running' end
    when h.state = 1 and not a_all then 'succeeded'
    when not celeriac.take_unique_again(a_number, h.claim, a_now) then 'unique' end;
end $$;

-- Unless another submission holds it now.
create or replace function celeriac.take_unique_again(a_number bigint, a_claim json, a_now bigint) returns boolean language plpgsql as $$
declare
  v_is_timed boolean := json_typeof(a_claim -> 'until') = 'number';
  v_holder bigint;
begin
  if a_claim is null then return true; end if;
  for n in 1 .. 3 loop
    v_holder := (select h.holder from celeriac.holder_of(a_claim ->> 'key', a_now) h);
    if v_holder is not null then return v_holder = a_number; end if;
    insert into celeriac.unique_keys (key, collection, collection_id, until, expires_at) values (a_claim ->> 'key', a_number,
      coalesce((select id from celeriac.collections where number = a_number), (select id from celeriac.jobs where seq = a_number)),
      case when v_is_timed then 'time' else a_claim ->> 'until' end, case when v_is_timed then a_now + (a_claim ->> 'until')::bigint end)
    on conflict do nothing;
    if found then return true; end if;
  end loop;
  return false;
end $$;

create or replace function celeriac.begin_round(inout c celeriac.change, a_number bigint) language plpgsql as $$
declare
  v_round integer;
begin
  update celeriac.collections set state = 0, round = ${oneMore('round')}, settled_at = null, cancelled_at = null where number = a_number
  returning round into v_round;
  if v_round is null then
    update celeriac.jobs set round = ${oneMore('round')}, marked_at = null where seq = a_number returning round into v_round;
  end if;
  c.changes := concat(c.changes, ',', concat_ws(',', 10, a_number, v_round));
end $$;

-- ── one job ─────────────────────────────────────────────────────────────────────────────────────────────────────────

create or replace function celeriac.retry_job(inout c celeriac.change, a_seq bigint, a_round integer, a_added integer, out answer text) language plpgsql as $$
declare
  j celeriac.jobs;
  h record;
  v_seq bigint;
  v_detail bigint := ${taking.heldUp} + a_added;
begin
  select * into j from celeriac.jobs where seq = a_seq;
  h := celeriac.header(j.collection);
  answer := case
    when h.round <> a_round then 'round'
    when j.state < 4 or j.archived is not null then 'running'
    when j.state = 4 then 'succeeded'
    when h.cancelled and h.state = 0 then 'cancelling'
    when j.role = 0 and exists (select 1 from celeriac.barriers where number = j.behind and decided <> 1) then 'blocked'
    when h.state <> 0 and not celeriac.take_unique_again(j.collection, h.claim, c.now) then 'unique' end;
  if answer is not null then return; end if;
  answer := 'retried';
  -- A side branch changes nothing about its collection, which may stay settled.
  if j.role = 0 then c := celeriac.begin_round(c, j.collection); end if;
  foreach v_seq in array a_seq || celeriac.around(j.parent) loop
    c := celeriac.reset(c, array[v_seq], celeriac.round_of(j.collection), v_detail);
  end loop;
  c.items := c.items
    || row(j.collection, ${work.reset}, j.collection, v_detail + case when j.continuation is null then 0 else ${insideOf} * a_seq end)::celeriac.item
    || row(j.collection, ${work.restart}, j.collection, v_detail)::celeriac.item;
end $$;

-- The jobs whose canvas this one belongs to: they failed with it. A worker lets no more than 100 continue within each other.
create or replace function celeriac.around(a_parent bigint) returns bigint[] language plpgsql stable as $$
begin
  return (with recursive outward as (
    select seq, parent, 1 as step from celeriac.jobs where seq = a_parent
    union all
    select j.seq, j.parent, o.step + 1 from outward o join celeriac.jobs j on j.seq = o.parent
  )
  select coalesce(array_agg(seq order by step), '{}') from outward);
end $$;

-- Whether a job of this parent is part of the canvas that the job a_root continued as, however deep: each job in between was met
-- before it, and put back.
create or replace function celeriac.is_inside(a_parent bigint, a_root bigint) returns boolean language plpgsql stable as $$
begin
  while a_parent <> a_root loop
    a_parent := (select parent from celeriac.jobs where seq = a_parent and state = 0 and continuation is not null);
  end loop;
  return a_parent is not null;
end $$;

-- ── resetting ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- Some at a time: none together with the job whose canvas it belongs to, and again until no more are held up, since what is
-- put back holds up what comes behind it.
${overPages({
  name: 'reset_members',
  parameters: 'a_detail bigint,',
  variables: `
  v_taking bigint := a_detail % ${startingNow};
  v_root bigint := a_detail / ${insideOf};
  v_round integer := celeriac.round_of(a_collection);
  v_inside bigint;
  v_seqs bigint[];`,
  next: 'next_members',
  step: `
    v_inside := (select min(seq) from celeriac.jobs where seq = any(v_page) and parent >= v_page[1]);
    if v_inside is not null then v_page := array(select seq from unnest(v_page) seq where seq < v_inside); end if;
    c := celeriac.archive(c, array(
      select j.seq from celeriac.jobs j where j.seq = any(v_page) and j.archived is null and ${isOfForgotten}), v_round);
    v_seqs := null;
    loop
      v_seqs := array(
        select j.seq from celeriac.jobs j where j.seq = any(v_page) and j.archived is null and ${isTaken} order by j.seq);
      exit when cardinality(v_seqs) = 0;
      c := celeriac.reset(c, v_seqs, v_round, a_detail);
      exit when v_taking = ${taking.all};
    end loop;`,
})}

create or replace function celeriac.archive(inout c celeriac.change, a_seqs bigint[], a_round integer) language plpgsql as $$
#variable_conflict use_column
begin
  if cardinality(a_seqs) = 0 then return; end if;
  perform celeriac.hold(a_seqs);
  c.rows_left := c.rows_left - cardinality(a_seqs);
  c.cancel := c.cancel or exists (select 1 from celeriac.jobs where seq = any(a_seqs) and state = 3);
  update celeriac.jobs set archived = a_round, version = ${oneMore('version')}, due_at = null, lapses_at = null, deadline_at = null,
    state = case when state < 4 then 6 else state end, reason = case when state < 4 then 3 else reason end,
    cause = case when state < 4 then seq else cause end, token = case when state < 4 then null else token end
  where seq = any(a_seqs);
end $$;

-- Puts jobs back to \`waiting\`, their last attempts into history, and reopens what they feed.
create or replace function celeriac.reset(inout c celeriac.change, a_seqs bigint[], a_round integer, a_detail bigint) language plpgsql as $$
#variable_conflict use_column
declare
  v_taking bigint := a_detail % ${startingNow};
  v_is_now boolean := a_detail % ${insideOf} >= ${startingNow};
  v_changes text;
  v_is_running boolean;
  v_inputs celeriac.arrival[];
begin
  perform celeriac.hold(a_seqs);
  -- The round of a job alone is its collection's, which has begun anew already.
  insert into celeriac.attempts (job, attempt, round, session, started_at, finished_at, outcome, failure)
  select seq, attempt, case when collection = seq then round - 1 else round end, session, started_at, coalesce(finished_at, c.now),
    case state when 4 then 1 when 5 then 2 else 7 end, case when state = 5 then failure end
  from celeriac.jobs where seq = any(a_seqs) and started_at is not null on conflict do nothing;
  perform celeriac.forget_attempts(a_seqs);
  delete from celeriac.notes n using celeriac.jobs j
  where n.job = any(a_seqs) and j.seq = n.job and (v_taking = ${taking.all} or j.state = 4);
  with found as materialized (select seq, state from celeriac.jobs where seq = any(a_seqs)),
  put as (
    update celeriac.jobs j set state = 0, round = a_round, failures = 0, crashes = 0, version = ${oneMore('j.version')}, reason = null, cause = null,
      failure = null, result = null, progress = null, marked_at = null, token = null, session = null, started_at = null,
      finished_at = null, deadline_at = null, due_at = null, lapses_at = null,
      -- What has begun before starts at once; so does everything where that is asked for.
      start_in = case when j.attempt = 0 and not v_is_now then j.start_in end, start_at = case when j.attempt = 0 and not v_is_now then j.start_at end,
      expires_at = case when j.role = 0 then c.now + (j.options::json ->> 'expires')::bigint end,
      -- A main job that continued keeps its canvas, unless everything is to run again; a side branch is called anew.
      continuation = case when v_taking <> ${taking.all} and j.role = 0 then j.continuation end
    from found f where j.seq = f.seq
    returning j.seq, j.collection, j.attempt, j.version, j.state, j.feeds, f.state as was
  )
  select string_agg(${entryOf}, ',' order by seq), coalesce(bool_or(was = 3), false),
    array_agg(row(feeds, was = 4, null)::celeriac.arrival) filter (where feeds is not null and was > 3)
  into v_changes, v_is_running, v_inputs from put;
  c.changes := concat(c.changes, ',' || v_changes);
  c.cancel := c.cancel or v_is_running;
  c.rows_left := c.rows_left - cardinality(a_seqs);
  if v_taking <> ${taking.all} then c := celeriac.reopen(c, v_inputs); end if;
end $$;

-- Inputs of barriers are open again. Of those that had decided, so is the barrier, and what it feeds.
create or replace function celeriac.reopen(inout c celeriac.change, a_inputs celeriac.arrival[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_count integer;
begin
  while cardinality(a_inputs) > 0 loop
    with open as materialized (
      select barrier, count(*) as inputs, count(*) filter (where not succeeded) as failed from unnest(a_inputs) group by barrier
    ),
    found as materialized (select b.number, b.decided, b.feeds from open o join celeriac.barriers b on b.number = o.barrier),
    reopened as (
      update celeriac.barriers b set decided = 0, cause = null, pending = b.pending + o.inputs, failed = b.failed - o.failed
      from open o where b.number = o.barrier
    )
    select array_agg(row(feeds, decided = 1, null)::celeriac.arrival) filter (where decided <> 0 and feeds is not null), count(*)
    into a_inputs, v_count from found;
    c.rows_left := c.rows_left - v_count;
  end loop;
end $$;

-- The barriers of a collection behind this one, as many as a call may look at.
create or replace function celeriac.next_barriers(a_collection bigint, a_after bigint, a_left integer) returns bigint[] language plpgsql stable as $$
#variable_conflict use_column
begin
  return array(select number from celeriac.barriers where collection = a_collection and number > a_after order by number limit 10 * a_left);
end $$;

-- All barriers of a collection count from the beginning: once all jobs were put back, so that none arrives at one any more.
${overPages({
  name: 'reopen_all',
  next: 'next_barriers',
  step: `
    update celeriac.barriers set decided = 0, pending = inputs, failed = 0, cause = null where number = any(v_page);`,
})}

-- ── going on ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- The barriers that decided at submission.
${overPages({
  name: 'decide_empty',
  next: 'next_barriers',
  step: `
    c.arrivals := c.arrivals || array(
      select row(number, null, null)::celeriac.arrival from celeriac.barriers
      where number = any(v_page) and inputs = 0 and continues is null and decided = 0);`,
})}

${overPages({
  name: 'restart_members',
  parameters: 'a_detail bigint,',
  next: 'next_members',
  step: `
    c := celeriac.let_go(c, array(
      select ${releaseOf} from celeriac.jobs j
        left join celeriac.barriers b on b.number = j.behind
        left join celeriac.barriers g on g.number = b.gate
        cross join lateral (select
          coalesce(b.decided, 1) = 1 as succeeded,
          coalesce(b.decided, 1) = 1 or (b.cause is not null and coalesce(g.decided, 1) = 1) as began,
          b.cause, celeriac.is_cancelled(j.collection) as cancelled) d
      where j.seq = any(v_page) and j.archived is null and j.state = 0 and j.continuation is null
        and (j.behind is null or b.decided <> 0) order by j.seq));
    c := celeriac.settle_parked(c, celeriac.standing_decisions(array(
      select continuation from celeriac.jobs where seq = any(v_page) and archived is null and state = 0 and continuation is not null)));`,
})}
`
