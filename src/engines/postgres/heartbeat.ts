import { logLimit } from '../../engine/limits.ts'
import type { Heartbeat, HeartbeatAnswer, Note } from '../../engine/work.ts'
import { eachJob, runningOf } from './change.ts'
import type { Ref } from './claim.ts'
import type { Requests } from './database.ts'
import { patiently } from './held.ts'

type Row = readonly [bits: number, lost: readonly number[], toCancel: string]

export async function heartbeat(
  requests: Requests,
  now: number | null,
  { session, lease, held, progress, log, notes = [], tallies, ended }: Heartbeat,
): Promise<{ readonly answer: HeartbeatAnswer; readonly bits: number }> {
  // Of what came in between two beats the last word counts.
  const last = [...new Map(progress.map((each) => [(each.ref as Ref).seq, each])).values()]
  const rows = await requests.call<Row>(
    'heartbeat',
    now,
    session.id,
    session.name,
    session.host,
    session.pid,
    session.queues === null ? null : JSON.stringify(session.queues),
    session.concurrency,
    lease,
    ended ?? false,
    held?.map(({ ref }) => (ref as Ref).seq) ?? null,
    held?.map(({ token }) => token) ?? null,
    last.length === 0 ? null : last.map(({ ref }) => (ref as Ref).seq),
    last.length === 0 ? null : last.map(({ token }) => token),
    last.length === 0 ? null : last.map((each) => JSON.stringify(each.progress)),
    log.length === 0
      ? null
      : JSON.stringify(log.map(({ ref, token, line }) => ({ job: (ref as Ref).seq, token, ...line }))),
    tallies === undefined ? null : JSON.stringify(tallies),
    notes.length === 0
      ? null
      : JSON.stringify(notes.map(({ ref, token, note }) => ({ job: (ref as Ref).seq, token, ...note }))),
  )
  const [bits, lost, toCancel] = rows[0] as Row
  return {
    answer: {
      lost: lost.flatMap((at) => held?.slice(at - 1, at).map(({ id, token }) => ({ id, token })) ?? []),
      toCancel: JSON.parse(toCancel) as HeartbeatAnswer['toCancel'],
    },
    bits,
  }
}

export const notesOf = (requests: Requests, seq: number): Promise<readonly Note[]> =>
  requests.all<Note>('select name, value from celeriac.notes where job = $1 order by name', seq)

export const heartbeatFunctions = `
create or replace function celeriac.heartbeat(
  a_now bigint, a_id text, a_name text, a_host text, a_pid integer, a_queues text, a_concurrency integer, a_lease bigint,
  a_ended boolean, a_held bigint[], a_held_tokens bigint[], a_jobs bigint[], a_tokens bigint[], a_progress text[], a_log json,
  a_tallies json, a_notes json
) returns table (bits integer, lost integer[], to_cancel text) language plpgsql ${patiently} as $$
#variable_conflict use_column
declare
  c celeriac.change := celeriac.begin_change(a_now);
  v_session bigint := celeriac.renew(c.now, a_id, a_name, a_host, a_pid, a_queues, a_concurrency, a_lease);
  v_release bigint[];
begin
  lost := '{}';
  to_cancel := '[]';
  if a_jobs is not null then c := celeriac.store_progress(c, a_jobs, a_tokens, a_progress); end if;
  if a_log is not null then perform celeriac.store_lines(a_log); end if;
  if a_notes is not null then perform celeriac.store_notes(a_notes); end if;
  if a_tallies is not null then perform celeriac.store_tallies(v_session, a_tallies); end if;
  if a_ended then
    c := celeriac.give_back(c, celeriac.hold_running(
      array(select j.seq from celeriac.claims k cross join ${runningOf} where k.session = v_session)));
    delete from celeriac.claims k where k.session = v_session and not exists (select 1 from ${runningOf});
    -- What somebody holds is left to whoever sweeps next, as if this worker had died.
    update celeriac.sessions set expires_at = c.now, ended_at = case
      when not exists (select 1 from celeriac.claims where session = v_session) then c.now end where number = v_session;
  elsif a_held is not null then
    lost := array(
      select h.at::integer from unnest(a_held, a_held_tokens) with ordinality h (seq, token, at)
        left join celeriac.jobs j on j.seq = h.seq and j.state = 3 and j.session = v_session and j.token = h.token
      where j.seq is null order by h.at);
    c := celeriac.release_unlisted(c, v_session, a_lease, a_held, a_held_tokens);
    to_cancel := (
      select coalesce(json_agg(json_build_object('id', j.id, 'token', j.token) order by j.seq), '[]')
      from celeriac.claims k cross join ${runningOf} where k.session = v_session and k.marked_at is not null and j.marked_at is not null);
  end if;
  bits := celeriac.finish(c);
  return next;
end $$;

-- A session that was given up as lost comes back to life here: what it held is gone, what it claims from now on is its own.
create or replace function celeriac.renew(
  a_now bigint, a_id text, a_name text, a_host text, a_pid integer, a_queues text, a_concurrency integer, a_lease bigint
) returns bigint language plpgsql as $$
#variable_conflict use_column
declare
  v_session bigint;
begin
  update celeriac.sessions set seen_at = a_now, expires_at = a_now + a_lease where id = a_id and ended_at is null returning number into v_session;
  if v_session is null then
    insert into celeriac.sessions (id, name, host, pid, queues, concurrency, started_at, seen_at, expires_at)
    values (a_id, a_name, a_host, a_pid, a_queues, a_concurrency, a_now, a_now, a_now + a_lease)
    on conflict (id) do update set seen_at = excluded.seen_at, expires_at = excluded.expires_at, ended_at = null, lost = 0, losing = null
    returning number into v_session;
  end if;
  return v_session;
end $$;

create or replace function celeriac.store_progress(inout c celeriac.change, a_jobs bigint[], a_tokens bigint[], a_progress text[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_changes text;
  v_payloads text;
begin
  with stored as (
    update celeriac.jobs j set progress = p.progress from unnest(a_jobs, a_tokens, a_progress) p (seq, token, progress)
    where j.seq = p.seq and j.state = 3 and j.token = p.token returning j.seq, j.collection, j.attempt, j.progress
  )
  select string_agg(concat_ws(',', 20, case when collection = seq then 0 else collection end, seq, attempt), ',' order by seq),
    string_agg(progress, ',' order by seq)
  into v_changes, v_payloads from stored;
  c.changes := concat(c.changes, ',' || v_changes);
  c.payloads := coalesce(c.payloads, '') || ',' || v_payloads;
end $$;

create or replace function celeriac.store_lines(a_log json) returns void language plpgsql as $$
#variable_conflict use_column
begin
  insert into celeriac.log (job, attempt, at, level, message, data)
  select l.job, l.attempt, l.at, l.level, l.message, l.data from (
    select x.value ->> 'data' as data, x.value ->> 'level' as level, x.value ->> 'message' as message, (x.value ->> 'at')::bigint as at,
      (x.value ->> 'attempt')::integer as attempt, (x.value ->> 'job')::bigint as job, (x.value ->> 'token')::bigint as token, x.place,
      row_number() over (partition by x.value ->> 'job' order by x.place) as nth
    from json_array_elements(a_log) with ordinality x (value, place)
  ) l cross join ${eachJob('seq = l.job and token = l.token')}
  where (select count(*) from celeriac.log where job = l.job) + l.nth <= ${logLimit} order by l.place;
end $$;

create or replace function celeriac.store_notes(a_notes json) returns void language plpgsql as $$
#variable_conflict use_column
begin
  insert into celeriac.notes (job, name, value)
  select j.seq, n.name, n.value from json_to_recordset(a_notes) n (job bigint, token bigint, name text, value text)
    cross join ${eachJob('seq = n.job and state = 3 and token = n.token')}
  on conflict do nothing;
end $$;

-- Gives back what the worker does not know it holds: the answer to its claim was lost. What somebody holds is left to the next beat.
create or replace function celeriac.release_unlisted(
  inout c celeriac.change, a_session bigint, a_lease bigint, a_held bigint[], a_tokens bigint[]
) language plpgsql as $$
#variable_conflict use_column
declare
  v_old bigint[] := array(select token from celeriac.claims where session = a_session and claimed_at + a_lease <= c.now);
begin
  if cardinality(v_old) = 0 then return; end if;
  c := celeriac.give_back(c, celeriac.hold_running(array(
    select j.seq from celeriac.claims k cross join ${runningOf} where k.session = a_session and k.token = any(v_old)
      and not exists (select 1 from unnest(a_held, a_tokens) h (seq, token) where h.seq = j.seq and h.token = j.token))));
  perform celeriac.recount_claims(array(select a_session from unnest(v_old)), v_old);
end $$;

-- Back in line, and no crash: the worker never ran it, or is well.
create or replace function celeriac.give_back(inout c celeriac.change, a_seqs bigint[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_seqs bigint[];
begin
  if cardinality(a_seqs) = 0 then return; end if;
  perform celeriac.hold_collections(array(select distinct collection from celeriac.jobs where seq = any(a_seqs) and collection <> seq));
  v_seqs := array(select seq from celeriac.jobs where seq = any(a_seqs) and state = 3 order by seq for update);
  c := celeriac.end_jobs(c, array(
    select row(seq, 3, 6, coalesce(reason, 3), seq, null, false)::celeriac.ending from celeriac.jobs
    where seq = any(v_seqs) and marked_at is not null order by seq));
  v_seqs := array(select seq from celeriac.jobs where seq = any(v_seqs) and state = 3 order by seq);
  c := celeriac.record_attempts(c, v_seqs, 5, null);
  c := celeriac.put_back(c, array(select row(seq, 0, null, false, true, false, null)::celeriac.putting from unnest(v_seqs) seq));
end $$;
`
