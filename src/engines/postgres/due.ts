import { movedPerCall } from '../../engine/limits.ts'
import { entryOf, headsOf, lineUp, oneMore, rankOf } from './change.ts'

export const dueFunctions = `
-- A call of its own within the claim: with what follows, and an event. Passes over what others hold.
create or replace function celeriac.move_due(a_now bigint, p celeriac.place) returns integer language plpgsql as $$
declare
  c celeriac.change := celeriac.begin_change(a_now);
  v_count integer;
  r record;
begin
  if p.due_at <= a_now then select s.* into r from celeriac.release_due(c, p.due_at) s; c := r.c; v_count := r.released; end if;
  if p.lapses_at <= a_now then select s.* into r from celeriac.expire(c, p.lapses_at) s; c := r.c; v_count := r.expired; end if;
  return celeriac.finish(c);
end $$;

-- Queues the jobs whose time has come.
create or replace function celeriac.release_due(inout c celeriac.change, a_from bigint, out released integer) language plpgsql as $$
#variable_conflict use_column
declare
  v_changes text;
  v_heads celeriac.head[];
begin
  with due as (
    update celeriac.jobs j set state = 2, due_at = null, version = ${oneMore('j.version')}
    where j.seq = any(array(
      select seq from celeriac.jobs where due_at >= a_from and due_at <= c.now and state = 1 order by due_at limit ${movedPerCall} for update skip locked))
    returning j.seq, j.collection, j.attempt, j.version, j.state, j.queue, j.priority, j.crashes
  ), ${lineUp('due')}
  select string_agg(${entryOf}, ',' order by collection, seq), count(*), ${headsOf('due')} into v_changes, released, v_heads from due;
  c.changes := concat(c.changes, ',' || v_changes);
  c.heads := c.heads || v_heads;
end $$;

-- Cancels the jobs that did not start in time; after a gap in time, only once it is sure that the clock is right. Never waits: what
-- others hold is left to the next claim or sweep.
create or replace function celeriac.expire(inout c celeriac.change, a_from bigint, out expired integer) language plpgsql as $$
#variable_conflict use_column
declare
  v_late bigint[] := array(
    select seq from celeriac.jobs where lapses_at >= a_from and lapses_at <= c.now order by lapses_at limit ${movedPerCall});
  v_collections bigint[] := array(select distinct collection from celeriac.jobs where seq = any(v_late) and collection <> seq);
  v_held bigint[] := array(
    select number from celeriac.collections where number = any(v_collections) order by number for no key update skip locked);
  v_barriers bigint[];
  v_queued bigint[];
begin
  expired := 0;
  if cardinality(v_late) = 0 or celeriac.is_calm(c.now) then return; end if;
  v_held := v_held || array(
    select seq from celeriac.jobs where seq = any(v_collections) order by seq for no key update skip locked);
  v_barriers := array(
    select number from celeriac.barriers where number = any(array(select feeds from celeriac.jobs where seq = any(v_late)))
    order by number for no key update skip locked);
  v_late := array(select seq from celeriac.jobs where seq = any(v_late) and (collection = seq or collection = any(v_held))
    and (feeds is null or feeds = any(v_barriers)));
  -- Those in line are taken from there as a claim does, and then nobody else has them.
  with found as (
    delete from celeriac.ready where ctid = any(array(
      select r.ctid from celeriac.jobs j join celeriac.ready r on r.queue = j.queue and r.rank = ${rankOf('j.priority')} and r.collection = j.collection and r.seq = j.seq
      where j.seq = any(v_late) and j.state = 2 for update of r skip locked))
    returning seq
  ),
  suspected as (
    delete from celeriac.suspects where ctid = any(array(
      select r.ctid from celeriac.jobs j join celeriac.suspects r on r.queue = j.queue and r.rank = ${rankOf('j.priority')} and r.collection = j.collection and r.seq = j.seq
      where j.seq = any(v_late) and j.state = 2 for update of r skip locked))
    returning seq
  )
  select array_agg(seq) into v_queued from (select seq from found union all select seq from suspected) q;
  v_late := array(
    select seq from celeriac.jobs where seq = any(v_late) and (state = 1 or seq = any(v_queued)) order by seq for update skip locked);
  expired := cardinality(v_late);
  -- They are out of line already: found as if they waited.
  c := celeriac.end_jobs(c, array(
    select row(seq, 0, 6, 4, seq, null, false)::celeriac.ending from unnest(v_late) seq));
end $$;
`
