import { rowsPerCall } from '../../engine/limits.ts'
import { leave, unhurried } from './change.ts'
import { work } from '../../engine/codes.ts'
import {
  collectionRetention,
  entriesPerCall,
  eventRetention,
  eventsKept,
  lookAgainAfter,
  mostInRun,
} from '../../engine/retention.ts'
import type { Database } from './database.ts'

/** A collection of more jobs is removed by itself, in several calls. */
const smallCollection = 300
/** How long to wait for rows that somebody else has locked before they are left to be looked at again, in milliseconds. */
const plainPatience = 100
/** When to look again at a row that somebody else has locked, in milliseconds. */
const lookAgainAtLocked = 60_000
/** Maximum events removed in one call. */
const eventsPerCall = 1_000
/** Claims find jobs by the events since they looked last, within a minute (see line.ts): events of that time stay, however many. */
const eventsNeeded = 2 * 60_000
/** Events whose size is measured to tell what all of them take. */
const eventsMeasured = 100

/**
 * Removes some of what was kept for long enough, in a transaction of its own. Resolves to whether more is due, what changed, and
 * whether a large collection is being removed: `goOn` does that.
 */
export async function retain(db: Database): Promise<{ isLeft: boolean; isWorking: boolean; bits: number }> {
  const [row] = await db.call<[bits: number, isLeft: boolean, isWorking: boolean]>('retain', db.now())
  const [bits, isLeft, isWorking] = row as NonNullable<typeof row>
  return { isLeft, isWorking, bits }
}

/** Removes a settled collection on request. */
export async function remove(
  db: Database,
  id: string,
): Promise<{ answer: 'removed' | 'unsettled' | 'not-found'; bits: number }> {
  const [row] = await db.call<[bits: number, answer: 'removed' | 'unsettled' | 'not-found']>('remove', db.now(), id)
  const [bits, answer] = row as NonNullable<typeof row>
  return { answer, bits }
}

/** Settled itself, it may have side branches and callbacks that are not over: those of a canvas that is history do not count. */
const isBusy = (collection: string): string => `exists (
      select 1 from celeriac.jobs i where i.collection = ${collection} and i.role <> 0 and i.state < 4 and i.archived is null)`
const isDueAlone = `collection = seq and state > 3 and finished_at + coalesce(retention, ${collectionRetention}) <= c.now`
const isDueTogether = `removed_at is null and settled_at + coalesce(retention, ${collectionRetention}) <= c.now`

export const retentionFunctions = `
-- Numbers written as runs: 12-40,55.
create or replace function celeriac.runs_in(a_runs text) returns table (first bigint, last bigint) language plpgsql immutable as $$
begin
  -- Damaged ones are left out: what is no number, and more numbers than any call settles.
  return query select r.first, r.last from (
    select split_part(run, '-', 1)::bigint as first, coalesce(nullif(split_part(run, '-', 2), ''), run)::bigint as last
    from unnest(string_to_array(a_runs, ',')) r (run) where run ~ '^[0-9]{1,15}(-[0-9]{1,15})?$' offset 0) r
    where r.last - r.first < ${mostInRun};
end $$;

create or replace function celeriac.numbers_in(a_runs text) returns bigint[] language plpgsql immutable as $$
begin
  return array(select n from celeriac.runs_in(a_runs) r cross join lateral generate_series(r.first, r.last) n);
end $$;

-- Notes that these settled collections, or jobs alone, may be removed, or be looked at again, from that instant on.
create or replace function celeriac.leave_at(a_due_at bigint, a_numbers bigint[]) returns void language plpgsql as $$
begin
  if coalesce(cardinality(a_numbers), 0) = 0 then return; end if;
  insert into celeriac.leaving (due_at, runs) values (a_due_at, array_to_string(a_numbers, ',')) on conflict do nothing;
end $$;

-- Something of these collections ended that may have been all that kept them.
create or replace function celeriac.leave_again(a_now bigint, a_collections bigint[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
  if a_collections is null then return; end if;
  with held as (
    select number, retention from celeriac.collections where number = any(a_collections)
    union all select seq, retention from celeriac.jobs where seq = any(a_collections)
  ) ${leave('held', 'number', 'a_now')};
end $$;

-- Removes some of what was kept for long enough. One process at a time is enough.
create or replace function celeriac.retain(a_now bigint) returns table (bits integer, is_left boolean, is_working boolean)
language plpgsql ${unhurried} as $$
#variable_conflict use_column
declare
  c celeriac.change := celeriac.begin_change(a_now);
  v_more_events boolean;
  v_runs text;
  v_rest record;
begin
  is_working := false;
  is_left := false;
  bits := 0;
  if pg_try_advisory_xact_lock(hashtext('celeriac.retain'), 0) then
    v_more_events := celeriac.trim_events(c.now);
    -- A large collection is removed by several calls, and before any other is begun.
    is_working := exists (select 1 from celeriac.work where kind = ${work.remove});
    if not is_working then
      v_runs := celeriac.take_leaving(c.now);
      if v_runs <> '' then
        select r.* into v_rest from celeriac.remove_alone(c, v_runs) r;
        c := v_rest.c;
        if cardinality(v_rest.others) > 0 then c := celeriac.remove_together(c, v_rest.others); end if;
      end if;
    end if;
    is_left := is_working or v_more_events or exists (select 1 from celeriac.leaving where due_at <= c.now);
    bits := celeriac.finish(c);
  end if;
  return next;
end $$;

-- The first numbers that are due, as runs: as many as one call may remove rows.
create or replace function celeriac.take_leaving(a_now bigint) returns text language plpgsql as $$
#variable_conflict use_column
declare
  v_runs text := '';
  v_room bigint := ${rowsPerCall};
  v_size bigint;
  v_numbers bigint[];
  r record;
begin
  for r in select ctid, due_at, runs from celeriac.leaving where due_at <= a_now order by due_at limit ${entriesPerCall} loop
    exit when v_room <= 0;
    select sum(last - first + 1) into v_size from celeriac.runs_in(r.runs);
    delete from celeriac.leaving where ctid = r.ctid;
    if v_size > v_room then
      v_numbers := celeriac.numbers_in(r.runs);
      perform celeriac.leave_at(r.due_at, v_numbers[v_room + 1:]);
      r.runs := array_to_string(v_numbers[1:v_room], ',');
    end if;
    v_runs := concat_ws(',', nullif(v_runs, ''), r.runs);
    v_room := v_room - v_size;
  end loop;
  return v_runs;
end $$;

-- Jobs alone that never continued and were never retried have no rows beside their own that others would look for: they go at once,
-- run by run and without being held first, which takes half as long as one look-up for each. Gives the numbers of what is still there.
create or replace function celeriac.remove_plain(a_now bigint, a_runs text) returns bigint[] language plpgsql
set lock_timeout = '${plainPatience}ms' as $$
#variable_conflict use_column
declare
  v_rest bigint[] := '{}';
  v_first bigint;
  v_last bigint := 0;
  v_gone bigint;
  r record;
begin
  for r in select first, last from celeriac.runs_in(a_runs) loop
    delete from celeriac.jobs where seq between r.first and r.last and collection = seq and state > 3 and continuation is null and round = 1
      and finished_at + coalesce(retention, ${collectionRetention}) <= a_now;
    get diagnostics v_gone = row_count;
    if v_gone <= r.last - r.first then
      v_rest := v_rest || array(
        select seq from celeriac.jobs where seq between r.first and r.last
        union all select number from celeriac.collections where number between r.first and r.last);
    end if;
    v_first := least(v_first, r.first);
    v_last := greatest(v_last, r.last);
  end loop;
  if celeriac.have_parts(v_first, v_last) then
    perform celeriac.delete_parts(array(select n from unnest(celeriac.numbers_in(a_runs)) n where n <> all(v_rest)));
  end if;
  return v_rest;
exception when lock_not_available then
  return celeriac.numbers_in(a_runs);
end $$;

-- Jobs alone that have nothing besides. Somebody may be at work on some: a retry, or whoever looks at them within a transaction.
create or replace function celeriac.remove_alone(inout c celeriac.change, a_runs text, out others bigint[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_with_more bigint[];
  v_seqs bigint[];
begin
  others := celeriac.remove_plain(c.now, a_runs);
  c.rows_left := c.rows_left - (select sum(last - first + 1) from celeriac.runs_in(a_runs)) + cardinality(others);
  if cardinality(others) = 0 then return; end if;
  v_with_more := array(
    select collection from celeriac.jobs where collection = any(others) and collection <> seq
    union select collection from celeriac.barriers where collection = any(others));
  v_seqs := array(
    select seq from celeriac.jobs where seq = any(others) and ${isDueAlone} and seq <> all(v_with_more) order by seq for update skip locked);
  perform celeriac.delete_jobs(v_seqs);
  c.rows_left := c.rows_left - cardinality(v_seqs);
  perform celeriac.leave_at(c.now + ${lookAgainAtLocked}, array(
    select seq from celeriac.jobs where seq = any(others) and ${isDueAlone} and seq <> all(v_with_more)));
end $$;

create or replace function celeriac.delete_jobs(a_seqs bigint[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
  perform celeriac.delete_parts(a_seqs);
  delete from celeriac.jobs where seq = any(a_seqs);
end $$;

create or replace function celeriac.delete_parts(a_seqs bigint[]) returns void language plpgsql as $$
#variable_conflict use_column
declare
  v_first bigint;
  v_last bigint;
begin
  select min(seq), max(seq) into v_first, v_last from unnest(a_seqs) seq;
  if not celeriac.have_parts(v_first, v_last) then return; end if;
  delete from celeriac.attempts where job = any(a_seqs);
  delete from celeriac.log where job = any(a_seqs);
  delete from celeriac.notes where job = any(a_seqs);
end $$;

-- Most jobs have none, and three looks at an index tell it of a thousand.
create or replace function celeriac.have_parts(a_first bigint, a_last bigint) returns boolean language plpgsql as $$
#variable_conflict use_column
begin
  return exists (select 1 from celeriac.attempts where job between a_first and a_last)
    or exists (select 1 from celeriac.log where job between a_first and a_last)
    or exists (select 1 from celeriac.notes where job between a_first and a_last);
end $$;

-- Removes settled collections, and jobs alone that continued: small ones whole and together, a large one by itself. Whoever has begun
-- to retry one was first.
create or replace function celeriac.remove_together(inout c celeriac.change, a_numbers bigint[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_due bigint[] := array(select number from celeriac.collections where number = any(a_numbers) and ${isDueTogether} order by number);
  v_alone bigint[] := array(select seq from celeriac.jobs where seq = any(a_numbers) and ${isDueAlone} order by seq);
  v_held bigint[] := array(select number from celeriac.collections where number = any(v_due) order by number for no key update skip locked)
    || array(select seq from celeriac.jobs where seq = any(v_alone) order by seq for update skip locked);
  v_small bigint[] := '{}';
  v_later bigint[] := '{}';
  v_done boolean;
  r record;
  t record;
begin
  if cardinality(v_due) + cardinality(v_alone) = 0 then return; end if;
  perform celeriac.leave_at(c.now + ${lookAgainAtLocked}, array(select n from unnest(v_due || v_alone) n where n <> all(v_held)));
  -- As they stand now that they are held.
  for r in
    select n.number, n.is_busy, (select count(*) from (
      select 1 from celeriac.jobs where collection = n.number and collection <> seq limit ${smallCollection + 1}) s) as size
    from (
      select number, ${isBusy('n.number')} as is_busy from celeriac.collections n where number = any(v_held) and ${isDueTogether}
      union all select seq, ${isBusy('j.seq')} from celeriac.jobs j where seq = any(v_held) and ${isDueAlone}) n order by number
  loop
    if r.is_busy then
      perform celeriac.leave_at(c.now + ${lookAgainAfter}, array[r.number]);
    elsif c.rows_left <= 0 then
      v_later := v_later || r.number;
    elsif r.size <= ${smallCollection} then
      v_small := v_small || r.number;
      c.rows_left := c.rows_left - r.size - 2;
    else
      perform celeriac.forget(c.now, r.number);
      select s.* into t from celeriac.remove_some(c, r.number) s;
      c := t.c;
      if not t.done then
        insert into celeriac.work (collection, kind, subject) values (r.number, ${work.remove}, r.number);
      end if;
    end if;
  end loop;
  perform celeriac.leave_at(c.now, v_later);
  if cardinality(v_small) = 0 then return; end if;
  perform celeriac.delete_jobs(array(select seq from celeriac.jobs where collection = any(v_small) and collection <> seq) || v_small);
  delete from celeriac.barriers where collection = any(v_small);
  delete from celeriac.collections where number = any(v_small);
end $$;

-- Takes a settled collection out of sight at once; its rows go in this call or later. From here on nobody can retry anything of it. A
-- job alone that continued gives its place to the row of a collection with its id.
create or replace function celeriac.forget(a_now bigint, a_number bigint) returns void language plpgsql as $$
#variable_conflict use_column
begin
  update celeriac.collections set removed_at = a_now where number = a_number;
  if found then return; end if;
  insert into celeriac.collections (number, id, state, round, exit, shape, created_at, removed_at)
  select seq, id, least(state - 3, 3), round, 0, '0', created_at, a_now from celeriac.jobs where seq = a_number;
  perform celeriac.delete_jobs(array[a_number]);
end $$;

-- Removes some of the rows of a collection that is out of sight. Done when none is left.
create or replace function celeriac.remove_some(inout c celeriac.change, a_collection bigint, out done boolean) language plpgsql as $$
#variable_conflict use_column
declare
  v_limit integer;
  v_seqs bigint[];
  v_barriers integer;
begin
  done := not exists (select 1 from celeriac.collections where number = a_collection and removed_at is not null);
  while not done and c.rows_left > 0 loop
    v_limit := c.rows_left;
    v_seqs := array(
      select seq from celeriac.jobs where collection = a_collection and collection <> seq order by seq limit v_limit);
    perform celeriac.delete_jobs(v_seqs);
    delete from celeriac.barriers where number = any(array(
      select number from celeriac.barriers where collection = a_collection limit v_limit));
    get diagnostics v_barriers = row_count;
    c.rows_left := c.rows_left - cardinality(v_seqs) - v_barriers;
    if cardinality(v_seqs) < v_limit and v_barriers < v_limit then
      delete from celeriac.collections where number = a_collection;
      c.rows_left := c.rows_left - 1;
      done := true;
    end if;
  end loop;
end $$;

-- The newest stays, so that a reader who has come to it misses nothing. True while more is due.
create or replace function celeriac.trim_events(a_now bigint) returns boolean language plpgsql as $$
#variable_conflict use_column
declare
  v_newest bigint := (select number from celeriac.events order by number desc limit 1);
  v_oldest celeriac.events;
  v_size double precision;
  v_excess bigint;
  v_count integer;
begin
  select * into v_oldest from celeriac.events order by number limit 1;
  if v_oldest.at >= a_now - ${eventsNeeded} then return false; end if;
  select avg(pg_column_size(changes) + coalesce(pg_column_size(payloads), 0)) into v_size from (
    (select changes, payloads from celeriac.events order by number limit ${eventsMeasured})
    union all (select changes, payloads from celeriac.events order by number desc limit ${eventsMeasured})) e;
  -- How many rows are too many, if they are all as long as those.
  v_excess := ceil(v_newest - v_oldest.number - ${eventsKept} / greatest(v_size, 1));
  if v_oldest.at >= a_now - ${eventRetention} and v_excess <= 0 then return false; end if;
  delete from celeriac.events where number = any(array(select number from celeriac.events order by number limit ${eventsPerCall}))
    and number < v_newest
    and (at < a_now - ${eventRetention} or (number < v_oldest.number + v_excess and at < a_now - ${eventsNeeded}));
  get diagnostics v_count = row_count;
  return v_count = ${eventsPerCall};
end $$;

create or replace function celeriac.remove(a_now bigint, a_id text) returns table (bits integer, answer text) language plpgsql as $$
#variable_conflict use_column
declare
  c celeriac.change := celeriac.begin_change(a_now);
  v_number bigint;
  v_is_settled boolean;
begin
  select number, state > 0 into v_number, v_is_settled from celeriac.collections
  where id = a_id and removed_at is null for no key update;
  if v_number is null then
    select seq, state > 3 into v_number, v_is_settled from celeriac.jobs where id = a_id and collection = seq for update;
  end if;
  if v_number is null then
    return query select 0, 'not-found';
  elsif not v_is_settled or ${isBusy('v_number')} then
    return query select 0, 'unsettled';
  else
    perform celeriac.forget(c.now, v_number);
    c.items := c.items || row(v_number, ${work.remove}, v_number, 0)::celeriac.item;
    return query select celeriac.finish(c), 'removed';
  end if;
end $$;
`
