import type { StoredOptions } from '../../core/job.ts'
import type { ClaimAnswer, ClaimedJob, ClaimRequest, JobInput } from '../../engine/work.ts'
import { entryOf, headsOf, hot, lineUp } from './change.ts'
import { roleName } from './codes.ts'
import type { Requests } from './database.ts'
import { readInput } from './gather.ts'

/** What this engine wants to be told again of a job that was claimed. None of it changes while the job runs. */
export interface Ref {
  readonly seq: number
  readonly collection: number
  readonly attempt: number
  readonly version: number
  readonly role: number
  readonly feeds: number | null
  readonly scope: number | null
  readonly depth: number
  readonly session: number
}

/**
 * Where the lines begin, as a claim found it: text that the functions make and read. The next one goes on from there, and
 * looks up what calls committed since have put in line before it. What was claimed stays in the index until no transaction
 * could still see it; while a long one is open somewhere, a claim that began at the front would pass over all of it.
 *
 * That is exact. All the same a claim does begin at the front now and then, seldom enough for what it takes not to matter:
 * what was put in line by hand has left no event.
 */
export class Place {
  #text: string | null = null
  #whole = -Infinity

  /** @param now from a clock for measuring, in milliseconds */
  from(now: number): string | null {
    if (now >= this.#whole) this.#text = null
    return this.#text
  }

  keep(text: string, began: number, now: number): void {
    if (this.#text === null) this.#whole = now + Math.max(shortestWhole, (now - began) * wholeShare)
    this.#text = text
  }

  forget(): void {
    this.#text = null
  }
}
const shortestWhole = 10_000
const wholeShare = 100

type Row = readonly [
  seq: number | null,
  collection: number,
  attempt: number,
  version: number,
  role: number,
  feeds: number | null,
  scope: number | null,
  depth: number,
  id: string,
  task: string,
  queue: string,
  args: string,
  options: string | null,
  round: number,
  failures: number,
  createdAt: number,
  deadlineAt: number | null,
  collectionId: string,
  actor: string | null,
  behind: number | null,
  input: string | null,
  result: string | null,
]

export interface Claimed {
  readonly answer: ClaimAnswer
  readonly bits: number
  readonly place: string | null
  /** The instant by the store's clock. */
  readonly now: number
}

export async function claim(
  requests: Requests,
  now: number | null,
  { session, token, limit, queues }: ClaimRequest,
  place: string | null,
): Promise<Claimed> {
  const [first, ...rows] = await requests.call<Row>('claim', now, session, token, limit, queues, place)
  // The first row is about the claim itself.
  const [, bits, , , , , , , found, , , , , , , at, nextAt, , , number] = first as Row
  const about = { token, session: number as number, now: at }
  return { answer: { jobs: rows.map((row) => claimedJob(row, about)), nextAt }, bits, place: found, now: at }
}

interface About {
  readonly token: number
  readonly session: number
  readonly now: number
}

function claimedJob(row: Row, { token, session, now }: About): ClaimedJob {
  const [seq, collection, attempt, version, role, feeds, scope, depth, id, task, queue, args, options, round] = row
  const [, , , , , , , , , , , , , , failures, createdAt, deadlineAt, collectionId, actor] = row
  return {
    ref: { seq: seq as number, collection, attempt, version, role, feeds, scope, depth, session } satisfies Ref,
    token,
    id,
    collectionId,
    task,
    args,
    role: roleName(role),
    attempt,
    failures,
    round,
    queue,
    options: readOptions(options),
    actor: actor === null ? null : { id: actor },
    depth,
    createdAt,
    deadlineAt,
    input: inputIn(row, now),
  }
}

/** One short result comes as it is, everything else as JSON. */
function inputIn(row: Row, now: number): JobInput {
  const [behind, input, result] = [row[19], row[20], row[21]]
  if (input === null) return nothing
  if (!input.startsWith('r')) return readInput(input, now)
  return { from: 'results', shape: input.slice(1), barrier: behind, results: [{ json: result }] }
}
const nothing: JobInput = { from: 'nothing' }

/** Most jobs of a task carry the same options, so the text is read once. */
const known = new Map<string, StoredOptions>()
const none: StoredOptions = {}
export function readOptions(text: string | null): StoredOptions {
  if (text === null) return none
  let options = known.get(text)
  if (options === undefined) {
    if (known.size > 1_000) known.clear()
    known.set(text, (options = JSON.parse(text) as StoredOptions))
  }
  return options
}

/** Results so short that they come along without being counted together. */
const shortResult = 16_384
/** At most so many due or expired jobs are moved by one claim. */
export const movedPerCall = 500
/** With more calls than this since, it is quicker to begin at the front. */
const mostArrivals = 1_000

const taken = `
  select j.seq, j.collection, j.attempt, j.version, j.role::integer, j.feeds, j.scope, j.depth, j.id, j.task, j.queue, j.args, j.options, j.round,
    j.failures, j.created_at, j.deadline_at, coalesce(n.id, o.id, j.id), coalesce(n.actor, o.actor, j.actor), j.behind,
    case when j.input is null or r.is_short then j.input else celeriac.read_input(j.seq, j.collection, j.input, j.behind) end, r.result
  from claimed j
    left join lateral (select id, actor from celeriac.collections where number = j.collection and j.collection <> j.seq offset 0) n on true
    left join lateral (select id, actor from celeriac.jobs where seq = j.collection and n.id is null and j.collection <> j.seq offset 0) o on true
    left join lateral (
      select f.result, true as is_short from celeriac.barriers b join celeriac.jobs f on f.feeds = b.number
      where b.number = j.behind and j.input like 'r%' and b.inputs = 1 and f.continuation is null and f.archived is null
        and coalesce(length(f.result), 0) <= ${shortResult} offset 0) r on true
  order by j.priority desc, j.collection, j.seq`

export const claimFunctions = `
-- Gives a row about the claim itself (bits, instant, nextAt, session and place) and one for each job.
create or replace function celeriac.claim(
  a_now bigint, a_session text, a_token bigint, a_limit integer, a_queues text[], a_place text
) returns table (seq bigint, collection bigint, attempt integer, version integer, role integer, feeds bigint, scope bigint, depth integer,
  id text, task text, queue text, args text, options text, round integer, failures integer, created_at bigint, deadline_at bigint,
  collection_id text, actor text, behind bigint, input text, result text) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  v_now bigint := celeriac.instant(a_now);
  v_session bigint;
  v_seqs bigint[];
  v_place celeriac.place;
  v_bits integer := 0;
  r record;
begin
  select s.number into v_session from celeriac.sessions s where s.id = a_session and s.ended_at is null;
  collection := 0;
  if v_session is null then
    id := a_place;
    return next;
    return;
  end if;
  select s.* into r from celeriac.look(v_now, a_place) s;
  v_place := r.place;
  v_bits := r.bits;
  select k.seqs into v_seqs from celeriac.claims k where k.session = v_session and k.token = a_token;
  if v_seqs is null then
    select s.* into r from celeriac.take(v_session, a_limit, a_queues, v_place) s;
    v_place := r.place;
    v_seqs := r.seqs;
    if v_seqs is not null then v_bits := v_bits | 2; end if;
  else
    v_bits := v_bits | 16;
  end if;
  collection := v_bits;
  created_at := v_now;
  deadline_at := v_place.due_at;
  behind := v_session;
  id := v_place::text;
  return next;
  if v_seqs is null then return; end if;
  if v_bits & 16 <> 0 then
    -- Asked again because its answer was lost: what still runs of it.
    return query with claimed as (
      select * from celeriac.jobs j where j.seq = any(v_seqs) and j.state = 3 and j.session = v_session and j.token = a_token
    ) ${taken};
    return;
  end if;
  return query with claimed as materialized (
    update celeriac.jobs j set state = 3, session = v_session, token = a_token, attempt = j.attempt + 1, version = j.version + 1,
      started_at = v_now, deadline_at = v_now + j.timeout, lapses_at = null, finished_at = null, progress = null
    where j.seq = any(v_seqs) and j.state = 2 returning j.*
  ),
  kept as (
    insert into celeriac.claims (session, token, claimed_at, running, seqs)
    select v_session, a_token, v_now, count(*), array_agg(seq) from claimed having count(*) > 0
  ),
  told as (
    insert into celeriac.events (number, at, changes)
    select nextval('celeriac.event_numbers'), v_now, concat('[', string_agg(${entryOf}, ',' order by priority desc, collection, seq), ']')
    from claimed having count(*) > 0
  ),
  started as (
    delete from celeriac.unique_keys where until = 'started' and collection in (
      select collection from claimed where unique_claim is not null or collection <> seq)
  ) ${taken};
end $$;

-- ── where the lines begin ───────────────────────────────────────────────────────────────────────────────────────────

-- Brings the place up to date with what other calls have put in line since, queues what is due and ends what has expired.
create or replace function celeriac.look(a_now bigint, a_place text, out place celeriac.place, out bits integer) language plpgsql as $$
declare
  r record;
begin
  bits := 0;
  place := case when a_place is null then celeriac.whole_place() else celeriac.next_place(a_place::celeriac.place) end;
  if place.due_at <= a_now or place.lapses_at <= a_now then
    bits := celeriac.move_due(a_now, place);
    place := celeriac.next_place(place);
  end if;
  if place.due_at is not null then
    place.due_at := (select due_at from celeriac.jobs where due_at >= place.due_at order by due_at limit 1);
  end if;
  if place.lapses_at is not null then
    place.lapses_at := (select lapses_at from celeriac.jobs where lapses_at >= place.lapses_at order by lapses_at limit 1);
  end if;
end $$;

-- The snapshot is taken first: what is committed after it is looked up the next time, seen or not.
create or replace function celeriac.whole_place() returns celeriac.place language plpgsql as $$
declare
  p celeriac.place;
begin
  p.snapshot := pg_current_snapshot();
  p.heads := array(
    with recursive lines as (
      (select queue, rank from celeriac.ready order by queue, rank limit 1)
      union all
      select n.queue, n.rank from lines l cross join lateral (
        select queue, rank from celeriac.ready r where (r.queue, r.rank) > (l.queue, l.rank) order by queue, rank limit 1) n
    )
    select row(queue, rank, 0, 0)::celeriac.head from lines);
  p.due_at := (select due_at from celeriac.jobs where due_at is not null order by due_at limit 1);
  p.lapses_at := (select lapses_at from celeriac.jobs where lapses_at is not null order by lapses_at limit 1);
  return p;
end $$;

create or replace function celeriac.next_place(p celeriac.place) returns celeriac.place language plpgsql as $$
#variable_conflict use_column
declare
  v_snapshot pg_snapshot := pg_current_snapshot();
  v_count integer;
  v_heads celeriac.head[];
  v_due_at bigint;
  v_lapses_at bigint;
begin
  with arrived as materialized (
    select heads, due_at, lapses_at from (
      select heads, due_at, lapses_at from celeriac.events where xid >= pg_snapshot_xmax(p.snapshot)
        and (heads is not null or due_at is not null or lapses_at is not null)
      union all
      select heads, due_at, lapses_at from celeriac.events where xid = any(array(select pg_snapshot_xip(p.snapshot)))
        and (heads is not null or due_at is not null or lapses_at is not null)
    ) e limit ${mostArrivals}
  )
  select count(*), min(due_at), min(lapses_at),
    (select array_agg(row(h.queue, h.rank, h.collection, h.seq)::celeriac.head) from arrived a cross join unnest(a.heads) h)
  into v_count, v_due_at, v_lapses_at, v_heads from arrived;
  if v_count = ${mostArrivals} then return celeriac.whole_place(); end if;
  p.snapshot := v_snapshot;
  p.due_at := least(p.due_at, v_due_at);
  p.lapses_at := least(p.lapses_at, v_lapses_at);
  if v_heads is not null then
    p.heads := array(select row(queue, rank, collection, seq)::celeriac.head from (
      select distinct on (queue, rank) * from unnest(p.heads || v_heads) order by queue, rank, collection, seq) h);
  end if;
  return p;
end $$;

-- ── taking ──────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Takes the first jobs of these queues out of the line, in the order in which they are to run.
create or replace function celeriac.take(
  a_session bigint, a_limit integer, a_queues text[], inout place celeriac.place, out seqs bigint[]
) language plpgsql as $$
#variable_conflict use_column
declare
  v_paused text[] := array(select name from celeriac.queues where paused = 1);
  v_left integer := a_limit;
  v_lines celeriac.head[];
  v_known celeriac.head[];
  v_kept celeriac.head[];
  v_seqs bigint[];
  r record;
begin
  if exists (select 1 from celeriac.suspects) then
    seqs := celeriac.take_suspect(a_session, a_queues, v_paused);
    v_left := a_limit - coalesce(cardinality(seqs), 0);
  end if;
  for r in
    select rank, array_agg(h) as lines from unnest(place.heads) h
    where (a_queues is null or queue = any(a_queues)) and queue <> all(v_paused) group by rank order by rank
  loop
    exit when v_left <= 0;
    if cardinality(r.lines) = 1 then
      select t.seqs, t.lines into v_seqs, v_kept from celeriac.take_line((r.lines)[1], v_left) t;
    else
      select t.seqs, t.lines into v_seqs, v_kept from celeriac.take_lines(r.lines, v_left) t;
    end if;
    seqs := seqs || v_seqs;
    v_left := v_left - coalesce(cardinality(v_seqs), 0);
    v_known := v_known || r.lines;
    v_lines := v_lines || v_kept;
  end loop;
  if v_known is null then return; end if;
  place.heads := coalesce(v_lines, '{}') || array(
    select h from unnest(place.heads) h where not exists (
      select 1 from unnest(v_known) k where k.queue = h.queue and k.rank = h.rank));
end $$;

-- The line goes on at the first job that can be seen there, also where others are about to take it; without any, it is
-- forgotten until somebody puts one there.
create or replace function celeriac.take_line(a_line celeriac.head, a_limit integer, out seqs bigint[], out lines celeriac.head[])
language plpgsql as $$
#variable_conflict use_column
begin
  with found as (
    delete from celeriac.ready where ctid = any(array(
      select ctid from celeriac.ready where queue = a_line.queue and rank = a_line.rank
        and (collection, seq) >= (a_line.collection, a_line.seq)
      order by queue, rank, collection, seq limit a_limit for update skip locked))
    returning seq
  )
  select array_agg(seq) into seqs from found;
  lines := array(select celeriac.head_of(a_line));
end $$;

-- Of several queues, jobs of one priority.
create or replace function celeriac.take_lines(a_lines celeriac.head[], a_limit integer, out seqs bigint[], out lines celeriac.head[])
language plpgsql as $$
#variable_conflict use_column
begin
  with found as (
    delete from celeriac.ready where ctid = any(array(
      select r.ctid from unnest(a_lines) l cross join lateral (
        select ctid, collection, seq from celeriac.ready where queue = l.queue and rank = l.rank
          and (collection, seq) >= (l.collection, l.seq)
        order by queue, rank, collection, seq limit a_limit for update skip locked) r
      order by r.collection, r.seq limit a_limit))
    returning seq
  )
  select array_agg(seq) into seqs from found;
  lines := array(select h from unnest(a_lines) l cross join lateral celeriac.head_of(l) h);
end $$;

create or replace function celeriac.head_of(a_line celeriac.head) returns setof celeriac.head language sql stable as $$
  select queue, rank, collection, seq from celeriac.ready where queue = a_line.queue and rank = a_line.rank
    and (collection, seq) >= (a_line.collection, a_line.seq) order by queue, rank, collection, seq limit 1
$$;

-- A job whose worker died is taken singly, one in a session at a time, so that another crash counts only for it.
create or replace function celeriac.take_suspect(a_session bigint, a_queues text[], a_paused text[]) returns bigint[] language plpgsql as $$
#variable_conflict use_column
declare
  v_seqs bigint[];
begin
  if exists (
    select 1 from celeriac.claims k cross join unnest(k.seqs) s join celeriac.jobs j on j.seq = s
    where k.session = a_session and j.state = 3 and j.session = k.session and j.token = k.token and j.crashes > 0
  ) then return null; end if;
  with found as (
    delete from celeriac.suspects where ctid = any(array(
      select ctid from celeriac.suspects where (a_queues is null or queue = any(a_queues)) and queue <> all(a_paused)
      order by rank, collection, seq limit 1 for update skip locked))
    returning seq
  )
  select array_agg(seq) into v_seqs from found;
  return v_seqs;
end $$;

-- ── due and expired ─────────────────────────────────────────────────────────────────────────────────────────────────

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
    update celeriac.jobs j set state = 2, due_at = null, version = j.version + 1
    where j.seq = any(array(
      select seq from celeriac.jobs where due_at >= a_from and due_at <= c.now and state = 1 order by due_at limit ${movedPerCall} for update skip locked))
    returning j.seq, j.collection, j.attempt, j.version, j.state, j.queue, j.priority, j.crashes
  ), ${lineUp('due')}
  select string_agg(${entryOf}, ',' order by collection, seq), count(*), ${headsOf('due')} into v_changes, released, v_heads from due;
  c.changes := concat(c.changes, ',' || v_changes);
  c.heads := c.heads || v_heads;
end $$;

-- Cancels the jobs that did not start in time. Never waits: what others hold is left to the next claim or sweep.
create or replace function celeriac.expire(inout c celeriac.change, a_from bigint, out expired integer) language plpgsql as $$
#variable_conflict use_column
declare
  v_late bigint[] := array(
    select seq from celeriac.jobs where lapses_at >= a_from and lapses_at <= c.now order by lapses_at limit ${movedPerCall});
  v_collections bigint[] := array(select distinct collection from celeriac.jobs where seq = any(v_late) and collection <> seq);
  v_held bigint[] := array(
    select number from celeriac.collections where number = any(v_collections) order by number for no key update skip locked);
  v_queued bigint[];
begin
  v_held := v_held || array(
    select seq from celeriac.jobs where seq = any(v_collections) order by seq for no key update skip locked);
  v_late := array(select seq from celeriac.jobs where seq = any(v_late) and (collection = seq or collection = any(v_held)));
  -- Those in line are taken from there as a claim does, and then nobody else has them.
  with found as (
    delete from celeriac.ready where ctid = any(array(
      select r.ctid from celeriac.jobs j join celeriac.ready r on r.queue = j.queue and r.rank = -j.priority and r.collection = j.collection and r.seq = j.seq
      where j.seq = any(v_late) and j.state = 2 for update of r skip locked))
    returning seq
  ),
  suspected as (
    delete from celeriac.suspects where ctid = any(array(
      select r.ctid from celeriac.jobs j join celeriac.suspects r on r.queue = j.queue and r.rank = -j.priority and r.collection = j.collection and r.seq = j.seq
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
