import { suspectsTogether, suspicion } from '../../engine/recovery.ts'

/** A place for each selection of queues that is claimed from. */
export class Places {
  readonly #places = new Map<string, Place>()

  of(queues: readonly string[] | null): Place {
    const key = queues === null ? '' : JSON.stringify(queues)
    let place = this.#places.get(key)
    if (place === undefined) {
      if (this.#places.size >= mostPlaces) this.#places.clear()
      this.#places.set(key, (place = new Place()))
    }
    return place
  }
}
const mostPlaces = 100

/**
 * Where the lines begin, as a claim found it: text that the functions make and read. The next one goes on from there, and
 * looks up what calls committed since have put in line before it. What was claimed stays in the index until no transaction
 * could still see it; while a long one is open somewhere, a claim that began at the front would pass over all of it.
 *
 * That is exact. All the same a claim does begin at the front now and then, seldom enough for what it takes not to matter:
 * what was put in line by hand has left no event.
 */
class Place {
  #text: string | null = null
  #whole = -Infinity

  /** @param now from a clock for measuring, in milliseconds */
  from(now: number): string | null {
    if (now >= this.#whole) this.#text = null
    return this.#text
  }

  keep(text: string, began: number, now: number): void {
    if (this.#text === null)
      this.#whole = now + Math.min(Math.max(shortestWhole, (now - began) * wholeShare), longestWhole)
    this.#text = text
  }

  forget(): void {
    this.#text = null
  }
}
const shortestWhole = 10_000
const wholeShare = 100
/** Events are there for longer than that, however many there are (see retention.ts). */
const longestWhole = 60_000

/** With more calls than this since, it is quicker to begin at the front. */
const mostArrivals = 1_000
/** A place lists so many lines at most, those that are to run first: it travels with every claim. */
const mostLines = 500

/** Stands in the place of a line where any line may have begun: a queue was resumed, or the store was filled. */
export const anywhere = "row('', 0, 0, 0)::celeriac.head"
/** A step looks into so many more lines than it is to take jobs. */
const linesBeside = 8

const order = 'order by queue, rank, collection, seq'
const columns = 'queue, rank, collection, seq'

/** The first job in a line that can be seen there. Not a function in SQL: the server would plan it anew in each call. */
const headOf = (line: string): string => `
  select row(${columns})::celeriac.head as head from celeriac.ready where queue = ${line}.queue
    and rank = ${line}.rank and (collection, seq) >= (${line}.collection, ${line}.seq) ${order} limit 1`

const isPaused = (queue: string): string =>
  `exists (select 1 from celeriac.queues where name = ${queue} and paused = 1)`

/** The job `seq` may start: where none in line can have expired, nothing is looked up. */
const isInTime = (seq: string): string =>
  `(a_late is null or not exists (select 1 from celeriac.jobs j where j.seq = ${seq} and j.lapses_at <= a_late))`

/** Jobs that somebody else holds are passed over too. Not a join, which a plan may turn round. */
const ofFree = (line: string, isFree: boolean): string =>
  isFree
    ? `cross join lateral (select 1 from celeriac.jobs where seq = ${line}.seq offset 0 for update skip locked) free`
    : ''

/**
 * Takes from `v_line`. It goes on at the first job that can be seen there, also where others are about to take it; without any, it
 * is forgotten until somebody puts one there.
 */
const takeLine = (isFree: boolean): string => `
    with found as (
      delete from celeriac.ready where ctid = any(array(
        select r.ctid from celeriac.ready r ${ofFree('r', isFree)} where queue = v_line.queue and rank = v_line.rank
          and (collection, seq) >= (v_line.collection, v_line.seq) and ${isInTime('r.seq')}
        ${order} limit v_left for update of r skip locked))
      returning collection, seq
    )
    select array_agg(seq), bool_and(collection = seq) into v_seqs, v_are_alone from found;
    v_kept := array(${headOf('v_line')});`

/** The first job of each line: from one line to the next by the index, so what stands within a line costs nothing. */
const allLines = `
      (select ${columns} from celeriac.ready ${order} limit 1)
      union all
      select n.* from lines l cross join lateral (
        select ${columns} from celeriac.ready r where (r.queue, r.rank) > (l.queue, l.rank) ${order} limit 1) n`
const linesOf = `
      select n.* from unnest(a_queues) q (name) cross join lateral (
        select ${columns} from celeriac.ready where queue = q.name ${order} limit 1) n
      union all
      select n.* from lines l cross join lateral (
        select ${columns} from celeriac.ready r where r.queue = l.queue and r.rank > l.rank ${order} limit 1) n`
const firstLines = (lines: string): string => `
    return array(
      with recursive lines as (${lines}
      )
      select row(${columns})::celeriac.head from lines l where not ${isPaused('l.queue')} and (a_from is null or (rank, collection, seq) >= (a_from.rank, a_from.collection, a_from.seq))
      order by rank, collection, seq limit ${mostLines + 1});`

/** Of a function that takes jobs, and of the one that passes over those that somebody else holds. */
export const nameOf = (name: string, isFree: boolean): string => (isFree ? `${name}_free` : name)

const taking = (isFree: boolean): string => `
-- Takes the first jobs of these queues out of the line, in the order in which they are to run; and says whether each of them is
-- known to be alone. Of one line all that costs most is left out. With \`a_late\`, none that had expired by then is taken.
create or replace function celeriac.${nameOf('take', isFree)}(
  a_session bigint, a_limit integer, a_queues text[], a_has_suspects boolean, a_late bigint, inout place celeriac.place,
  out seqs bigint[], out are_alone boolean
) language plpgsql as $$
#variable_conflict use_column
declare
  v_left integer := a_limit;
  v_line celeriac.head;
  v_kept celeriac.head[];
  v_seqs bigint[];
  v_are_alone boolean;
  r record;
begin
  if a_has_suspects then
    seqs := celeriac.take_suspects(a_session, a_limit, a_queues, a_late);
    v_left := a_limit - coalesce(cardinality(seqs), 0);
  elsif cardinality(place.heads) = 0 and place.bound is null then
    return;
  elsif cardinality(place.heads) = 1 and place.bound is null then
    v_line := place.heads[1];
    if ${isPaused('v_line.queue')} or v_line.queue <> all(a_queues) then return; end if;
    ${takeLine(isFree)}
    place.heads := v_kept;
    seqs := v_seqs;
    are_alone := v_are_alone;
    return;
  end if;
  are_alone := seqs is null;
  while v_left > 0 loop
    select t.* into r from celeriac.${nameOf('take_lines', isFree)}(place.heads, place.bound, a_queues, v_left, a_late) t;
    are_alone := are_alone and r.are_alone is not false;
    seqs := seqs || r.seqs;
    v_left := v_left - coalesce(cardinality(r.seqs), 0);
    place.heads := r.lines;
    exit when place.bound is null;
    if v_left > 0 then place := celeriac.more_lines(place, a_queues); end if;
  end loop;
end $$;

-- Of several lines, jobs that come before the bound. A step looks only into the lines that may be next, a little way into each, and
-- takes what is certain to come before all that it did not see.
create or replace function celeriac.${nameOf('take_lines', isFree)}(
  a_lines celeriac.head[], a_bound celeriac.head, a_queues text[], a_limit integer, a_late bigint,
  out seqs bigint[], out lines celeriac.head[], out are_alone boolean
) language plpgsql as $$
#variable_conflict use_column
declare
  v_open celeriac.head[] := array(
    select h from unnest(a_lines) h where (a_queues is null or h.queue = any(a_queues)) and not ${isPaused('h.queue')} order by rank, collection, seq);
  v_left integer := a_limit;
  v_some integer;
  -- All that comes before it has been looked at: null in the end.
  v_at celeriac.head := v_open[1];
  v_cut celeriac.head;
  v_last celeriac.head;
  v_found celeriac.head[];
  v_size integer;
  v_seqs bigint[];
  v_are_alone boolean;
  r record;
begin
  while v_left > 0 and v_at is not null and (a_bound is null or (v_at.rank, v_at.collection, v_at.seq) < (a_bound.rank, a_bound.collection, a_bound.seq)) loop
    v_some := least(cardinality(v_open), v_left + ${linesBeside});
    v_cut := v_open[v_some + 1];
    if v_cut is null or (v_cut.rank, v_cut.collection, v_cut.seq) > (a_bound.rank, a_bound.collection, a_bound.seq) then v_cut := a_bound; end if;
    v_size := 2 + 2 * v_left / v_some;
    with seen as materialized (
      select s.* from unnest(v_open[:v_some]) l cross join lateral (
        select n.*, row_number() over (${order}) as place from (
          select ${columns} from celeriac.ready r where queue = l.queue and rank = l.rank and (collection, seq) >= (l.collection, l.seq)
            and ${isInTime('r.seq')} ${order} limit v_size) n) s
    ),
    -- Of a line that goes on behind it nothing more is known.
    last as (select * from seen where place = v_size order by rank, collection, seq limit 1)
    select array(select row(${columns})::celeriac.head from seen s
      where (v_cut is null or (rank, collection, seq) < (v_cut.rank, v_cut.collection, v_cut.seq))
        and not exists (select 1 from last where (s.rank, s.collection, s.seq) > (last.rank, last.collection, last.seq))
      order by rank, collection, seq limit v_left) as found,
      (select row(${columns})::celeriac.head from last) as last into r;
    v_found := r.found;
    v_last := r.last;
    with found as (
      delete from celeriac.ready where ctid = any(array(
        select r.ctid from unnest(v_found) f join celeriac.ready r
          on r.queue = f.queue and r.rank = f.rank and r.collection = f.collection and r.seq = f.seq ${ofFree('r', isFree)} for update of r skip locked))
      returning collection, seq
    )
    select array_agg(seq), bool_and(collection = seq) into v_seqs, v_are_alone from found;
    seqs := seqs || v_seqs;
    are_alone := are_alone is not false and v_are_alone is not false;
    if cardinality(v_found) = v_left then v_last := v_found[v_left];
    elsif (v_last.rank, v_last.collection, v_last.seq) >= (v_cut.rank, v_cut.collection, v_cut.seq) then v_last := null; end if;
    v_at := case when v_last is null then v_cut else row('', v_last.rank, v_last.collection, v_last.seq + 1)::celeriac.head end;
    v_left := v_left - coalesce(cardinality(v_seqs), 0);
    if v_left > 0 and v_at is not null then
      v_open := array(
        select o.head from unnest(v_open) h cross join lateral (
          select h as head where (h.rank, h.collection, h.seq) >= (v_at.rank, v_at.collection, v_at.seq)
          union all
          select f.head from (select h.queue, h.rank, v_at.collection, v_at.seq
            where h.rank = v_at.rank and (h.collection, h.seq) < (v_at.collection, v_at.seq)) l cross join lateral (${headOf('l')}) f
        ) o order by (o.head).rank, (o.head).collection, (o.head).seq);
      if cardinality(v_open) = 0 then v_at := null; end if;
    end if;
  end loop;
  lines := array(
    select o.head from unnest(a_lines) h cross join lateral (
      select h as head where (h.rank, h.collection, h.seq) >= (v_at.rank, v_at.collection, v_at.seq) or ${isPaused('h.queue')}
      union all
      select f.head from (select h.* where v_at is null or (h.rank, h.collection, h.seq) < (v_at.rank, v_at.collection, v_at.seq)) l
        cross join lateral (${headOf('l')}) f where not ${isPaused('l.queue')}
    ) o);
end $$;
`

export const lineFunctions = `
-- The lines to take from first, and one more: of every queue or of these, not of paused ones. Only jobs that come at or behind
-- \`a_from\` count, where it is given.
create or replace function celeriac.first_lines(a_queues text[], a_from celeriac.head) returns celeriac.head[] language plpgsql as $$
#variable_conflict use_column
begin
  if a_queues is null then ${firstLines(allLines)}
  else ${firstLines(linesOf)}
  end if;
end $$;

-- The snapshot is taken first: what is committed after it is looked up the next time, seen or not.
create or replace function celeriac.whole_place(a_queues text[]) returns celeriac.place language plpgsql as $$
declare
  p celeriac.place;
begin
  p.snapshot := pg_current_snapshot();
  p.heads := celeriac.first_lines(a_queues, null);
  p.bound := p.heads[${mostLines + 1}];
  p.heads := p.heads[:${mostLines}];
  p.due_at := (select due_at from celeriac.jobs where due_at is not null order by due_at limit 1);
  p.lapses_at := (select lapses_at from celeriac.jobs where lapses_at is not null order by lapses_at limit 1);
  return p;
end $$;

create or replace function celeriac.next_place(p celeriac.place, a_queues text[]) returns celeriac.place language plpgsql as $$
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
  if v_count >= ${mostArrivals} or ${anywhere} = any(v_heads) then return celeriac.whole_place(a_queues); end if;
  p.snapshot := v_snapshot;
  p.due_at := least(p.due_at, v_due_at);
  p.lapses_at := least(p.lapses_at, v_lapses_at);
  if cardinality(v_heads) = 1 and cardinality(p.heads) = 0 and p.bound is null then
    p.heads := v_heads;
  elsif v_heads is not null then
    p := celeriac.list_lines(p, v_heads, a_queues);
  end if;
  return p;
end $$;

-- Lists these lines too: the first job of each is known. Of too many the first are kept, and the others come behind the bound.
create or replace function celeriac.list_lines(inout p celeriac.place, a_heads celeriac.head[], a_queues text[]) language plpgsql as $$
#variable_conflict use_column
begin
  p.heads := array(select row(${columns})::celeriac.head from (
    select distinct on (queue, rank) * from unnest(p.heads || a_heads) h
    where (p.bound is null or (rank, collection, seq) < ((p.bound).rank, (p.bound).collection, (p.bound).seq))
      and (a_queues is null or queue = any(a_queues)) and not ${isPaused('h.queue')}
    ${order}) h order by rank, collection, seq);
  if cardinality(p.heads) > ${2 * mostLines} then
    p.bound := p.heads[${mostLines + 1}];
    p.heads := p.heads[:${mostLines}];
  end if;
end $$;

-- All that was listed is taken, or others are about to take it: the lines that come next.
create or replace function celeriac.more_lines(inout p celeriac.place, a_queues text[]) language plpgsql as $$
declare
  v_heads celeriac.head[] := celeriac.first_lines(a_queues, p.bound);
begin
  p.bound := v_heads[${mostLines + 1}];
  p := celeriac.list_lines(p, v_heads[:${mostLines}], a_queues);
end $$;

-- ── taking ──────────────────────────────────────────────────────────────────────────────────────────────────────────
${taking(false)}${taking(true)}
-- Jobs whose worker died come first, few at a time, so that it can be told which of them ended it (see engine/recovery.ts).
create or replace function celeriac.take_suspects(a_session bigint, a_limit integer, a_queues text[], a_late bigint) returns bigint[] language plpgsql as $$
#variable_conflict use_column
declare
  v_running integer;
  v_is_alone boolean;
  v_seqs bigint[];
begin
  select count(*), coalesce(bool_or(crashes > ${suspicion.suspect}), false) into v_running, v_is_alone
  from celeriac.running_of(a_session) where crashes > 0;
  if v_is_alone then return null; end if;
  with found as materialized (
    select r.ctid, r.rank, r.collection, r.seq, j.crashes from celeriac.suspects r join celeriac.jobs j on j.seq = r.seq
    where (a_queues is null or r.queue = any(a_queues)) and not ${isPaused('r.queue')} and ${isInTime('r.seq')}
    order by r.rank, r.collection, r.seq limit greatest(0, least(a_limit, ${suspectsTogether} - v_running)) for update of r, j skip locked
  ),
  -- In order, so that none waits for ever: those behind one that is to run alone wait until it has had its turn.
  chosen as (
    select ctid, row_number() over line as nth, count(*) filter (where crashes > ${suspicion.suspect}) over line as alone
    from found window line as (order by rank, collection, seq)
  ),
  taken as (
    delete from celeriac.suspects where ctid = any(array(
      select ctid from chosen where alone = 0 or (nth = 1 and v_running = 0))) returning seq
  )
  select array_agg(seq) into v_seqs from taken;
  return v_seqs;
end $$;
`
