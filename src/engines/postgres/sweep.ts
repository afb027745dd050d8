import type { Runtime } from '../../core/runtime.ts'
import { hot } from './change.ts'
import type { Database } from './database.ts'

/** How long a running job that was told to stop may take, and how far past its deadline a worker may settle it itself. */
const cancelGrace = 10_000
const deadlineGrace = 2_000
const poisonLimit = 3
/** A claim is looked at again after so long, in case no job of it runs any more; so many in one sweep. */
const claimAge = 60_000
const claimsPerCall = 100

export interface Swept {
  readonly released: number
  /** By this process's clock. */
  readonly nextAt: number | null
  readonly bits: number
}

export async function sweep(db: Database, runtime: Runtime): Promise<Swept> {
  const [row] = await db.call<[bits: number, released: number, nextIn: number | null]>(
    'sweep',
    db.now(),
    runtime.random(),
  )
  const [bits, released, nextIn] = row as NonNullable<typeof row>
  // The two clocks may differ: what counts for whoever waits is how long.
  return { bits, released, nextAt: nextIn === null ? null : runtime.now() + nextIn }
}

const failure = (name: string, message: string): string => `json_build_object('name', '${name}', 'message', ${message},
      'attempt', attempt, 'at', to_char(to_timestamp(c.now / 1000.0) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))::text`

export const sweepFunctions = `
create or replace function celeriac.sweep(a_now bigint, a_random double precision)
returns table (bits integer, released integer, next_in bigint) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  c celeriac.change := celeriac.begin_change(a_now);
  r record;
  v_count integer := 0;
  v_bits integer := 0;
begin
  -- Anyone may sweep, and one at a time is enough.
  if pg_try_advisory_xact_lock(hashtext('celeriac.sweep'), 0) then
    select s.c, s.released into r from celeriac.release_due(c, 0) s;
    c := r.c;
    v_count := v_count + r.released;
    select s.c into r from celeriac.expire(c, 0) s;
    c := r.c;
    if not celeriac.take_turn(c.now) then
      select s.c, s.released into r from celeriac.lose_sessions(c) s;
      c := r.c;
      v_count := v_count + r.released;
    end if;
    select s.c, s.released into r from celeriac.stop_late(c, a_random) s;
    c := r.c;
    v_count := v_count + r.released;
    perform celeriac.abandon_uploads(c.now);
    perform celeriac.forget_claims(c.now);
    v_bits := celeriac.finish(c);
  end if;
  return query select v_bits | case when exists (select 1 from celeriac.work) then 8 else 0 end, v_count, celeriac.next_sweep_at() - c.now;
end $$;

-- After a gap longer than a lease (the machine slept, nobody was there) every session looks dead: nothing is given up for one
-- lease, so that those who live can say so.
create or replace function celeriac.take_turn(a_now bigint) returns boolean language plpgsql as $$
declare
  v_lease bigint := coalesce((select max(expires_at - seen_at) from celeriac.sessions where ended_at is null), 0);
begin
  if celeriac.noted('swept_at') + v_lease < a_now then perform celeriac.note('calm_until', a_now + v_lease); end if;
  perform celeriac.note('swept_at', a_now);
  return celeriac.noted('calm_until') > a_now;
end $$;

create or replace function celeriac.noted(a_key text) returns bigint language plpgsql volatile as $$
begin
  return (select coalesce((select value::bigint from celeriac.meta where key = a_key), 0));
end $$;
create or replace function celeriac.note(a_key text, a_value bigint) returns void language sql as $$
  insert into celeriac.meta (key, value) values (a_key, a_value) on conflict (key) do update set value = excluded.value
$$;

-- ── sessions ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Gives up the sessions that are over, and what they held.
create or replace function celeriac.lose_sessions(inout c celeriac.change, out released integer) language plpgsql as $$
#variable_conflict use_column
declare
  -- One that is renewing itself at this moment lives.
  v_sessions bigint[] := array(
    select number from celeriac.sessions where ended_at is null and expires_at <= c.now order by number for update skip locked);
  v_seqs bigint[];
  r record;
begin
  released := 0;
  if cardinality(v_sessions) = 0 then return; end if;
  v_seqs := array(
    select j.seq from celeriac.claims k cross join unnest(k.seqs) s (seq) join celeriac.jobs j on j.seq = s.seq
    where k.session = any(v_sessions) and j.state = 3 and j.session = k.session and j.token = k.token);
  perform celeriac.hold_running(v_seqs);
  select s.c, s.released into r from celeriac.give_up(c, v_sessions, v_seqs) s;
  c := r.c;
  released := r.released;
  update celeriac.sessions set ended_at = c.now, lost = 1 where number = any(v_sessions);
  delete from celeriac.claims where session = any(v_sessions);
end $$;

-- Collections first, in order, then jobs.
create or replace function celeriac.hold_running(a_seqs bigint[]) returns void language plpgsql as $$
declare
  v_collections bigint[] := array(select distinct collection from celeriac.jobs where seq = any(a_seqs));
begin
  perform celeriac.hold_collections(v_collections);
  -- Not \`hold\`: one that was put in line meanwhile stays there.
  perform 1 from celeriac.jobs where seq = any(a_seqs) order by seq for update;
end $$;

create or replace function celeriac.give_up(inout c celeriac.change, a_sessions bigint[], a_seqs bigint[], out released integer)
language plpgsql as $$
#variable_conflict use_column
declare
  v_lost bigint[];
  v_ends celeriac.ending[];
  v_puts celeriac.putting[];
begin
  with held as (
    select j.seq, j.attempt, j.marked_at, j.reason, s.name as worker,
      -- One that was suspect already is to blame. Where none was, each of them may be.
      j.crashes + case when j.crashes > 0 or not bool_or(j.crashes > 0) over (partition by j.session) then 1 else 0 end as crashes
    from celeriac.jobs j join celeriac.sessions s on s.number = j.session
    where j.seq = any(a_seqs) and j.state = 3 and j.session = any(a_sessions)
  )
  select
    array_agg(case when marked_at is not null then row(seq, 3, 6, coalesce(reason, 3), seq, null, false)::celeriac.ending
      else row(seq, 3, 5, 2, seq, ${failure('JobPoisoned', "concat('Its worker died ', crashes, ' times while it ran; the last one was ', worker, '.')")}, false)::celeriac.ending
      end order by seq) filter (where marked_at is not null or crashes >= ${poisonLimit}),
    array_agg(row(seq, 0, null, false, true, true, crashes)::celeriac.putting order by seq)
      filter (where marked_at is null and crashes < ${poisonLimit}),
    array_agg(seq order by seq) filter (where marked_at is null and crashes < ${poisonLimit}),
    count(*)
  into v_ends, v_puts, v_lost, released from held;
  if v_ends is not null then c := celeriac.end_jobs(c, v_ends); end if;
  if v_puts is null then return; end if;
  c := celeriac.record_attempts(c, v_lost, 6, array_fill(null::text, array[cardinality(v_lost)]));
  c := celeriac.put_back(c, v_puts);
end $$;

-- Takes away claims of which nothing runs any more.
create or replace function celeriac.forget_claims(a_now bigint) returns void language plpgsql as $$
#variable_conflict use_column
begin
  delete from celeriac.claims where ctid = any(array(
    select k.ctid from celeriac.claims k where k.claimed_at <= a_now - ${claimAge} and not exists (
      select 1 from unnest(k.seqs) s (seq) join celeriac.jobs j on j.seq = s.seq
      where j.state = 3 and j.session = k.session and j.token = k.token)
    limit ${claimsPerCall} for update skip locked));
end $$;

-- ── deadlines ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- Jobs that were told to stop and run, with when they were told.
create or replace function celeriac.told_to_stop() returns table (seq bigint, marked_at bigint) language sql stable as $$
  select j.seq, j.marked_at from celeriac.claims k cross join unnest(k.seqs) s (seq) join celeriac.jobs j on j.seq = s.seq
  where k.marked_at is not null and j.state = 3 and j.session = k.session and j.token = k.token and j.marked_at is not null
$$;

-- Jobs whose worker did not stop them in time, though its session lives: its event loop is blocked, or the handler does not
-- listen.
create or replace function celeriac.stop_late(inout c celeriac.change, a_random double precision, out released integer)
language plpgsql as $$
#variable_conflict use_column
declare
  v_seqs bigint[] := array(
    select seq from celeriac.told_to_stop() where marked_at <= c.now - ${cancelGrace}
    union select seq from celeriac.jobs where deadline_at <= c.now - ${deadlineGrace} and state = 3);
  v_ends celeriac.ending[];
  v_puts celeriac.putting[];
  v_failures text[];
begin
  released := 0;
  if cardinality(v_seqs) = 0 then return; end if;
  perform celeriac.hold_running(v_seqs);
  with late as (
    select seq, marked_at, reason, ${failure('JobTimedOut', "concat('It took longer than its ', timeout, ' ms, and did not stop when told.')")} as failure,
      case when failures < (options::json #>> '{retry,limit}')::integer then celeriac.retry_delay(options::json -> 'retry', failures,
        -- Another number for each, as even as chance.
        (a_random + row_number() over (order by seq) * 0.6180339887498949)::numeric % 1) end as delay
    from celeriac.jobs where seq = any(v_seqs) and state = 3
      and (marked_at <= c.now - ${cancelGrace} or deadline_at <= c.now - ${deadlineGrace})
  )
  select
    array_agg(case when marked_at is not null then row(seq, 3, 6, coalesce(reason, 3), seq, null, false)::celeriac.ending
      else row(seq, 3, 5, 1, seq, failure, false)::celeriac.ending end order by seq) filter (where marked_at is not null or delay is null),
    array_agg(row(seq, delay, failure, false, true, false, 0)::celeriac.putting order by seq) filter (where marked_at is null and delay is not null),
    array_agg(failure order by seq) filter (where marked_at is null and delay is not null),
    count(*)
  into v_ends, v_puts, v_failures, released from late;
  c.cancel := c.cancel or released > 0;
  if v_ends is not null then c := celeriac.end_jobs(c, v_ends); end if;
  if v_puts is null then return; end if;
  c := celeriac.record_attempts(c, array(select seq from unnest(v_puts)), 3, v_failures);
  c := celeriac.put_back(c, v_puts);
end $$;

-- The wait before the attempt that follows so many failures and this one. By logarithms: powers grow out of any number.
create or replace function celeriac.retry_delay(a_policy json, a_failures integer, a_random numeric) returns bigint language plpgsql as $$
declare
  v_base double precision := (a_policy ->> 'base')::double precision;
  v_full double precision := 0;
begin
  if v_base > 0 then
    v_full := least((a_policy ->> 'max')::double precision,
      exp(least(ln(v_base) + a_failures * ln((a_policy ->> 'factor')::double precision), 600)));
  end if;
  return round(case when (a_policy ->> 'jitter')::boolean then v_full / 2 + v_full / 2 * a_random::double precision else v_full end);
end $$;

-- ── what comes next ─────────────────────────────────────────────────────────────────────────────────────────────────

-- When something will have to be swept again, as far as can be foreseen.
create or replace function celeriac.next_sweep_at() returns bigint language plpgsql volatile as $$
begin
  return (select least(
    (select 0 from celeriac.work limit 1),
    (select due_at from celeriac.jobs where due_at is not null order by due_at limit 1),
    -- Nobody is given up before the calm after a gap is over.
    (select case when min(expires_at) is not null then greatest(min(expires_at), celeriac.noted('calm_until')) end
     from celeriac.sessions where ended_at is null),
    (select lapses_at from celeriac.jobs where lapses_at is not null order by lapses_at limit 1),
    (select deadline_at + ${deadlineGrace} from celeriac.jobs where deadline_at is not null order by deadline_at limit 1),
    (select min(marked_at) + ${cancelGrace} from celeriac.told_to_stop())));
end $$;
`
