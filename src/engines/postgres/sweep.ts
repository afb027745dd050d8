import { shortestRetryDelay } from '../../core/retry.ts'
import type { Runtime } from '../../core/runtime.ts'
import {
  blame,
  cancelGrace,
  deadlineGrace,
  jobsPerStep,
  lateMessage,
  type NamedJob,
  poisonedMessage,
  sessionsPerTurn,
  Steps,
  suspicion,
  turnLength,
  wordsShown,
} from '../../engine/recovery.ts'
import { endlessSpan } from '../../engine/limits.ts'
import { bySlices, restOfTurn } from '../../engine/retention.ts'
import type { SweepAnswer } from '../../engine/work.ts'
import { hot, readSignals, runningOf, unhurried } from './change.ts'
import { chores } from './chores.ts'
import type { Database } from './database.ts'
import { retain } from './retention.ts'
import { noteFaults } from './turn.ts'
import { goOn } from './work.ts'

export interface SweepParts {
  readonly db: Database
  readonly runtime: Runtime
  /** Passes on what a call changed. */
  readonly tell: (bits: number) => void
  readonly isClosed: () => boolean
}

/** Recovery first, stored a step at a time; then upkeep, of which each chore may fail for itself. */
export async function sweep(parts: SweepParts): Promise<SweepAnswer> {
  const { db, runtime, tell } = parts
  const [row] = await db.call<Begun>('begin_sweep', db.now())
  const [bits, early, isTurn, hasChores, hasLate, sessions, names, nextIn] = row as Begun
  tell(bits & 7)
  // The two clocks may differ: what counts for whoever waits is how long.
  const instantIn = (wait: number | null): number | null => (wait === null ? null : runtime.now() + wait)
  const steps = new Steps()
  let released = early
  for (const [at, session] of sessions.entries())
    released += (await steps.run(`worker ${names[at] ?? ''}`, () => lose(parts, steps, session))) ?? 0
  if (hasLate) released += (await steps.run('deadlines', () => stopLate(parts, steps))) ?? 0
  // What others left to do: some of it here, so that it comes to an end wherever anybody sweeps.
  if (readSignals(bits).isLeft) await steps.run('large changes', async () => tell(await goOn(db, db.now())))
  if (!isTurn) return { released, nextAt: instantIn(nextIn) }
  const isDue = (await steps.run('retention', () => retainAll(parts))) ?? false
  if (hasChores) {
    const run = async (chore: string): Promise<boolean> =>
      (await db.call<[isLeft: boolean]>(chore, db.now()))[0]?.[0] === true
    await steps.runChores(chores, run, () => db.call('note', 'chores_at', 0))
  }
  const { faults } = steps
  if (faults.length > 0) await noteFaults(db, steps.keptFaults)
  const soonest = (wait: number | null): number | null =>
    instantIn(isDue ? Math.min(wait ?? restOfTurn, restOfTurn) : wait)
  if (sessions.length === 0 && !hasLate) return { released, faults, nextAt: soonest(nextIn) }
  const [next] = await db.call<[wait: number | null]>('foresee', db.now())
  return { released, faults, nextAt: soonest((next as NonNullable<typeof next>)[0]) }
}

type Begun = readonly [
  bits: number,
  released: number,
  isTurn: boolean,
  hasChores: boolean,
  hasLate: boolean,
  sessions: readonly number[],
  names: readonly string[],
  nextIn: number | null,
]

const retainAll = ({ db, runtime, tell, isClosed }: SweepParts): Promise<boolean> =>
  bySlices(runtime, async () => {
    if (isClosed()) return false
    const { isLeft, isWorking, bits } = await retain(db)
    tell(isWorking ? bits | (await goOn(db, db.now())) : bits)
    return isLeft
  })

/** Ends a session at once, and gives back its jobs some at a time. */
async function lose({ db, tell }: SweepParts, steps: Steps, session: number): Promise<number> {
  const count = await steps.runPages(
    async (after) => (await db.call<Held>('lose_session', db.now(), session, after)).map(named),
    (jobs) => counted(db, tell, 'give_up_jobs', session, seqsOf(jobs)),
  )
  if (count > 0) await db.call('lose_session', db.now(), session, 0)
  return count
}

/** Jobs whose worker did not stop them in time, though its session lives: its event loop is blocked, or the handler does not listen. */
const stopLate = ({ db, runtime, tell }: SweepParts, steps: Steps): Promise<number> =>
  steps.runPages(
    async (after) => (await db.call<Held>('late_jobs', db.now(), after, jobsPerStep)).map(named),
    (jobs) => counted(db, tell, 'stop_jobs', runtime.random(), seqsOf(jobs)),
  )

type Held = readonly [seq: number, id: string]
const named = ([seq, id]: Held): NamedJob => ({ seq, id })
const seqsOf = (jobs: readonly NamedJob[]): number[] => jobs.map(({ seq }) => seq)

/** Calls a function that answers with what it changed, and how many jobs it was about. */
async function counted(
  db: Database,
  tell: SweepParts['tell'],
  name: string,
  about: number,
  seqs: readonly number[],
): Promise<number> {
  const [row] = await db.call<[bits: number, count: number]>(name, db.now(), about, seqs)
  const [bits, count] = row as NonNullable<typeof row>
  tell(bits)
  return count
}

const instantText = `to_char(to_timestamp(c.now / 1000.0) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
const failure = (name: string, message: string): string =>
  `json_build_object('name', '${name}', 'message', ${message}, 'attempt', attempt, 'at', ${instantText})::text`

/** SQL for a message with something of the row in it. */
const about = (message: (something: string) => string, column: string): string =>
  `concat('${message('|').replace('|', `', ${column}, '`)}')`
const poisoned = about(poisonedMessage, 'worker')

/** With what its worker said last, if it said anything: as `poisonedFailure` has it. */
const poisonedFailure = `case when words is null then ${failure('JobPoisoned', poisoned)}
        else json_build_object('name', 'JobPoisoned', 'message',
          concat(${poisoned}, ' It ended with ', words::json ->> 'name', ': ', left(words::json ->> 'message', ${wordsShown})),
          'cause', words::json, 'attempt', attempt, 'at', ${instantText})::text end`

/** How strongly a job is suspected after its worker died (see engine/recovery.ts). */
const suspicionAfter = `case
      when v_whose = ${blame.everybody} then greatest(j.crashes, ${suspicion.suspect})
      when j.crashes = ${suspicion.none} then ${suspicion.none}
      when v_whose = ${blame.suspects} then greatest(j.crashes, ${suspicion.beside})
      when j.crashes < ${suspicion.alone} then ${suspicion.alone}
      else ${suspicion.poisoned} end`

/** After a gap, running jobs have their time anew: nobody knows how much of it they had. */
const isPastDeadline = (now: string): string => `(deadline_at <= ${now} - ${deadlineGrace}
      and (started_at >= v_calm or timeout <= ${now} - ${deadlineGrace} - v_calm))`
const isPastGrace = (now: string): string => `greatest(marked_at, v_calm) <= ${now} - ${cancelGrace}`

export const sweepFunctions = `
-- What is due, and what has expired; then, where this call has the turn, what is to be done in it.
create or replace function celeriac.begin_sweep(a_now bigint) returns table (
  bits integer, released integer, is_turn boolean, has_chores boolean, has_late boolean,
  sessions bigint[], names text[], next_in bigint
) language plpgsql ${unhurried} as $$
#variable_conflict use_column
declare
  c celeriac.change := celeriac.begin_change(a_now);
  v_calm bigint;
  v_lapsed celeriac.place;
  v_bits integer := 0;
  r record;
begin
  is_turn := celeriac.take_turn(c.now);
  has_chores := false;
  has_late := false;
  sessions := '{}';
  names := '{}';
  select s.c, s.released into r from celeriac.release_due(c, 0) s;
  c := r.c;
  released := r.released;
  v_lapsed.lapses_at := (select lapses_at from celeriac.jobs where lapses_at <= c.now order by lapses_at limit 1);
  if v_lapsed.lapses_at is not null then
    -- What is due may have expired: that it was queued is told before that it was cancelled.
    v_bits := celeriac.finish(c);
    c := celeriac.begin_change(c.now);
    -- Somebody may hold what follows from it: that holds up nothing else.
    begin
      v_bits := v_bits | celeriac.move_due(c.now, v_lapsed);
    exception when lock_not_available then
      null;
    end;
  end if;
  if is_turn then
    v_calm := celeriac.noted('calm_at');
    has_chores := celeriac.take_chores(c.now);
    has_late := exists (select 1 from celeriac.late_jobs(c.now, 0, 1));
    select coalesce(array_agg(number), '{}'), coalesce(array_agg(name), '{}') into sessions, names from (
      select number, name from celeriac.sessions where losing is not null
      union all
      select number, name from celeriac.sessions
      where ended_at is null and losing is null and expires_at <= c.now and v_calm + expires_at - seen_at <= c.now
      limit ${sessionsPerTurn}) lost;
    next_in := celeriac.foresee(c.now);
  end if;
  bits := celeriac.finish(c) | v_bits | case when exists (select 1 from celeriac.work) then 8 else 0 end;
  if not is_turn then next_in := celeriac.next_sweep_in(c.now); end if;
  return next;
end $$;

create or replace function celeriac.noted(a_key text) returns bigint language plpgsql volatile as $$
begin
  return (select coalesce((select value::bigint from celeriac.meta where key = a_key), 0));
end $$;
create or replace function celeriac.note(a_key text, a_value bigint) returns void language sql as $$
  insert into celeriac.meta (key, value) values (a_key, a_value) on conflict (key) do update set value = excluded.value
$$;

-- ── sessions ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Ends a session at once, and gives some of the jobs that it held. Who is to blame is decided at once for all of them. A session
-- that is renewing itself at this moment lives.
create or replace function celeriac.lose_session(a_now bigint, a_session bigint, a_after bigint)
returns table (seq bigint, id text) language plpgsql ${unhurried} as $$
#variable_conflict use_column
declare
  v_now bigint := celeriac.instant(a_now);
  v_suspects integer;
  v_seqs bigint[];
begin
  perform 1 from celeriac.sessions where number = a_session and ended_at is null and expires_at <= v_now for update skip locked;
  if found then
    select count(*) into v_suspects from celeriac.running_of(a_session) j where j.crashes > 0;
    update celeriac.sessions set ended_at = v_now, lost = 1,
      losing = case v_suspects when 0 then ${blame.everybody} when 1 then ${blame.onlySuspect} else ${blame.suspects} end
    where number = a_session;
  end if;
  perform 1 from celeriac.sessions where number = a_session and losing is not null;
  if not found then return; end if;
  v_seqs := array(select j.seq from celeriac.running_of(a_session) j where j.seq > a_after order by j.seq limit ${jobsPerStep});
  if cardinality(v_seqs) = 0 and a_after = 0 then
    update celeriac.sessions set losing = null where number = a_session;
    delete from celeriac.claims where session = a_session;
  end if;
  return query select j.seq, j.id from celeriac.jobs j where j.seq = any(v_seqs) order by j.seq;
end $$;

create or replace function celeriac.running_of(a_session bigint) returns table (seq bigint, crashes integer) language plpgsql as $$
#variable_conflict use_column
begin
  return query select j.seq, j.crashes from celeriac.claims k cross join ${runningOf} where k.session = a_session;
end $$;

-- Locks running jobs, their collections first, in order. Passes over what others hold: that is left to the next turn.
create or replace function celeriac.hold_running(a_seqs bigint[]) returns bigint[] language plpgsql as $$
#variable_conflict use_column
declare
  v_collections bigint[] := array(select distinct collection from celeriac.jobs where seq = any(a_seqs) and collection <> seq);
  v_held bigint[] := array(
    select number from celeriac.collections where number = any(v_collections) order by number for no key update skip locked);
begin
  v_held := v_held || array(
    select seq from celeriac.jobs where seq = any(v_collections) order by seq for no key update skip locked);
  -- Not \`hold\`: one that was put in line meanwhile stays there.
  return array(
    select seq from celeriac.jobs where seq = any(a_seqs) and state = 3 and (collection = seq or collection = any(v_held))
    order by seq for update skip locked);
end $$;

-- A session that came back to life keeps what is left.
create or replace function celeriac.give_up_jobs(a_now bigint, a_session bigint, a_seqs bigint[])
returns table (bits integer, count integer) language plpgsql ${unhurried} as $$
#variable_conflict use_column
declare
  c celeriac.change := celeriac.begin_change(a_now);
  v_whose integer;
  r record;
begin
  count := 0;
  select losing into v_whose from celeriac.sessions where number = a_session and losing is not null for update;
  if v_whose is not null then
    select s.c, s.released into r from celeriac.give_up(c, a_session, v_whose, celeriac.hold_running(a_seqs)) s;
    c := r.c;
    count := r.released;
  end if;
  bits := celeriac.finish(c);
  return next;
end $$;

create or replace function celeriac.give_up(
  inout c celeriac.change, a_session bigint, a_whose integer, a_seqs bigint[], out released integer
) language plpgsql as $$
#variable_conflict use_column
declare
  v_whose integer := a_whose;
  v_lost bigint[];
  v_words text[];
  v_ends celeriac.ending[];
  v_puts celeriac.putting[];
begin
  with held as (
    select j.seq, j.attempt, j.marked_at, j.reason, s.name as worker, n.value as words, ${suspicionAfter} as crashes
    from celeriac.jobs j join celeriac.sessions s on s.number = j.session
      left join celeriac.notes n on n.job = j.seq and n.name = concat('!', j.attempt)
    where j.seq = any(a_seqs) and j.state = 3 and j.session = a_session
  )
  select
    array_agg(case when marked_at is not null then row(seq, 3, 6, coalesce(reason, 3), seq, null, false)::celeriac.ending
      else row(seq, 3, 5, 2, seq, ${poisonedFailure}, false)::celeriac.ending
      end order by seq) filter (where marked_at is not null or crashes >= ${suspicion.poisoned}),
    array_agg(row(seq, 0, null, false, true, true, crashes)::celeriac.putting order by seq)
      filter (where marked_at is null and crashes < ${suspicion.poisoned}),
    array_agg(seq order by seq) filter (where marked_at is null and crashes < ${suspicion.poisoned}),
    array_agg(words order by seq) filter (where marked_at is null and crashes < ${suspicion.poisoned}),
    count(*)
  into v_ends, v_puts, v_lost, v_words, released from held;
  if v_ends is not null then c := celeriac.end_jobs(c, v_ends); end if;
  if v_puts is null then return; end if;
  c := celeriac.record_attempts(c, v_lost, 6, v_words);
  c := celeriac.put_back(c, v_puts);
end $$;

-- ── deadlines ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- Jobs that were told to stop and run, with when they were told.
create or replace function celeriac.told_to_stop() returns table (seq bigint, marked_at bigint) language sql stable as $$
  select j.seq, j.marked_at from celeriac.claims k cross join ${runningOf} where k.marked_at is not null and j.marked_at is not null
$$;

-- Jobs whose worker did not stop them in time, though its session lives: its event loop is blocked, or the handler does not
-- listen.
create or replace function celeriac.late_jobs(a_now bigint, a_after bigint, a_limit integer)
returns table (seq bigint, id text) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  v_now bigint := celeriac.instant(a_now);
  v_calm bigint := celeriac.noted('calm_at');
  v_seqs bigint[] := array(
    select t.seq from (
      select seq from celeriac.told_to_stop() where ${isPastGrace('v_now')}
      union select seq from celeriac.jobs where state = 3 and ${isPastDeadline('v_now')} offset 0) t
    where t.seq > a_after order by t.seq limit a_limit);
begin
  return query select j.seq, j.id from celeriac.jobs j where j.seq = any(v_seqs) order by j.seq;
end $$;

create or replace function celeriac.stop_jobs(a_now bigint, a_random double precision, a_seqs bigint[])
returns table (bits integer, count integer) language plpgsql ${unhurried} as $$
#variable_conflict use_column
declare
  c celeriac.change := celeriac.begin_change(a_now);
  v_calm bigint := celeriac.noted('calm_at');
  v_seqs bigint[] := celeriac.hold_running(a_seqs);
  v_ends celeriac.ending[];
  v_puts celeriac.putting[];
  v_failures text[];
begin
  with late as (
    select seq, marked_at, reason, ${failure('JobTimedOut', about(lateMessage, 'timeout'))} as failure,
      -- Another number for each, as even as chance.
      celeriac.retry_wait(options, failures, (a_random + row_number() over (order by seq) * 0.6180339887498949)::numeric % 1) as delay
    from celeriac.jobs where seq = any(v_seqs) and state = 3 and (${isPastGrace('c.now')} or ${isPastDeadline('c.now')})
  )
  select
    array_agg(case when marked_at is not null then row(seq, 3, 6, coalesce(reason, 3), seq, null, false)::celeriac.ending
      else row(seq, 3, 5, 1, seq, failure, false)::celeriac.ending end order by seq) filter (where marked_at is not null or delay is null),
    array_agg(row(seq, delay, failure, false, true, false, 0)::celeriac.putting order by seq) filter (where marked_at is null and delay is not null),
    array_agg(failure order by seq) filter (where marked_at is null and delay is not null),
    count(*)
  into v_ends, v_puts, v_failures, count from late;
  c.cancel := c.cancel or count > 0;
  if v_ends is not null then c := celeriac.end_jobs(c, v_ends); end if;
  if v_puts is not null then
    c := celeriac.record_attempts(c, array(select seq from unnest(v_puts)), 3, v_failures);
    c := celeriac.put_back(c, v_puts);
  end if;
  bits := celeriac.finish(c);
  return next;
end $$;

-- The wait before another attempt; null where there is none. Options that cannot be read have no policy, and hold up no other job.
create or replace function celeriac.retry_wait(a_options text, a_failures integer, a_random numeric) returns bigint language plpgsql as $$
declare
  v_policy json;
begin
  if a_options is null then return null; end if;
  v_policy := a_options::json -> 'retry';
  if a_failures < (v_policy ->> 'limit')::integer then return celeriac.retry_delay(v_policy, a_failures, a_random); end if;
  return null;
exception when others then
  return null;
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
  return greatest(${shortestRetryDelay}, round(case when (a_policy ->> 'jitter')::boolean then v_full / 2 + v_full / 2 * a_random::double precision else v_full end));
end $$;

-- ── what comes next ─────────────────────────────────────────────────────────────────────────────────────────────────

-- When the next turn is to be taken, as far as can be foreseen. Kept, so that others need not look for it. Gives in how long to
-- sweep again.
create or replace function celeriac.foresee(a_now bigint) returns bigint language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  v_now bigint := celeriac.instant(a_now);
  v_calm bigint := celeriac.noted('calm_at');
  v_at bigint := (select least(
    (select v_now from celeriac.sessions where losing is not null limit 1),
    -- At least twice in the shortest lease, so that a gap is one.
    (select least(min(greatest(expires_at, v_calm + expires_at - seen_at)), v_now + min(expires_at - seen_at) / 2)
     from celeriac.sessions where ended_at is null),
    (select min(case when greatest(deadline_at, timeout) >= ${endlessSpan} then null when started_at < v_calm then greatest(deadline_at, v_calm + timeout) else deadline_at end) + ${deadlineGrace}
     from (select started_at, deadline_at, timeout from celeriac.jobs where deadline_at is not null order by deadline_at limit ${jobsPerStep}) d),
    (select min(greatest(marked_at, v_calm)) + ${cancelGrace} from celeriac.told_to_stop())));
begin
  -- What is due and stays due, since it failed or others hold it, waits for the next turn.
  if v_at <= v_now then v_at := v_now + ${turnLength}; end if;
  perform celeriac.note('sweep_at', coalesce(v_at, 0));
  return celeriac.next_sweep_in(v_now);
end $$;

-- In how long something will have to be swept again, as far as can be foreseen.
create or replace function celeriac.next_sweep_in(a_now bigint) returns bigint language plpgsql volatile as $$
begin
  return (select least(
    (select 0 from celeriac.work limit 1),
    (select due_at from celeriac.jobs where due_at is not null order by due_at limit 1),
    -- What is over in the calm after a gap waits for its end.
    (select case when lapses_at <= a_now then greatest(lapses_at, celeriac.noted('calm_until')) else lapses_at end
     from celeriac.jobs where lapses_at is not null order by lapses_at limit 1),
    nullif(celeriac.noted('sweep_at'), 0)) - a_now);
end $$;
`
