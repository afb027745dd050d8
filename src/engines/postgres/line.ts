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

/** With more calls than this since, it is quicker to begin at the front. */
const mostArrivals = 1_000

/** The first job in a line that can be seen there. Not a function in SQL: the server would plan it anew in each call. */
const headOf = (line: string): string => `
  select row(queue, rank, collection, seq)::celeriac.head as head from celeriac.ready where queue = ${line}.queue
    and rank = ${line}.rank and (collection, seq) >= (${line}.collection, ${line}.seq) order by queue, rank, collection, seq limit 1`

/**
 * Takes from `v_line`. It goes on at the first job that can be seen there, also where others are about to take it; without any, it
 * is forgotten until somebody puts one there.
 */
const takeLine = `
    with found as (
      delete from celeriac.ready where ctid = any(array(
        select ctid from celeriac.ready where queue = v_line.queue and rank = v_line.rank
          and (collection, seq) >= (v_line.collection, v_line.seq)
        order by queue, rank, collection, seq limit v_left for update skip locked))
      returning collection, seq
    )
    select array_agg(seq), bool_and(collection = seq) into v_seqs, v_are_alone from found;
    v_kept := array(${headOf('v_line')});`

export const lineFunctions = `
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
  select count(*), min(e.due_at), min(e.lapses_at),
    array_agg(row(h.queue, h.rank, h.collection, h.seq)::celeriac.head) filter (where h.seq is not null)
  into v_count, v_due_at, v_lapses_at, v_heads
  from (
    select heads, due_at, lapses_at from celeriac.events where xid >= pg_snapshot_xmax(p.snapshot)
      and (heads is not null or due_at is not null or lapses_at is not null)
    union all
    select heads, due_at, lapses_at from celeriac.events where xid = any(array(select pg_snapshot_xip(p.snapshot)))
      and (heads is not null or due_at is not null or lapses_at is not null)
    limit ${mostArrivals}
  ) e left join lateral unnest(e.heads) h on true;
  if v_count >= ${mostArrivals} then return celeriac.whole_place(); end if;
  p.snapshot := v_snapshot;
  p.due_at := least(p.due_at, v_due_at);
  p.lapses_at := least(p.lapses_at, v_lapses_at);
  if cardinality(v_heads) = 1 and cardinality(p.heads) = 0 then
    p.heads := v_heads;
  elsif v_heads is not null then
    p.heads := array(select row(queue, rank, collection, seq)::celeriac.head from (
      select distinct on (queue, rank) * from unnest(p.heads || v_heads) order by queue, rank, collection, seq) h);
  end if;
  return p;
end $$;

-- ── taking ──────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Takes the first jobs of these queues out of the line, in the order in which they are to run; and says whether each of them is
-- known to be alone. Of one line all that costs most is left out.
create or replace function celeriac.take(
  a_session bigint, a_limit integer, a_queues text[], a_paused text[], a_has_suspects boolean, inout place celeriac.place,
  out seqs bigint[], out are_alone boolean
) language plpgsql as $$
#variable_conflict use_column
declare
  v_left integer := a_limit;
  v_line celeriac.head;
  v_lines celeriac.head[];
  v_known celeriac.head[];
  v_kept celeriac.head[];
  v_seqs bigint[];
  v_are_alone boolean;
  r record;
begin
  if a_has_suspects then
    seqs := celeriac.take_suspect(a_session, a_queues, a_paused);
    v_left := a_limit - coalesce(cardinality(seqs), 0);
  elsif cardinality(place.heads) = 0 then
    return;
  elsif cardinality(place.heads) = 1 then
    v_line := place.heads[1];
    if v_line.queue = any(a_paused) or v_line.queue <> all(a_queues) then return; end if;
    ${takeLine}
    place.heads := v_kept;
    seqs := v_seqs;
    are_alone := v_are_alone;
    return;
  end if;
  are_alone := seqs is null;
  for r in
    select rank, array_agg(h) as lines from unnest(place.heads) h
    where (a_queues is null or queue = any(a_queues)) and queue <> all(a_paused) group by rank order by rank
  loop
    exit when v_left <= 0;
    if cardinality(r.lines) = 1 then
      v_line := r.lines[1];
      ${takeLine}
    else
      select t.seqs, t.lines, t.are_alone into v_seqs, v_kept, v_are_alone from celeriac.take_lines(r.lines, v_left) t;
    end if;
    are_alone := are_alone and v_are_alone is not false;
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

-- Of several queues, jobs of one priority.
create or replace function celeriac.take_lines(a_lines celeriac.head[], a_limit integer, out seqs bigint[], out lines celeriac.head[], out are_alone boolean)
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
    returning collection, seq
  )
  select array_agg(seq), bool_and(collection = seq) into seqs, are_alone from found;
  lines := array(select h.head from unnest(a_lines) l cross join lateral (${headOf('l')}) h);
end $$;

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
`
