import { inputsAtOnce } from '../../engine/limits.ts'
import { work } from '../../engine/codes.ts'
import { entryOf, headsOf, leave, lineUp, oneMore, placeIn } from './change.ts'

/** A job that nothing holds up goes by this: `j` is the job, `d` what it stands behind came to. */
const isCancelled = `(j.marked_at is not null or (j.role = 0 and d.cancelled))`
const fits = `case j.fit when 0 then d.succeeded when 2 then d.began else d.began and not d.succeeded end`
const isUpstream = `(j.role = 0 or (j.fit = 0 and (select f.role from celeriac.jobs f where f.seq = d.cause) <> 0))`
export const releaseOf = `row(j.seq,
    case when ${isCancelled} then 6 when ${fits} then 2 else 7 end,
    case when ${isCancelled} then coalesce(j.reason, 3) when ${fits} then null when ${isUpstream} then 6 else 7 end,
    case when ${isCancelled} then coalesce(case when j.role = 0 then d.cause end, j.seq) when ${fits} then null when ${isUpstream} then d.cause end
  )::celeriac.release`

/** Decides the barriers of `failing`: `number, is_open, cause`. */
const decideFailing = `
  failed as (
    update celeriac.barriers b set decided = 2, cause = f.cause from failing f where b.number = f.number
    returning b.number, b.collection, f.is_open, b.cause, b.feeds, b.continues, b.settles
  )
  select array_agg(row(number, collection, false, is_open and cause is not null, cause, celeriac.is_cancelled(collection), feeds, continues, settles)::celeriac.decision
    order by number)`

const at = placeIn('b.number', 'v_numbers')

/**
 * Barriers count down, decide, and let go what stands behind them. Whoever calls this holds the collections they belong
 * to, so nobody else counts down the same ones; what a barrier decides by stands on its own row.
 */
export const cascadeFunctions = `
-- Counts down every barrier that something arrived at, decides those that came to zero, lets go what stands behind them, and
-- so on outward. All barriers of a wave together: a batch of settlements mostly moves that many chains by one link.
create or replace function celeriac.settle_barriers(inout c celeriac.change) language plpgsql as $$
declare
  v_decisions celeriac.decision[];
  r record;
begin
  while cardinality(c.arrivals) > 0 loop
    select s.* into r from celeriac.count_down(c) s;
    c := r.c;
    v_decisions := r.decisions;
    if cardinality(v_decisions) > 0 then
      c := celeriac.release(c, v_decisions);
      c := celeriac.conclude(c, v_decisions);
    end if;
  end loop;
end $$;

create or replace function celeriac.count_down(inout c celeriac.change, out decisions celeriac.decision[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_arrivals celeriac.arrival[] := c.arrivals;
  v_numbers bigint[];
  v_inputs integer[];
  v_failed integer[];
  v_causes bigint[];
  v_count integer;
  v_failing bigint[];
  r record;
begin
  c.arrivals := '{}';
  select array_agg(barrier order by barrier), array_agg(inputs order by barrier), array_agg(failed order by barrier), array_agg(cause order by barrier)
  into v_numbers, v_inputs, v_failed, v_causes from (
    select barrier, count(succeeded)::integer as inputs, (count(*) filter (where not succeeded))::integer as failed,
      (array_agg(cause order by place) filter (where not succeeded and cause is not null))[1] as cause
    from unnest(v_arrivals) with ordinality a (barrier, succeeded, cause, place) group by barrier
  ) arrived;
  with counted as (
    update celeriac.barriers b set
      pending = b.pending - v_inputs[${at}], failed = b.failed + v_failed[${at}], cause = coalesce(b.cause, v_causes[${at}]),
      -- A failure is decided below: it needs to know its cause.
      decided = case when b.pending - v_inputs[${at}] = 0 and b.failed + v_failed[${at}] = 0
        and (b.gate is null or (select g.decided from celeriac.barriers g where g.number = b.gate) = 1) then 1 else 0 end
    where b.number = any(v_numbers) and b.decided = 0
    returning b.number, b.collection, b.pending, b.decided, b.feeds, b.continues, b.settles
  )
  select count(*), array_agg(number order by number) filter (where pending = 0 and decided = 0),
    array_agg(row(number, collection, true, true, null, celeriac.is_cancelled(collection), feeds, continues, settles)::celeriac.decision
      order by number) filter (where decided = 1)
  into v_count, v_failing, decisions from counted;
  c.rows_left := c.rows_left - v_count;
  if v_failing is null then return; end if;
  select s.* into r from celeriac.decide_failing(c, v_failing) s;
  c := r.c;
  decisions := decisions || r.decisions;
end $$;

-- Failed, or the gate before it did not open. Inputs that were all "not needed" failed for no cause: nothing on this canvas began.
-- One with many inputs whose cause has to be looked for decides later.
create or replace function celeriac.decide_failing(inout c celeriac.change, a_numbers bigint[], out decisions celeriac.decision[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_items celeriac.item[];
begin
  with found as materialized (
    select b.number, b.collection, b.inputs, b.failed, coalesce(g.decided, 1) = 1 as is_open,
      case when coalesce(g.decided, 1) = 1 then celeriac.known_cause(b.cause) else coalesce(b.cause, g.cause) end as cause
    from celeriac.barriers b left join celeriac.barriers g on g.number = b.gate where b.number = any(a_numbers)
  ),
  failing as materialized (
    select f.number, f.is_open,
      case when f.is_open and f.cause is null then (select p.cause from celeriac.input_page(f.number, 0, ${inputsAtOnce}) p) else f.cause end as cause
    from found f where not f.is_open or f.cause is not null or f.inputs <= ${inputsAtOnce}
  ),
  sought as (
    select array_agg(row(collection, ${work.cause}, number, failed)::celeriac.item order by number) as items
    from found where is_open and cause is null and inputs > ${inputsAtOnce}
  ),
  ${decideFailing}, (select items from sought) into decisions, v_items from failed;
  c.items := c.items || v_items;
end $$;

-- The cause of a job that others have the failure of, unless a retry has put it back to work since. It may have failed anew, by
-- another one inside it.
create or replace function celeriac.known_cause(a_cause bigint) returns bigint language plpgsql stable as $$
begin
  return (select cause from celeriac.jobs where seq = a_cause and state > 4);
end $$;

-- The inputs of a barrier behind this one, in the order of their numbers, jobs before barriers: how many, the last of them, and
-- the cause of the first that has one.
create or replace function celeriac.input_page(a_barrier bigint, a_after bigint, a_limit integer, out count integer, out last bigint, out cause bigint)
language plpgsql stable as $$
#variable_conflict use_column
begin
  select count(*), max(seq), (array_agg(p.cause order by seq) filter (where state > 4 and p.cause is not null))[1] into count, last, cause
  from (select seq, state, cause from celeriac.jobs where feeds = a_barrier and seq > a_after order by seq limit a_limit) p;
  if cause is not null or count = a_limit then return; end if;
  select count + count(*), coalesce(max(number), last), (array_agg(p.cause order by number) filter (where decided = 2 and p.cause is not null))[1]
  into count, last, cause
  from (select number, decided, cause from celeriac.barriers where feeds = a_barrier and number > a_after order by number limit a_limit - count) p;
end $$;

-- Goes on with a barrier whose cause has to be looked for. Done when it has decided, or waits for an input again: whatever ends that
-- looks for the cause anew.
create or replace function celeriac.decide_by_search(
  inout c celeriac.change, a_barrier bigint, a_failed bigint, inout after bigint, out done boolean
) language plpgsql as $$
#variable_conflict use_column
declare
  b celeriac.barriers;
  v_limit integer;
  v_decisions celeriac.decision[];
  r record;
begin
  select * into b from celeriac.barriers where number = a_barrier and pending = 0 and decided = 0 and failed = a_failed;
  done := b.number is null;
  if done then return; end if;
  b.cause := celeriac.known_cause(b.cause);
  while b.cause is null loop
    if c.rows_left <= 0 then return; end if;
    v_limit := 10 * c.rows_left;
    select p.* into r from celeriac.input_page(a_barrier, after, v_limit) p;
    b.cause := r.cause;
    after := coalesce(r.last, after);
    c.rows_left := c.rows_left - (r.count + 9) / 10;
    exit when r.count < v_limit;
  end loop;
  with failing as materialized (
    select a_barrier as number, coalesce((select decided from celeriac.barriers where number = b.gate), 1) = 1 as is_open, b.cause as cause
  ),
  ${decideFailing} into v_decisions from failed;
  c := celeriac.release(c, v_decisions);
  c := celeriac.conclude(c, v_decisions);
  done := true;
end $$;

-- Whether somebody wants the collection cancelled; that of a job alone has no row but the job's.
create or replace function celeriac.is_cancelled(a_collection bigint) returns boolean language plpgsql stable as $$
begin
  return (select coalesce(
    (select cancelled_at is not null from celeriac.collections where number = a_collection),
    (select marked_at is not null from celeriac.jobs where seq = a_collection), false));
end $$;

-- ── what stands behind ──────────────────────────────────────────────────────────────────────────────────────────────

create or replace function celeriac.release(inout c celeriac.change, a_decisions celeriac.decision[]) language plpgsql as $$
declare
  v_done boolean;
  r record;
begin
  select s.* into r from celeriac.release_some(c, a_decisions) s;
  c := r.c;
  v_done := r.done;
  if v_done then return; end if;
  c.items := c.items || array(select row(d.collection, 0, d.barrier, 0)::celeriac.item from unnest(a_decisions) d);
end $$;

-- Done when nothing behind these barriers is left waiting.
create or replace function celeriac.release_some(inout c celeriac.change, a_decisions celeriac.decision[], out done boolean)
language plpgsql as $$
#variable_conflict use_column
declare
  v_limit integer := c.rows_left;
  v_releases celeriac.release[];
begin
  done := false;
  if v_limit <= 0 then return; end if;
  -- Joined plainly, the order and the limit lead the planner along the index of all that waits, once for each barrier.
  v_releases := array(
    select ${releaseOf} from unnest(a_decisions) d cross join lateral (
      select * from celeriac.jobs j where j.behind = d.barrier and j.state = 0 and j.continuation is null and j.archived is null
      offset 0) j
    order by j.behind, j.seq limit v_limit);
  done := cardinality(v_releases) < v_limit;
  c := celeriac.let_go(c, v_releases);
end $$;

create or replace function celeriac.let_go(inout c celeriac.change, a_releases celeriac.release[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_seqs bigint[];
  v_changes text;
  v_heads celeriac.head[];
  v_due_at bigint;
  v_lapses_at bigint;
  v_count integer;
begin
  c := celeriac.end_jobs(c, array(
    select row(seq, 0, state, reason, cause, null, false)::celeriac.ending from unnest(a_releases) where state > 2));
  v_seqs := array(select seq from unnest(a_releases) where state = 2);
  if cardinality(v_seqs) = 0 then return; end if;
  with released as (
    update celeriac.jobs j set
      state = case when coalesce(c.now + j.start_in, j.start_at) > c.now then 1 else 2 end,
      due_at = case when coalesce(c.now + j.start_in, j.start_at) > c.now then coalesce(c.now + j.start_in, j.start_at) end,
      lapses_at = j.expires_at, version = ${oneMore('j.version')}
    where j.seq = any(v_seqs)
    returning j.seq, j.collection, j.attempt, j.version, j.state, j.queue, j.priority, j.crashes, j.due_at, j.lapses_at
  ), ${lineUp('released')}
  select string_agg(${entryOf}, ',' order by seq), min(due_at), min(lapses_at), count(*), ${headsOf('released')}
  into v_changes, v_due_at, v_lapses_at, v_count, v_heads from released;
  c.changes := concat(c.changes, ',' || v_changes);
  c.heads := c.heads || v_heads;
  c.due_at := least(c.due_at, v_due_at);
  c.lapses_at := least(c.lapses_at, v_lapses_at);
  c.queued := true;
  c.rows_left := c.rows_left - v_count;
end $$;

-- The decisions of barriers that have decided.
create or replace function celeriac.standing_decisions(a_numbers bigint[]) returns celeriac.decision[] language plpgsql stable as $$
begin
  return (select coalesce(array_agg(row(b.number, b.collection, b.decided = 1,
      b.decided = 1 or (b.cause is not null and coalesce(g.decided, 1) = 1), b.cause, celeriac.is_cancelled(b.collection),
      b.feeds, b.continues, b.settles)::celeriac.decision order by b.number), '{}')
  from celeriac.barriers b left join celeriac.barriers g on g.number = b.gate
  where b.number = any(a_numbers) and b.decided <> 0);
end $$;

-- ── what it closes ──────────────────────────────────────────────────────────────────────────────────────────────────

create or replace function celeriac.conclude(inout c celeriac.change, a_decisions celeriac.decision[]) language plpgsql as $$
#variable_conflict use_column
begin
  if exists (select 1 from unnest(a_decisions) where continues is not null) then
    c := celeriac.settle_parked(c, a_decisions);
  end if;
  if exists (select 1 from unnest(a_decisions) where settles = 1) then
    c := celeriac.settle_collections(c, a_decisions);
  end if;
  c.arrivals := c.arrivals || array(
    select row(feeds, succeeded, cause)::celeriac.arrival from unnest(a_decisions) where feeds is not null);
end $$;

-- The canvas that a job continued as is over, and so is the job: its result stays where it is, and is found from there.
create or replace function celeriac.settle_parked(inout c celeriac.change, a_decisions celeriac.decision[]) language plpgsql as $$
#variable_conflict use_column
begin
  c := celeriac.end_jobs(c, array(
    select case
      when ${isCancelled} then row(j.seq, 0, 6, coalesce(j.reason, 3), j.seq, null, true)::celeriac.ending
      when d.succeeded then row(j.seq, 0, 4, null, null, null, true)::celeriac.ending
      else row(j.seq, 0, 5, 0, coalesce(d.cause, j.seq), null, true)::celeriac.ending end
    from unnest(a_decisions) d join celeriac.jobs j on j.seq = d.continues
    where j.state = 0 and j.continuation = d.barrier));
end $$;

create or replace function celeriac.settle_collections(inout c celeriac.change, a_decisions celeriac.decision[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_closings celeriac.closing[];
begin
  select array_agg(row(n.number, case
      when d.succeeded then 1
      when n.cancelled_at is not null then 3
      when exists (select 1 from celeriac.jobs where seq = d.cause and state = 5 and role = 0 and archived is null) then 2
      end)::celeriac.closing order by n.number) into v_closings
  from unnest(a_decisions) d join celeriac.collections n on n.number = d.collection where d.settles = 1;
  c := celeriac.close_collections(c, array(select k from unnest(v_closings) k where k.state is not null));
  -- The jobs of the others are looked through, and of a large collection not all in this call.
  c.items := c.items || array(
    select row(n.number, ${work.settle}, n.number, n.round)::celeriac.item
    from unnest(v_closings) k join celeriac.collections n on n.number = k.number where k.state is null order by n.number);
end $$;

create or replace function celeriac.close_collections(inout c celeriac.change, a_closings celeriac.closing[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_changes text;
  v_count integer;
  v_unique bigint[];
begin
  if cardinality(a_closings) = 0 then return; end if;
  with settled as (
    update celeriac.collections n set settled_at = c.now, state = k.state from unnest(a_closings) k where n.number = k.number
    returning n.number, n.state, n.round, n.unique_claim, n.retention
  ),
  left_at as (${leave('settled', 'number', 'c.now')})
  select string_agg(concat_ws(',', state + 10, number, round), ',' order by number), count(*),
    array_agg(number) filter (where unique_claim is not null)
  into v_changes, v_count, v_unique from settled;
  c.changes := concat(c.changes, ',' || v_changes);
  c.rows_left := c.rows_left - v_count;
  perform celeriac.release_unique(v_unique);
end $$;

-- Settles a collection that did not succeed by whether a job of it failed. Done when it is settled, or at work again.
create or replace function celeriac.settle_by_search(
  inout c celeriac.change, a_collection bigint, a_round bigint, inout after bigint, out done boolean
) language plpgsql as $$
#variable_conflict use_column
declare
  v_state smallint;
  v_limit integer;
  v_page bigint[];
begin
  select case when n.cancelled_at is not null then 3 end into v_state
  from celeriac.collections n join celeriac.barriers b on b.number = n.exit
  where n.number = a_collection and n.state = 0 and n.round = a_round and b.decided = 2;
  done := not found;
  if done then return; end if;
  while v_state is null loop
    if c.rows_left <= 0 then return; end if;
    v_limit := 10 * c.rows_left;
    v_page := celeriac.next_members(a_collection, after, v_limit);
    if exists (select 1 from celeriac.jobs where seq = any(v_page) and state = 5 and role = 0 and archived is null) then v_state := 2;
    elsif cardinality(v_page) < v_limit then v_state := 3; end if;
    after := coalesce(v_page[cardinality(v_page)], after);
    c.rows_left := c.rows_left - (cardinality(v_page) + 9) / 10;
  end loop;
  c := celeriac.close_collections(c, array[row(a_collection, v_state)::celeriac.closing]);
  done := true;
end $$;
`
