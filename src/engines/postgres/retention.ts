import { hot, rowsPerCall } from './change.ts'
import { work } from '../../engine/codes.ts'
import { sessionRetention } from '../../engine/recovery.ts'
import type { Database } from './database.ts'

/** Defaults, in milliseconds: a settled collection is kept for a week, events for a day. */
const collectionRetention = 7 * 24 * 60 * 60_000
const eventRetention = 24 * 60 * 60_000

/** Numbers looked at in one call, the most that are removed of them, and the rest between two passes. */
const window = 2_000
const removedPerCall = 200
const pause = 60_000
/** Values that have run out are removed so many at a time. */
const valuesPerCall = 10_000

/** What else is removed once its time is over: functions, each in a transaction of its own. They answer whether there may be more. */
export const chores: readonly (readonly [name: string, chore: string])[] = [
  ['abandoned uploads', 'abandon_uploads'],
  ['claims', 'forget_claims'],
  ['old events', 'trim_events'],
  ['idempotency keys', 'trim_idempotency'],
  ['unique keys', 'trim_unique'],
  ['ended workers', 'trim_sessions'],
  ['values', 'trim_values'],
  ['statistics', 'trim_tallies'],
]
/** Nobody waits for them, and they wait for nobody long. */
const unhurried = `${hot} set lock_timeout = '2s'`

/** Removes a settled collection on request. */
export async function remove(
  db: Database,
  id: string,
): Promise<{ answer: 'removed' | 'unsettled' | 'not-found'; bits: number }> {
  const [row] = await db.call<[bits: number, answer: 'removed' | 'unsettled' | 'not-found']>('remove', db.now(), id)
  const [bits, answer] = row as NonNullable<typeof row>
  return { answer, bits }
}

/** Jobs of this collection that are not over: those of a canvas that is history do not count. */
const isBusy = (collection: string): string => `exists (
      select 1 from celeriac.jobs i where i.collection = ${collection} and i.collection <> i.seq and i.state < 4 and i.archived is null)`
const isDueAlone = `collection = seq and state > 3 and finished_at + coalesce(retention, ${collectionRetention}) <= c.now
      and not ${isBusy('j.seq')}`
const isDueTogether = `removed_at is null and settled_at + coalesce(retention, ${collectionRetention}) <= c.now
      and not ${isBusy('n.number')}`

export const retentionFunctions = `
-- Removes what has been settled for longer than it is kept. Nothing finished stands in an index for this, so passes go over all
-- rows, a window of numbers in each call however few of them are due; one pass for all processes.
create or replace function celeriac.retain(a_now bigint) returns integer language plpgsql ${hot} set lock_timeout = '2s' as $$
#variable_conflict use_column
declare
  c celeriac.change := celeriac.begin_change(a_now);
  v_after bigint := celeriac.noted('retained');
  v_first bigint;
  v_alone bigint[];
  v_together bigint[];
begin
  if c.now < celeriac.noted('retain_at') then return 0; end if;
  -- What was removed leaves gaps.
  v_first := least(
    (select seq from celeriac.jobs where seq > v_after order by seq limit 1),
    (select number from celeriac.collections where number > v_after order by number limit 1));
  if v_first is null then
    perform celeriac.note('retained', 0), celeriac.note('retain_at', c.now + ${pause});
    return 0;
  end if;
  v_together := array(
    select number from celeriac.collections n where number between v_first and v_first + ${window - 1} and ${isDueTogether}
    order by number limit ${removedPerCall});
  v_alone := array(
    select seq from celeriac.jobs j where seq between v_first and v_first + ${window - 1} and ${isDueAlone}
    order by seq limit ${removedPerCall});
  perform celeriac.note('retained', least(v_first + ${window - 1},
    -- A list that is full may go on within the window.
    case when cardinality(v_together) = ${removedPerCall} then v_together[${removedPerCall}] end,
    case when cardinality(v_alone) = ${removedPerCall} then v_alone[${removedPerCall}] end));
  c := celeriac.forget_together(c, v_together);
  c := celeriac.forget_alone(c, v_alone);
  return celeriac.finish(c);
end $$;

-- Takes settled collections out of sight at once; their rows go in this call or later. Whoever has begun to retry one was first.
create or replace function celeriac.forget_together(inout c celeriac.change, a_numbers bigint[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_numbers bigint[] := array(
    select number from celeriac.collections where number = any(a_numbers) order by number for no key update skip locked);
  v_items celeriac.item[];
begin
  with forgotten as (
    update celeriac.collections n set removed_at = c.now where number = any(v_numbers) and ${isDueTogether} returning number
  )
  select array_agg(row(number, ${work.remove}, number, 0)::celeriac.item order by number) into v_items from forgotten;
  c.items := c.items || v_items;
end $$;

-- Most jobs alone have nothing besides: they go at once.
create or replace function celeriac.forget_alone(inout c celeriac.change, a_seqs bigint[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_seqs bigint[] := array(select seq from celeriac.jobs where seq = any(a_seqs) order by seq for update skip locked);
  v_large bigint[];
begin
  v_seqs := array(select seq from celeriac.jobs j where seq = any(v_seqs) and ${isDueAlone} order by seq);
  v_large := array(
    select seq from unnest(v_seqs) seq where exists (select 1 from celeriac.jobs where collection = seq.seq and collection <> seq)
      or exists (select 1 from celeriac.barriers where collection = seq.seq) order by 1);
  perform celeriac.delete_jobs(array(select seq from unnest(v_seqs) seq where seq <> all(v_large)));
  c.rows_left := c.rows_left - cardinality(v_seqs);
  c.items := c.items || array(select row(seq, ${work.remove}, seq, 0)::celeriac.item from unnest(v_large) seq);
end $$;

create or replace function celeriac.delete_jobs(a_seqs bigint[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
  delete from celeriac.attempts where job = any(a_seqs);
  delete from celeriac.log where job = any(a_seqs);
  delete from celeriac.notes where job = any(a_seqs);
  delete from celeriac.jobs where seq = any(a_seqs);
end $$;

-- Removes some of the rows of a collection. Done when none is left, or when it is at work again: a job alone may be.
create or replace function celeriac.remove_some(inout c celeriac.change, a_collection bigint, out done boolean) language plpgsql as $$
#variable_conflict use_column
declare
  v_limit integer;
  v_seqs bigint[];
  v_barriers integer;
begin
  done := not exists (select 1 from celeriac.collections where number = a_collection and removed_at is not null)
    and not exists (select 1 from celeriac.jobs where seq = a_collection and collection = seq and state > 3);
  while not done loop
    v_limit := greatest(c.rows_left, 1);
    v_seqs := array(
      select seq from celeriac.jobs where collection = a_collection and collection <> seq order by seq limit v_limit);
    perform celeriac.delete_jobs(v_seqs);
    delete from celeriac.barriers where number = any(array(
      select number from celeriac.barriers where collection = a_collection limit v_limit));
    get diagnostics v_barriers = row_count;
    c.rows_left := c.rows_left - cardinality(v_seqs) - v_barriers;
    if cardinality(v_seqs) + v_barriers = 0 then
      perform celeriac.delete_jobs(array[a_collection]);
      delete from celeriac.collections where number = a_collection;
      c.rows_left := c.rows_left - 2;
      done := true;
    end if;
    exit when c.rows_left <= 0;
  end loop;
end $$;

-- The newest stays, so that a reader who has come to it misses nothing.
create or replace function celeriac.trim_events(a_now bigint) returns boolean language plpgsql ${unhurried} as $$
#variable_conflict use_column
declare
  v_count integer;
begin
  delete from celeriac.events where number = any(array(select number from celeriac.events order by number limit ${rowsPerCall}))
    and at < celeriac.instant(a_now) - ${eventRetention} and number < (select number from celeriac.events order by number desc limit 1);
  get diagnostics v_count = row_count;
  return v_count = ${rowsPerCall};
end $$;

create or replace function celeriac.trim_idempotency(a_now bigint) returns boolean language plpgsql ${unhurried} as $$
#variable_conflict use_column
begin
  delete from celeriac.idempotency where expires_at < celeriac.instant(a_now)
    and not exists (select 1 from celeriac.collections where id = collection_id)
    and not exists (select 1 from celeriac.jobs where id = collection_id);
  return false;
end $$;

create or replace function celeriac.trim_unique(a_now bigint) returns boolean language plpgsql ${unhurried} as $$
begin
  delete from celeriac.unique_keys where expires_at < celeriac.instant(a_now);
  return false;
end $$;

create or replace function celeriac.trim_sessions(a_now bigint) returns boolean language plpgsql ${unhurried} as $$
#variable_conflict use_column
declare
  v_count integer;
begin
  delete from celeriac.sessions where number = any(array(
    select number from celeriac.sessions where ended_at < celeriac.instant(a_now) - ${sessionRetention} and losing is null
    order by ended_at limit ${rowsPerCall}));
  get diagnostics v_count = row_count;
  return v_count = ${rowsPerCall};
end $$;

-- Asked twice: one that is put anew at this instant stays.
create or replace function celeriac.trim_values(a_now bigint) returns boolean language plpgsql ${unhurried} as $$
#variable_conflict use_column
declare
  v_now bigint := celeriac.instant(a_now);
  v_count integer;
begin
  delete from celeriac.values where (kind, id) in (
    select kind, id from celeriac.values where expires_at <= v_now order by expires_at limit ${valuesPerCall}) and expires_at <= v_now;
  get diagnostics v_count = row_count;
  return v_count = ${valuesPerCall};
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
    update celeriac.collections set removed_at = c.now where number = v_number;
    c.items := c.items || row(v_number, ${work.remove}, v_number, 0)::celeriac.item;
    return query select celeriac.finish(c), 'removed';
  end if;
end $$;
`
