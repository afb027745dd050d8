import type { Graph, GraphJob } from '../../core/graph.ts'
import type { SubmitAnswer, Submission } from '../../engine/intake.ts'
import { CeleriacError } from '../../core/errors.ts'
import { callsOf, hasKey, type SubmittedCall } from '../../engine/calls.ts'
import { idempotencyMemory } from '../../engine/retention.ts'
import { alike } from './alike.ts'
import type { Announcement } from './announce.ts'
import { hot } from './change.ts'
import type { Requests, Value } from './database.ts'
import { graphRows, optionsText, tagsText } from './insert.ts'
import { asUploadGone, isLarge, uploadGone } from './upload.ts'

const isAlone = (graph: Graph): boolean => graph.exit === null
/** A collection takes a number of its own, its jobs and barriers the next ones; a job alone just one. */
const numbersOf = (graph: Graph): number =>
  isAlone(graph) || isLarge(graph) ? 1 : 1 + graph.jobs.length + graph.barriers.length

/** A job alone, without keys: such as these are stored together. */
const isSimple = (submission: Submission): boolean =>
  !hasKey(submission) && isAlone(submission.graph) && submission.graph.jobs[0]?.input.from === 'nothing'

/** A graph that was not uploaded, without keys: such as these are stored together as well. */
const isKeyless = (submission: Submission): boolean =>
  !hasKey(submission) && !isAlone(submission.graph) && !isLarge(submission.graph)

/** Whether a submission is stored with the simple ones, with the graphs, or by itself: with its call, where that may be aborted. */
type Route = 'alone' | 'graph' | 'other'
const routeOf = ({ mayAbort }: SubmittedCall, submission: Submission): Route =>
  mayAbort ? 'other' : isSimple(submission) ? 'alone' : isKeyless(submission) ? 'graph' : 'other'

export interface Submitted {
  readonly answers: SubmitAnswer[]
  readonly bits: number
  /** Others were told of it by the call itself. */
  readonly isSaid: boolean
}

/**
 * @param sizes see `Intake.submit`
 * @param announcement what the call may say itself when it is committed; it tells whether it did
 */
export async function submit(
  requests: Pick<Requests, 'call'>,
  now: number | null,
  submissions: readonly Submission[],
  sizes: readonly number[] | undefined,
  announcement: () => Announcement | null = () => null,
): Promise<Submitted> {
  const likeEachOther = alike(submissions)
  if (likeEachOther !== null) {
    const said = announcement()
    const [row] = await requests.call<readonly [bits: number, existing: readonly number[] | null, at: number]>(
      'accept_alike',
      now,
      ...likeEachOther,
      said?.channel ?? null,
      said?.payload ?? null,
    )
    const [bits, existing, at] = row as NonNullable<typeof row>
    const routes = submissions.map((): Route => 'alone')
    return {
      answers: answersOf(submissions, routes, [bits, existing, null, null, at]),
      bits,
      isSaid: said !== null,
    }
  }
  const alone = new AloneRows()
  const graphs = new Graphs()
  const others: object[][] = []
  const routes: Route[] = []
  let count = 0
  for (const call of callsOf(submissions, sizes)) {
    const together: object[] = []
    for (const submission of call.submissions) {
      const { graph } = submission
      const route = routeOf(call, submission)
      if (route === 'alone') alone.add(submission, count)
      else if (route === 'graph') graphs.add(submission, count)
      else if (call.mayAbort) together.push(otherRow(submission, count))
      else others.push([otherRow(submission, count)])
      routes.push(route)
      count += numbersOf(graph)
    }
    if (together.length > 0) others.push(together)
  }
  const [row] = await requests
    .call<Answer>(
      'accept',
      now,
      count,
      others.length === 0 ? null : JSON.stringify(others),
      ...alone.values(others.length > 0 || !graphs.isEmpty),
      graphs.isEmpty ? null : JSON.stringify(graphs),
    )
    .catch(asUploadGone)
  return { answers: answersOf(submissions, routes, row as Answer), bits: (row as Answer)[0], isSaid: false }
}

/** Which of those alone, and which of the graphs, were there already, counted from 1; and what became of the others. */
type Answer = readonly [
  bits: number,
  existing: readonly number[] | null,
  answers: string | null,
  found: readonly number[] | null,
  at: number,
]

function answersOf(
  submissions: readonly Submission[],
  routes: readonly Route[],
  [, existing, answers, found, now]: Answer,
): SubmitAnswer[] {
  const created: SubmitAnswer = { type: 'created', at: now }
  const others = answers === null ? [] : (JSON.parse(answers) as SubmitAnswer[])
  const [alone, graphs] = [new Set(existing), new Set(found)]
  const at = { alone: 0, graph: 0, other: 0 }
  return submissions.map(({ graph }, index): SubmitAnswer => {
    const route = routes[index] as Route
    if (route === 'other') return others[at.other++] as SubmitAnswer
    const isThere = route === 'alone' ? alone.has(++at.alone) : graphs.has(++at.graph)
    return isThere ? { type: 'existing', collectionId: graph.id } : created
  })
}

/** Lists for `celeriac.insert_alone`, one for each column; those in which nothing stands are not sent. */
class AloneRows {
  readonly #columns: Value[][] = Array.from({ length: 16 }, () => [])
  readonly #isUsed: boolean[] = []

  add({ graph, actor, description, tags, retention }: Submission, place: number): void {
    const job = jobOf(graph)
    const { options } = job
    const row: readonly Value[] = [
      place,
      job.id,
      job.task,
      job.args,
      options.queue ?? null,
      options.priority ?? null,
      optionsText(options),
      actor?.id ?? null,
      description,
      labelTags(tags, job),
      retention,
      null,
      options.startIn ?? null,
      options.startAt ?? null,
      options.expires ?? null,
      options.timeout ?? null,
    ]
    for (let at = 0; at < row.length; at++) {
      const value = row[at] as Value
      ;(this.#columns[at] as Value[]).push(value)
      if (value !== null) this.#isUsed[at] = true
    }
  }

  /** @param isSparse some numbers between theirs are of others */
  values(isSparse: boolean): Value[] {
    return this.#columns.map((column, at) =>
      this.#isUsed[at] === true && (at > 0 || isSparse) ? (column as string[]) : null,
    )
  }
}

/** The rows of several graphs, as the function reads them: numbers are counted from the first that the call takes. */
class Graphs {
  readonly headers: object[] = []
  readonly jobs: object[] = []
  readonly barriers: object[] = []

  get isEmpty(): boolean {
    return this.headers.length === 0
  }

  add({ graph, actor, description, tags, callback, retention }: Submission, collection: number): void {
    const job = collection + 1
    const barrier = job + graph.jobs.length
    this.headers.push({
      number: collection,
      id: graph.id,
      exit: barrier + (graph.exit as number),
      shape: graph.shape,
      description,
      actor: actor?.id,
      tags: tagsText(tags),
      callback: callback?.url,
      callback_results: callback?.results,
      retention,
    })
    const rows = graphRows(graph, 0, Infinity, { collection, job, barrier })
    for (const row of rows.jobs) this.jobs.push(row)
    for (const row of rows.barriers) this.barriers.push(row)
  }
}

function jobOf(graph: Graph): GraphJob {
  const job = graph.jobs[0]
  if (job === undefined)
    throw new CeleriacError('BAD_ARGUMENT', 'A graph without an exit is one job: this one has none.')
  return job
}

function labelTags(tags: readonly string[], { options }: GraphJob): string | null {
  const own = options.tags
  return tagsText(own === undefined || own === tags ? tags : [...new Set([...tags, ...own])])
}

function otherRow(submission: Submission, number: number): object {
  const { graph, actor, description, tags, callback, retention, idempotency, unique } = submission
  const about = {
    number,
    id: graph.id,
    actor: actor?.id,
    description,
    retention,
    callback: callback?.url,
    callback_results: callback?.results,
    key: idempotency?.key,
    fingerprint: idempotency?.fingerprint,
    ...(unique !== null && {
      unique: unique.key,
      until: typeof unique.until === 'number' ? 'time' : unique.until,
      holds: typeof unique.until === 'number' ? unique.until : undefined,
      on_conflict: unique.onConflict,
      claim: JSON.stringify(unique),
    }),
  }
  if (isAlone(graph)) return { about: { ...about, tags: labelTags(tags, jobOf(graph)) }, graph: graphRows(graph) }
  return {
    about: { ...about, ...sizeOf(graph), tags: tagsText(tags) },
    ...(!isLarge(graph) && { graph: graphRows(graph) }),
  }
}

/** What is to be known of a graph besides its rows: of a large one they have been uploaded. */
export const sizeOf = ({ exit, shape, jobs, barriers }: Graph): object => ({
  exit,
  shape,
  job_count: jobs.length,
  barrier_count: barriers.length,
})

/** Undoes what the submissions of a call have stored. */
const aborted = 'CEL03'

export const submitFunctions = `
create or replace function celeriac.accept(
  a_now bigint, a_count bigint, a_others json, a_places integer[], a_ids text[], a_tasks text[], a_args text[],
  a_job_queues text[], a_priorities integer[], a_options text[], a_actors text[], a_descriptions text[], a_tags text[],
  a_retentions bigint[], a_unique text[], a_starts_in bigint[], a_starts_at bigint[], a_expires bigint[], a_timeouts bigint[], a_graphs json default null
) returns table (bits integer, existing integer[], answers text, found integer[], at bigint) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  c celeriac.change := celeriac.begin_change(a_now);
  v_first bigint := celeriac.take_numbers(a_count);
  v_stored integer;
  v_existing integer[];
  v_found integer[];
  v_answers json[] := '{}';
  v_answer json;
  v_call json;
  v_part celeriac.change;
  v_parts celeriac.change[] := '{}';
  r record;
begin
  if a_ids is not null then
    select s.* into r from celeriac.insert_alone(c, v_first, a_places, a_ids, a_tasks, a_args, a_job_queues,
      a_priorities, a_options, a_actors, a_descriptions, a_tags, a_retentions, a_unique, a_starts_in, a_starts_at, a_expires, a_timeouts) s;
    c := r.c;
    v_stored := r.stored;
    if v_stored < cardinality(a_ids) then
      v_existing := array(select n.at from unnest(a_places, a_ids) with ordinality n (place, id, at)
        join celeriac.jobs j on j.id = n.id where j.seq <> v_first + coalesce(n.place, n.at - 1));
    end if;
  end if;
  if a_graphs is not null then
    select s.* into r from celeriac.store_graphs(c, a_graphs, v_first) s;
    c := r.c;
    v_found := r.existing;
  end if;
  if json_array_length(a_others) = 1 then
    select s.* into r from celeriac.submit_call(c, a_others -> 0, v_first) s;
    c := r.c;
    v_answers := r.answers;
  elsif a_others is not null then
    for v_call in select value from json_array_elements(a_others) loop
      v_part := celeriac.part_of(c);
      select s.* into r from celeriac.submit_call(v_part, v_call, v_first) s;
      v_part := r.c;
      v_parts := v_parts || v_part;
      c.rows_left := v_part.rows_left;
      foreach v_answer in array r.answers loop v_answers := v_answers || v_answer; end loop;
    end loop;
    c := celeriac.put_together(c, v_parts);
  end if;
  return query select celeriac.finish(c), v_existing, array_to_json(v_answers)::text, v_found, c.now;
end $$;

-- Graphs without keys, all together.
create or replace function celeriac.store_graphs(inout c celeriac.change, a_graphs json, a_first bigint, out existing integer[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_stored bigint[];
  v_skipped integer[];
begin
  with stored as (
    insert into celeriac.collections (number, id, state, exit, shape, created_at, description, actor, tags, callback_url, callback_results, retention)
    select a_first + h.number, h.id, 0, a_first + h.exit, h.shape, c.now, h.description, h.actor, h.tags, h.callback, h.callback_results, h.retention
    from json_to_recordset(a_graphs -> 'headers') h (
      number bigint, id text, exit bigint, shape text, description text, actor text, tags text, callback text, callback_results text, retention bigint)
    on conflict (id) do nothing returning number
  )
  select array_agg(number - a_first) into v_stored from stored;
  if coalesce(cardinality(v_stored), 0) < json_array_length(a_graphs -> 'headers') then
    select array_agg(place), array_agg(number) into existing, v_skipped from (
      select h.place::integer, (h.value ->> 'number')::integer as number from json_array_elements(a_graphs -> 'headers') with ordinality h (value, place)
    ) h where v_stored is null or number <> all(v_stored);
  end if;
  c := celeriac.insert_graph(c, a_graphs, row(null, a_first, a_first, null, 1, null, 0, null)::celeriac.placement, v_skipped);
  c.arrivals := c.arrivals || array(
    select row(a_first + b.at, null, null)::celeriac.arrival
    from json_to_recordset(a_graphs -> 'barriers') b (at bigint, collection integer, inputs integer)
    where b.inputs = 0 and (v_skipped is null or b.collection <> all(v_skipped)));
end $$;

-- What is stored one by one is noted apart and put together once: a change that is handed on is copied, and one that grows with each of
-- ten thousand would take hours.
create or replace function celeriac.part_of(c celeriac.change) returns celeriac.change language sql stable as $$
  select row(c.now, c.rows_left, '', null, '{}', null, null, false, false, '{}', '{}')::celeriac.change
$$;

create or replace function celeriac.put_together(inout c celeriac.change, a_parts celeriac.change[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_changes text;
  v_due_at bigint;
  v_lapses_at bigint;
  v_queued boolean;
  v_cancel boolean;
begin
  select string_agg(changes, '' order by place), min(due_at), min(lapses_at), bool_or(queued), bool_or(cancel)
  into v_changes, v_due_at, v_lapses_at, v_queued, v_cancel
  from unnest(a_parts) with ordinality p (now, rows_left, changes, payloads, heads, due_at, lapses_at, queued, cancel, arrivals, items, place);
  c.changes := concat(c.changes, v_changes);
  c.heads := c.heads || array(
    select row(h.queue, h.rank, min(h.collection), min(h.seq))::celeriac.head from unnest(a_parts) p cross join unnest(p.heads) h
    group by h.queue, h.rank);
  c.due_at := least(c.due_at, v_due_at);
  c.lapses_at := least(c.lapses_at, v_lapses_at);
  c.queued := c.queued or v_queued;
  c.cancel := c.cancel or v_cancel;
  c.arrivals := c.arrivals || array(select a::celeriac.arrival from unnest(a_parts) p cross join unnest(p.arrivals) a);
  c.items := c.items || array(select i::celeriac.item from unnest(a_parts) p cross join unnest(p.items) i);
end $$;

-- The submissions of one call: if one is refused, what the others had stored is undone.
create or replace function celeriac.submit_call(inout c celeriac.change, a_call json, a_first bigint, out answers json[]) language plpgsql as $$
declare
  v_before celeriac.change := c;
  v_count integer := json_array_length(a_call);
  v_one json;
  v_part celeriac.change;
  v_parts celeriac.change[] := '{}';
  v_refusal json;
  r record;
begin
  if v_count = 1 then
    select t.* into r from celeriac.submit_one(c, a_call -> 0, a_first) t;
    c := r.c;
    answers := array[r.answer];
    return;
  end if;
  answers := '{}';
  begin
    for v_one in select value from json_array_elements(a_call) loop
      v_part := celeriac.part_of(c);
      select t.* into r from celeriac.submit_one(v_part, v_one, a_first) t;
      v_part := r.c;
      v_parts := v_parts || v_part;
      c.rows_left := v_part.rows_left;
      v_refusal := r.answer;
      answers := answers || v_refusal;
      if v_refusal ->> 'type' = 'conflict' then raise exception using errcode = '${aborted}'; end if;
    end loop;
    c := celeriac.put_together(c, v_parts);
  exception when sqlstate '${aborted}' then
    c := v_before;
    answers := array_fill(json_build_object('type', 'aborted'), array[cardinality(answers) - 1]) || v_refusal
      || array_fill(json_build_object('type', 'aborted'), array[v_count - cardinality(answers)]);
  end;
end $$;

create or replace function celeriac.submit_one(inout c celeriac.change, a_one json, a_first bigint, out answer json) language plpgsql as $$
declare
  s json := a_one -> 'about';
  v_number bigint := a_first + (s ->> 'number')::bigint;
  v_is_new boolean := false;
  r record;
begin
  if (s ->> 'key' is not null or s ->> 'unique' is not null) and celeriac.is_stored(s) then
    answer := json_build_object('type', 'existing', 'collectionId', s ->> 'id');
    return;
  end if;
  if s ->> 'key' is not null then answer := celeriac.recall(s, c.now); end if;
  if answer is not null then return; end if;
  if s ->> 'unique' is not null then
    select t.* into r from celeriac.take_unique(c, s, v_number) t;
    c := r.c;
    answer := r.answer;
  end if;
  if answer is null then
    select t.* into r from celeriac.store(c, s, a_one -> 'graph', v_number) t;
    c := r.c;
    v_is_new := r.is_new;
    answer := case when v_is_new then json_build_object('type', 'created', 'at', c.now)
      else json_build_object('type', 'existing', 'collectionId', s ->> 'id') end;
  end if;
  if v_is_new then return; end if;
  -- Nothing was stored under the keys that were taken for it. What answers by a held unique key answers so again.
  if answer ->> 'type' = 'existing' then
    update celeriac.idempotency set collection_id = answer ->> 'collectionId'
    where scope = coalesce(s ->> 'actor', '') and key = s ->> 'key' and collection_id = s ->> 'id';
  else
    delete from celeriac.idempotency where scope = coalesce(s ->> 'actor', '') and key = s ->> 'key' and collection_id = s ->> 'id'
      and expires_at = c.now + ${idempotencyMemory};
  end if;
  delete from celeriac.unique_keys where key = s ->> 'unique' and collection = v_number;
end $$;

-- Sent before, under its own id.
create or replace function celeriac.is_stored(s json) returns boolean language plpgsql as $$
begin
  if s ->> 'exit' is null then return exists (select 1 from celeriac.jobs where id = s ->> 'id'); end if;
  return exists (select 1 from celeriac.collections where id = s ->> 'id');
end $$;

create or replace function celeriac.store(inout c celeriac.change, s json, a_graph json, a_number bigint, out is_new boolean) language plpgsql as $$
declare
  j json;
  p celeriac.placement;
  r record;
begin
  if s ->> 'exit' is null then
    j := a_graph -> 'jobs' -> 0;
    select t.* into r from celeriac.insert_alone(c, a_number, null, array[j ->> 'id'], array[j ->> 'task'],
      array[j ->> 'args'], array[j ->> 'queue'], array[(j ->> 'priority')::integer], array[j ->> 'options'], array[s ->> 'actor'],
      array[s ->> 'description'], array[s ->> 'tags'], array[(s ->> 'retention')::bigint], array[s ->> 'claim'],
      array[(j ->> 'start_in')::bigint], array[(j ->> 'start_at')::bigint], array[(j ->> 'expires')::bigint],
      array[(j ->> 'timeout')::bigint]) t;
    c := r.c;
    is_new := r.stored = 1;
    if is_new and j ->> 'input' is not null then
      -- There is nothing before it: an input of no results, no failure or an empty summary.
      update celeriac.jobs set input = case when j ->> 'first' is null then j ->> 'input'
        else concat('s', a_number + (j ->> 'first')::bigint, ',', a_number + (j ->> 'last')::bigint) end where seq = a_number;
    end if;
    return;
  end if;
  p := row(a_number, a_number + 1, a_number + 1 + (s ->> 'job_count')::bigint, null, 1, null, 0, null);
  if a_graph is null and not exists (select 1 from celeriac.collections where id = s ->> 'id') then
    p := celeriac.place_upload(s ->> 'id', (s ->> 'job_count')::bigint, null);
    if p is null then
      raise exception using errcode = '${uploadGone}',
        message = 'A large graph is uploaded in parts before it is submitted: this one was not, or too long ago.';
    end if;
  end if;
  insert into celeriac.collections (number, id, state, exit, shape, created_at, description, actor, tags, callback_url, callback_results, retention, unique_claim)
  values (p.collection, s ->> 'id', 0, p.first_barrier + (s ->> 'exit')::bigint, s ->> 'shape', c.now, s ->> 'description',
    s ->> 'actor', s ->> 'tags', s ->> 'callback', s ->> 'callback_results', (s ->> 'retention')::bigint, s ->> 'claim')
  on conflict (id) do nothing;
  is_new := found;
  if not is_new then return; end if;
  if a_graph is null then
    delete from celeriac.uploads where id = s ->> 'id';
    -- The key was taken for the number of the call; the collection has had its own since the first part.
    update celeriac.unique_keys set collection = p.collection where key = s ->> 'unique' and collection = a_number;
  else
    c := celeriac.insert_graph(c, a_graph, p);
  end if;
  c := celeriac.decide_empty(c, p.first_barrier, p.first_barrier + (s ->> 'barrier_count')::bigint - 1, p.start);
end $$;
`
