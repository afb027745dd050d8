import type { Graph, GraphJob } from '../../core/graph.ts'
import type { StoredOptions } from '../../core/job.ts'
import { entryOf, headsOf, lineUp } from './change.ts'
import { roleCode, whenCode } from '../../engine/codes.ts'

/** Rows of a graph as `celeriac.insert_graph` reads them, counted from the placement that it is given. */
export interface GraphRows {
  readonly jobs: object[]
  readonly barriers: object[]
}

/** Of several graphs in one call: where among the numbers of the call each part of this one begins. */
export interface Offset {
  readonly collection: number
  readonly job: number
  readonly barrier: number
}

/** The rows of a graph, or of a part of it. */
export function graphRows({ exit, jobs, barriers }: Graph, from = 0, to = Infinity, offset?: Offset): GraphRows {
  const [ofJobs, ofBarriers] = [offset?.job ?? 0, offset?.barrier ?? 0]
  const barrier = (position: number | null): number | undefined =>
    position === null ? undefined : position + ofBarriers
  return {
    jobs: jobs.slice(from, to).map((job, at) => {
      const { behind, feeds, scope, input } = job
      return {
        ...jobRow(job),
        at: from + at + ofJobs,
        collection: offset?.collection,
        behind: barrier(behind),
        feeds: barrier(feeds),
        scope: scope === null ? undefined : scope + ofJobs,
        ...(input.from === 'summary' && { first: input.first + ofJobs, last: input.last + ofJobs }),
      }
    }),
    barriers: barriers.slice(from, to).map(({ inputs, feeds, gate }, at) => ({
      at: from + at + ofBarriers,
      collection: offset?.collection,
      inputs,
      feeds: barrier(feeds),
      gate: barrier(gate),
      is_exit: from + at === exit || undefined,
    })),
  }
}

function jobRow({ id, task, args, when, input, role, options }: GraphJob): object {
  return {
    id,
    task,
    args,
    fit: whenCode(when) || undefined,
    input: input.from === 'nothing' ? undefined : input.from === 'results' ? `r${input.shape}` : input.from[0],
    role: roleCode(role) || undefined,
    queue: options.queue,
    priority: options.priority,
    options: optionsText(options) ?? undefined,
    tags: tagsText(options.tags) ?? undefined,
    start_in: options.startIn,
    start_at: options.startAt,
    expires: options.expires,
    timeout: options.timeout,
  }
}

/** Most jobs of a task share one options object, so its text is made once. */
const texts = new WeakMap<StoredOptions, string | null>()
export function optionsText(options: StoredOptions): string | null {
  let text = texts.get(options)
  if (text === undefined) {
    const whole = JSON.stringify(options)
    texts.set(options, (text = whole === '{}' ? null : whole))
  }
  return text
}
export const tagsText = (tags: readonly string[] | undefined): string | null =>
  tags === undefined || tags.length === 0 ? null : JSON.stringify(tags)

const insertedColumns = 'seq, collection, attempt, version, state, queue, priority, crashes, due_at, lapses_at'
const tell = (entry: string): string => `
  select string_agg(${entry}, ',') filter (where state <> 0), min(due_at), min(lapses_at), count(*), ${headsOf('inserted')}
  into v_changes, v_due_at, v_lapses_at, v_count, v_heads from inserted;
  c.changes := concat(c.changes, ',' || v_changes);
  c.heads := c.heads || v_heads;
  c.due_at := least(c.due_at, v_due_at);
  c.lapses_at := least(c.lapses_at, v_lapses_at);
  c.queued := c.queued or v_due_at is not null or v_heads is not null;
  c.rows_left := c.rows_left - v_count;`
const variables = `
  v_changes text;
  v_due_at bigint;
  v_lapses_at bigint;
  v_count integer;
  v_heads celeriac.head[];`

const storeAlone = (onConflict: string): string => `
  with inserted as (
    insert into celeriac.jobs (seq, collection, created_at, state, priority, id, task, queue, args, options, actor, description,
      tags, retention, unique_claim, due_at, expires_at, lapses_at, timeout)
    select a_first + coalesce(n.place, n.at - 1), a_first + coalesce(n.place, n.at - 1), c.now,
      case when coalesce(c.now + n.start_in, n.start_at) > c.now then 1 else 2 end, coalesce(n.priority, 0), n.id, n.task,
      coalesce(n.queue, 'default'), n.args, n.options, n.actor, n.description, n.tags, n.retention, n.unique_claim,
      case when coalesce(c.now + n.start_in, n.start_at) > c.now then coalesce(c.now + n.start_in, n.start_at) end,
      c.now + n.expires, c.now + n.expires, n.timeout
    from unnest(a_places, a_ids, a_tasks, a_args, a_queues, a_priorities, a_options, a_actors, a_descriptions, a_tags,
        a_retentions, a_unique, a_starts_in, a_starts_at, a_expires, a_timeouts) with ordinality
      n (place, id, task, args, queue, priority, options, actor, description, tags, retention, unique_claim, start_in,
        start_at, expires, timeout, at)
    ${onConflict} returning ${insertedColumns}
  ), ${lineUp('inserted')} ${tell("concat(state, ',0,', seq, ',0,1')")}`

const storeGraph = (onConflict: string): string => `
    insert into celeriac.barriers (number, collection, inputs, pending, feeds, gate, continues, settles)
    select p.first_barrier + b.at, coalesce(p.first_job + b.collection, p.collection), b.inputs, b.inputs, p.first_barrier + b.feeds,
      p.first_barrier + b.gate, case when b.is_exit then p.parent end, case when b.is_exit and p.parent is null then 1 else 0 end
    from json_to_recordset(a_graph -> 'barriers') b (at integer, collection integer, inputs integer, feeds integer, gate integer, is_exit boolean)
    where a_skipped is null or b.collection <> all(a_skipped)
    ${onConflict};
    with inserted as (
      insert into celeriac.jobs (seq, collection, created_at, state, priority, role, fit, round, depth, id, task, queue, args, options,
        input, behind, feeds, scope, parent, start_in, start_at, due_at, expires_at, lapses_at, timeout, tags)
      select p.first_job + n.at, coalesce(p.first_job + n.collection, p.collection), c.now,
        case when n.holder is not null then 0 when n.due_at is not null then 1 else 2 end, coalesce(n.priority, 0),
        coalesce(n.role, 0), coalesce(n.fit, 0), p.round, p.depth, n.id, n.task, coalesce(n.queue, 'default'), n.args, n.options,
        case when n.first is null then n.input else concat('s', p.first_job + n.first, ',', p.first_job + n.last) end,
        n.holder, p.first_barrier + n.feeds,
        case when n.role is null then coalesce(p.scope, p.first_job + n.scope) end, p.parent,
        case when n.holder is not null then n.start_in end, case when n.holder is not null then n.start_at end, n.due_at,
        n.expires_at, case when n.holder is null then n.expires_at end, n.timeout, n.tags
      from (
        select x.*, coalesce(p.first_barrier + x.behind, p.start) as holder,
          case when coalesce(x.behind, p.start) is null and coalesce(c.now + x.start_in, x.start_at) > c.now
            then coalesce(c.now + x.start_in, x.start_at) end as due_at,
          case when x.role is null then c.now + x.expires end as expires_at
        from json_to_recordset(a_graph -> 'jobs') x (
          at integer, collection integer, id text, task text, args text, behind integer, fit smallint, feeds integer, input text,
          first integer, last integer, role smallint, scope integer, queue text, priority smallint, options text, tags text,
          start_in bigint, start_at bigint, expires bigint, timeout bigint)
        where a_skipped is null or x.collection <> all(a_skipped)
      ) n
      ${onConflict} returning ${insertedColumns}
    ), ${lineUp('inserted')} ${tell(entryOf)}`

export const insertFunctions = `
-- Jobs alone, each its own collection: lists of the same length, or null where all of one are.
create or replace function celeriac.insert_alone(
  inout c celeriac.change, a_first bigint, a_places integer[], a_ids text[], a_tasks text[], a_args text[], a_queues text[],
  a_priorities integer[], a_options text[], a_actors text[], a_descriptions text[], a_tags text[], a_retentions bigint[],
  a_unique text[], a_starts_in bigint[], a_starts_at bigint[], a_expires bigint[], a_timeouts bigint[], out stored integer
) language plpgsql as $$
#variable_conflict use_column
declare ${variables}
begin
  begin
    ${storeAlone('')}
  exception when unique_violation then
    -- Some were stored before. To expect that of each costs a third of all this.
    ${storeAlone('on conflict (id) do nothing')}
  end;
  stored := v_count;
end $$;

-- A graph, a part of one, or several but for those skipped. Where all of it is there, \`decide_empty\` follows.
create or replace function celeriac.insert_graph(
  inout c celeriac.change, a_graph json, p celeriac.placement, a_skipped integer[] default null
) language plpgsql as $$
#variable_conflict use_column
declare ${variables}
begin
  if p.start is null then ${storeGraph('')}
  else
    -- A part may be sent again. To expect that of everything costs a third of all this.
    ${storeGraph('on conflict do nothing')}
  end if;
end $$;

-- Has barriers decided that nothing will arrive at: the empty ones of a graph, and the one that held its entries back.
create or replace function celeriac.decide_empty(inout c celeriac.change, a_first bigint, a_last bigint, a_start bigint)
language plpgsql as $$
begin
  if a_start is not null then c.arrivals := c.arrivals || row(a_start, null, null)::celeriac.arrival; end if;
  c.arrivals := c.arrivals || array(
    select row(number, null, null)::celeriac.arrival from celeriac.barriers where number between a_first and a_last and inputs = 0);
end $$;
`
