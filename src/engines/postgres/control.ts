import type { CancelAnswer, QueueSettings, Selection } from '../../engine/control.ts'
import { hot } from './change.ts'
import type { Requests } from './database.ts'
import { anywhere } from './line.ts'

export const collectionIdIn = (selection: Selection): string | null =>
  'collectionId' in selection ? selection.collectionId : null
export const jobIdIn = (selection: Selection): string | null => ('jobId' in selection ? selection.jobId : null)

export async function cancel(
  requests: Requests,
  now: number | null,
  selection: Selection,
): Promise<{ readonly answer: CancelAnswer; readonly bits: number }> {
  const rows = await requests.call<readonly [bits: number, answer: CancelAnswer]>(
    'cancel',
    now,
    collectionIdIn(selection),
    jobIdIn(selection),
  )
  const [bits, answer] = rows[0] as NonNullable<(typeof rows)[0]>
  return { answer, bits }
}

export async function putQueues(
  requests: Requests,
  now: number | null,
  settings: readonly QueueSettings[],
): Promise<void> {
  // The last word about a queue counts.
  const last = [...new Map(settings.map(({ name, paused }) => [name, paused]))].sort(([one], [other]) =>
    one < other ? -1 : 1,
  )
  await requests.call(
    'put_queues',
    now,
    last.map(([name]) => name),
    last.filter(([, paused]) => paused).map(([name]) => name),
  )
}

interface Pages {
  readonly name: string
  readonly parameters?: string
  readonly variables?: string
  readonly next: 'next_members' | 'next_barriers'
  /** SQL for the numbers in `v_page`. */
  readonly step: string
}

/** A function that goes over the jobs or the barriers of a collection in the order of their numbers, for as long as the call may. */
export const overPages = ({ name, parameters = '', variables = '', next, step }: Pages): string => `
create or replace function celeriac.${name}(
  inout c celeriac.change, a_collection bigint, ${parameters} inout after bigint, out done boolean
) language plpgsql as $$
#variable_conflict use_column
declare
  v_page bigint[];${variables}
begin
  loop
    done := false;
    if c.rows_left <= 0 then return; end if;
    v_page := celeriac.${next}(a_collection, after, c.rows_left);
    done := cardinality(v_page) = 0;
    if done then return; end if;${step}
    after := v_page[cardinality(v_page)];
    -- Reading costs a tenth of writing.
    c.rows_left := c.rows_left - (cardinality(v_page) + 9) / 10;
  end loop;
end $$;
`

export const controlFunctions = `
create or replace function celeriac.cancel(a_now bigint, a_collection_id text, a_job_id text) returns table (bits integer, answer text)
language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  c celeriac.change := celeriac.begin_change(a_now);
  v_collection bigint;
  v_seq bigint;
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
    select s.* into r from celeriac.cancel_collection(c, v_collection) s;
    c := r.c;
    answer := r.answer;
  else
    select s.* into r from celeriac.cancel_job(c, v_seq, 3) s;
    c := r.c;
    answer := r.answer;
  end if;
  return query select celeriac.finish(c), answer;
end $$;

-- A collection or a job by the id that people know. A job alone is its own collection: then there is no seq.
create or replace function celeriac.selected(a_collection_id text, a_job_id text, out collection bigint, out seq bigint) language plpgsql as $$
#variable_conflict use_column
begin
  select number into collection from celeriac.collections where id = a_collection_id and removed_at is null;
  if collection is not null then return; end if;
  select j.collection, nullif(j.seq, j.collection) into collection, seq from celeriac.jobs j where j.id = coalesce(a_job_id, a_collection_id)
    and not exists (select 1 from celeriac.collections n where n.number = j.collection and n.removed_at is not null);
  if a_job_id is null and seq is not null then
    collection := null;
    seq := null;
  end if;
end $$;

-- ── a collection ────────────────────────────────────────────────────────────────────────────────────────────────────

-- Marks the collection at once; its jobs follow, some in this call. It is held already.
create or replace function celeriac.cancel_collection(inout c celeriac.change, a_number bigint, out answer text) language plpgsql as $$
declare
  n celeriac.collections;
  j celeriac.jobs;
begin
  select * into n from celeriac.collections where number = a_number;
  if n.number is not null then
    answer := case when n.state = 0 then 'marked' else 'final' end;
    if n.state > 0 or n.cancelled_at is not null then return; end if;
    update celeriac.collections set cancelled_at = c.now where number = a_number;
  else
    perform celeriac.hold(array[a_number]);
    select * into j from celeriac.jobs where seq = a_number;
    -- A unique key held until a time may outlive who took it.
    answer := case when j.seq is null or j.state > 3 then 'final' when j.state in (1, 2) then 'cancelled' else 'marked' end;
    if answer = 'final' or j.marked_at is not null then return; end if;
    update celeriac.jobs set marked_at = c.now, reason = 3 where seq = a_number;
  end if;
  c.items := c.items || row(a_number, 1, a_number, 0)::celeriac.item;
end $$;

-- The next jobs of a collection in the order of their numbers.
create or replace function celeriac.next_members(a_collection bigint, a_after bigint, a_limit integer) returns bigint[] language plpgsql stable as $$
begin
  return (select array(select seq from celeriac.jobs where seq = a_collection and collection = seq and seq > a_after)
    || array(select seq from celeriac.jobs where collection = a_collection and collection <> seq and seq > a_after order by seq limit a_limit));
end $$;

-- Cancels the main jobs of a collection, or only those of one fail-fast scope. What waits in a cancelled collection goes by the
-- collection's mark; in a scope each job carries its own.
${overPages({
  name: 'cancel_members',
  parameters: 'a_scope bigint,',
  next: 'next_members',
  step: `
    c := celeriac.cancel_some(c, array(
      select seq from celeriac.jobs where seq = any(v_page) and role = 0 and archived is null and state < 4
        and case when a_scope is null then state > 0 else scope = a_scope end), case when a_scope is null then 3 else 5 end);`,
})}
-- ── jobs ────────────────────────────────────────────────────────────────────────────────────────────────────────────

create or replace function celeriac.cancel_job(inout c celeriac.change, a_seq bigint, a_reason integer, out answer text) language plpgsql as $$
declare
  j celeriac.jobs;
begin
  perform celeriac.hold(array[a_seq]);
  select * into j from celeriac.jobs where seq = a_seq;
  answer := case when j.state > 3 then 'final' when j.state in (1, 2) then 'cancelled' else 'marked' end;
  if j.state > 3 then return; end if;
  c := celeriac.cancel_some(c, array[a_seq], a_reason);
  if j.continuation is not null then c.items := c.items || row(j.collection, 3, a_seq, 0)::celeriac.item; end if;
end $$;

-- Ends what has not begun, and marks the rest: to be cancelled once what holds it up allows.
create or replace function celeriac.cancel_some(inout c celeriac.change, a_seqs bigint[], a_reason integer) language plpgsql as $$
#variable_conflict use_column
declare
  v_ends celeriac.ending[];
  v_running bigint[];
  v_count integer;
begin
  if cardinality(a_seqs) = 0 then return; end if;
  perform celeriac.hold(a_seqs);
  v_ends := array(
    select row(seq, state, 6, a_reason, seq, null, false)::celeriac.ending from celeriac.jobs
    where seq = any(a_seqs) and state in (1, 2) order by seq);
  with marked as (
    update celeriac.jobs set marked_at = coalesce(marked_at, c.now), reason = a_reason
    where seq = any(a_seqs) and state in (0, 3) and (marked_at is null or seq = collection) returning seq
  )
  select count(*) into v_count from marked;
  update celeriac.claims k set marked_at = c.now from (
    select distinct session, token from celeriac.jobs where seq = any(a_seqs) and state = 3) j
  where k.session = j.session and k.token = j.token and k.marked_at is null;
  c.rows_left := c.rows_left - v_count;
  c.cancel := c.cancel or exists (select 1 from celeriac.jobs where seq = any(a_seqs) and state = 3);
  c := celeriac.end_jobs(c, v_ends);
end $$;

-- Cancels what a job continued as.
create or replace function celeriac.cancel_inside(inout c celeriac.change, a_parent bigint, inout after bigint, out done boolean) language plpgsql as $$
#variable_conflict use_column
declare
  v_limit integer := greatest(c.rows_left, 1);
  v_page bigint[] := array(
    select seq from celeriac.jobs where parent = a_parent and archived is null and seq > after order by seq limit v_limit);
  v_open bigint[] := array(select seq from celeriac.jobs where seq = any(v_page) and state < 4);
begin
  c.items := c.items || array(
    select row(collection, 3, seq, 0)::celeriac.item from celeriac.jobs where seq = any(v_open) and continuation is not null order by seq);
  c := celeriac.cancel_some(c, v_open, 3);
  after := coalesce(v_page[cardinality(v_page)], after);
  done := cardinality(v_page) < v_limit;
end $$;

create or replace function celeriac.put_queues(a_now bigint, a_names text[], a_paused text[]) returns void language plpgsql as $$
begin
  delete from celeriac.queues where name = any(array(
    select name from celeriac.queues where name = any(a_names) and name <> all(a_paused) order by name for update));
  -- Claims have not kept where the lines of a paused queue begin.
  if found then
    insert into celeriac.events (number, at, changes, heads)
    values (nextval('celeriac.event_numbers'), celeriac.instant(a_now), '[]', array[${anywhere}]);
  end if;
  insert into celeriac.queues (name, paused) select name, 1 from unnest(a_paused) name on conflict (name) do nothing;
end $$;
`
