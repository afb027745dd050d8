import {
  choreInterval,
  faultKept,
  faultShown,
  type KeptFault,
  type KnownFault,
  longestCalm,
  turnLength,
} from '../../engine/recovery.ts'
import type { Database } from './database.ts'

/** Faults are rows of celeriac.meta, so that they can be noted also where a table is locked. */
const prefix = 'fault '
const ofFaults = `key >= '${prefix}' and key < 'fault!'`

/** Keeps what failed, for whoever asks after it. */
export async function noteFaults(db: Database, faults: readonly KeptFault[]): Promise<void> {
  await db.call(
    'note_faults',
    db.now(),
    faults.map(({ item }) => `${prefix}${item}`),
    faults.map(({ message }) => message),
  )
}

export async function faults(db: Database): Promise<KnownFault[]> {
  const rows = await db.all<{ key: string; at: number; message: string }>(
    `select key, (value::json ->> 'at')::double precision as at, value::json ->> 'message' as message from celeriac.meta
     where ${ofFaults} and (value::json ->> 'at')::bigint > celeriac.instant($1) - ${faultShown} order by key`,
    db.now(),
  )
  return rows.map(({ key, at, message }) => ({ item: key.slice(prefix.length), at, message }))
}

export const turnFunctions = `
-- Takes the turn of recovery and upkeep, unless another process has it, or had one a moment ago and nothing was foreseen since.
-- After a gap longer than the shortest lease (the machine slept, no process was there, the clock was set, another server took
-- over) every session looks dead and every deadline past. So each session gets its own lease from now, and each running job its
-- time-out, before anything is decided by the clock.
create or replace function celeriac.take_turn(a_now bigint) returns boolean language plpgsql as $$
declare
  v_swept_at bigint;
  v_sweep_at bigint;
  v_shortest bigint;
  v_longest bigint;
  v_first bigint;
begin
  if not pg_try_advisory_xact_lock(hashtext('celeriac.sweep'), 0) then return false; end if;
  v_swept_at := celeriac.noted('swept_at');
  v_sweep_at := nullif(celeriac.noted('sweep_at'), 0);
  if v_swept_at <= a_now and a_now < least(v_swept_at + ${turnLength}, v_sweep_at) then return false; end if;
  if a_now < v_swept_at then perform celeriac.step_back(a_now, v_swept_at - a_now); end if;
  select min(expires_at - seen_at), max(expires_at - seen_at), min(expires_at) into v_shortest, v_longest, v_first
  from celeriac.sessions where ended_at is null;
  if celeriac.is_gap(v_swept_at, v_shortest, v_first, a_now) then
    perform celeriac.note('calm_at', a_now), celeriac.note('calm_until', a_now + least(v_longest, ${longestCalm}));
  end if;
  perform celeriac.note('swept_at', a_now);
  return true;
end $$;

-- In a store that was never swept, it is one where a session is over by now.
create or replace function celeriac.is_gap(a_swept_at bigint, a_shortest bigint, a_first bigint, a_now bigint) returns boolean language plpgsql as $$
begin
  return coalesce(case when a_swept_at = 0 then a_first <= a_now else a_swept_at + a_shortest < a_now end, false);
end $$;

-- The clock went back: no session lives longer for it than its own lease from now.
create or replace function celeriac.step_back(a_now bigint, a_by bigint) returns void language plpgsql as $$
begin
  update celeriac.sessions set expires_at = a_now + (expires_at - seen_at), seen_at = a_now where ended_at is null and seen_at > a_now;
  update celeriac.meta set value = a_now where key in ('calm_at', 'calm_until', 'chores_at') and value::bigint > a_now;
  perform celeriac.note('stepped_at', a_now), celeriac.note('stepped_by', a_by);
end $$;

-- After a gap, also one that no sweep has met yet, nothing is ended because its time is over.
create or replace function celeriac.is_calm(a_now bigint) returns boolean language plpgsql volatile as $$
declare
  v_swept_at bigint := celeriac.noted('swept_at');
begin
  if celeriac.noted('calm_until') > a_now then return true; end if;
  return (select celeriac.is_gap(v_swept_at, min(expires_at - seen_at), min(expires_at), a_now) from celeriac.sessions where ended_at is null);
end $$;

-- Whether the round of chores that nobody waits for is due.
create or replace function celeriac.take_chores(a_now bigint) returns boolean language plpgsql as $$
begin
  if a_now < celeriac.noted('chores_at') then return false; end if;
  perform celeriac.note('chores_at', a_now + ${choreInterval});
  return true;
end $$;

create or replace function celeriac.note_faults(a_now bigint, a_keys text[], a_messages text[]) returns void language plpgsql as $$
#variable_conflict use_column
declare
  v_now bigint := celeriac.instant(a_now);
begin
  delete from celeriac.meta where ${ofFaults} and (value::json ->> 'at')::bigint < v_now - ${faultKept};
  insert into celeriac.meta (key, value)
  select f.key, json_build_object('at', v_now, 'message', f.message)::text from unnest(a_keys, a_messages) f (key, message)
  on conflict (key) do update set value = excluded.value;
end $$;
`
