import type { Graph, GraphJob } from '../../core/graph.ts'
import type { JobRef } from '../../core/job.ts'
import type { SubmitAnswer, Submission } from '../../engine/intake.ts'
import { CeleriacError } from '../../core/errors.ts'
import { hot, rowsPerCall } from './change.ts'
import type { Ref } from './claim.ts'
import type { Requests, Value } from './database.ts'
import { graphRows, optionsText, tagsText } from './insert.ts'

/** At least so long an idempotency key is remembered; and as long as its collection is kept. */
const idempotencyMemory = 24 * 60 * 60_000
/** An upload that nobody goes on with is removed after so long. */
const uploadMemory = 60 * 60_000

export const isLarge = ({ jobs, barriers }: Graph): boolean => Math.max(jobs.length, barriers.length) > rowsPerCall
const isAlone = (graph: Graph): boolean => graph.exit === null
/** A collection takes a number of its own, its jobs and barriers the next ones; a job alone just one. */
const numbersOf = (graph: Graph): number =>
  isAlone(graph) || isLarge(graph) ? 1 : 1 + graph.jobs.length + graph.barriers.length

/** A job alone, without keys: such as these are stored together. */
const isSimple = ({ graph, idempotency, unique }: Submission): boolean =>
  isAlone(graph) && idempotency === null && unique === null && graph.jobs[0]?.input.from === 'nothing'

/** Queues that these graphs name and that are not known to be stored. */
export function newQueuesOf(jobs: Iterable<GraphJob>, known: ReadonlySet<string>): string[] {
  const found = new Set<string>()
  for (const { options } of jobs) if (options.queue !== undefined && !known.has(options.queue)) found.add(options.queue)
  return [...found]
}

export interface Submitted {
  readonly answers: SubmitAnswer[]
  readonly bits: number
  readonly queues: readonly string[]
}

/** @param known queues known to be stored: those that this call stores are told, and known once it is committed */
export async function submit(
  requests: Pick<Requests, 'call'>,
  now: number | null,
  submissions: readonly Submission[],
  known: ReadonlySet<string>,
): Promise<Submitted> {
  const alone = new AloneRows()
  const others: object[] = []
  const found = new Set<string>()
  let count = 0
  for (const submission of submissions) {
    const { graph } = submission
    if (!isLarge(graph)) for (const queue of newQueuesOf(graph.jobs, known)) found.add(queue)
    if (isSimple(submission)) alone.add(submission, count)
    else others.push(otherRow(submission, count))
    count += numbersOf(graph)
  }
  const queues = [...found]
  const [row] = await requests
    .call<readonly [bits: number, existing: readonly number[] | null, answers: string | null]>(
      'submit',
      now,
      count,
      queues.length === 0 ? null : queues,
      others.length === 0 ? null : JSON.stringify(others),
      ...alone.values(others.length > 0),
    )
    .catch(asUploadGone)
  const [bits, existing, answers] = row as NonNullable<typeof row>
  return { answers: answersOf(submissions, existing, answers), bits, queues }
}

function answersOf(
  submissions: readonly Submission[],
  existing: readonly number[] | null,
  answers: string | null,
): SubmitAnswer[] {
  const others = answers === null ? [] : (JSON.parse(answers) as SubmitAnswer[])
  const isThere = new Set(existing)
  let other = 0
  let at = 0
  return submissions.map((submission): SubmitAnswer => {
    if (!isSimple(submission)) return others[other++] as SubmitAnswer
    return isThere.has(++at) ? { type: 'existing', collectionId: submission.graph.id } : created
  })
}
const created: SubmitAnswer = { type: 'created' }

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
  const { graph, actor, description, tags, callbackUrl, retention, idempotency, unique } = submission
  const about = {
    number,
    id: graph.id,
    actor: actor?.id,
    description,
    retention,
    callback: callbackUrl,
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

/** The numbers of an upload do not depend on its parts, so each of them may be sent again. */
export async function upload(
  requests: Pick<Requests, 'call'>,
  now: number | null,
  graph: Graph,
  part: number,
  within: { readonly ref: JobRef; readonly token: number } | null,
  known: ReadonlySet<string>,
): Promise<{ readonly bits: number; readonly queues: readonly string[] }> {
  const from = part * rowsPerCall
  const parent = within === null ? null : (within.ref as Ref)
  const queues = newQueuesOf(graph.jobs.slice(from, from + rowsPerCall), known)
  const [row] = await requests
    .call<readonly [bits: number]>(
      'upload',
      now,
      graph.id,
      part,
      graph.jobs.length,
      graph.barriers.length,
      JSON.stringify(graphRows(graph, from, from + rowsPerCall)),
      queues.length === 0 ? null : queues,
      parent?.seq ?? null,
    )
    .catch(asUploadGone)
  return { bits: (row as NonNullable<typeof row>)[0], queues }
}

/** The state that the functions raise where an upload is not there. */
const uploadGone = 'CEL01'

export function asUploadGone(error: unknown): never {
  const cause: unknown = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (cause instanceof Error && 'code' in cause && cause.code === uploadGone)
    throw new CeleriacError('NOT_FOUND', cause.message)
  throw error
}

export const submitFunctions = `
create or replace function celeriac.submit(
  a_now bigint, a_count bigint, a_queues text[], a_others json, a_places integer[], a_ids text[], a_tasks text[], a_args text[],
  a_job_queues text[], a_priorities integer[], a_options text[], a_actors text[], a_descriptions text[], a_tags text[],
  a_retentions bigint[], a_unique text[], a_starts_in bigint[], a_starts_at bigint[], a_expires bigint[], a_timeouts bigint[]
) returns table (bits integer, existing integer[], answers text) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  c celeriac.change := celeriac.begin_change(a_now);
  v_first bigint := celeriac.take_numbers(a_count);
  v_stored integer;
  v_existing integer[];
  v_answers json[] := '{}';
  v_about json;
  v_graph json;
  v_answer json;
  r record;
begin
  perform celeriac.meet_queues(a_queues);
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
  if a_others is not null then
    for v_about, v_graph in select value -> 'about', value -> 'graph' from json_array_elements(a_others) loop
      select s.* into r from celeriac.submit_one(c, v_about, v_graph, v_first + (v_about ->> 'number')::bigint) s;
      c := r.c;
      v_answer := r.answer;
      v_answers := v_answers || v_answer;
    end loop;
  end if;
  return query select celeriac.finish(c), v_existing, array_to_json(v_answers)::text;
end $$;

-- A queue is known from the first job that names it.
create or replace function celeriac.meet_queues(a_queues text[]) returns void language plpgsql as $$
begin
  if a_queues is null then return; end if;
  insert into celeriac.queues (name) select name from unnest(a_queues) name order by 1 on conflict do nothing;
end $$;

create or replace function celeriac.submit_one(inout c celeriac.change, s json, a_graph json, a_number bigint, out answer json) language plpgsql as $$
declare
  v_is_new boolean := false;
  r record;
begin
  if s ->> 'key' is not null then answer := celeriac.recall(s, c.now); end if;
  if answer is not null then return; end if;
  if s ->> 'unique' is not null then
    select t.* into r from celeriac.take_unique(c, s, a_number) t;
    c := r.c;
    answer := r.answer;
  end if;
  if answer is null then
    select t.* into r from celeriac.store(c, s, a_graph, a_number) t;
    c := r.c;
    v_is_new := r.is_new;
    answer := case when v_is_new then json_build_object('type', 'created')
      else json_build_object('type', 'existing', 'collectionId', s ->> 'id') end;
  end if;
  if v_is_new then return; end if;
  -- Nothing was stored under the keys that were taken for it.
  delete from celeriac.idempotency where scope = coalesce(s ->> 'actor', '') and key = s ->> 'key' and collection_id = s ->> 'id'
    and expires_at = c.now + ${idempotencyMemory};
  delete from celeriac.unique_keys where key = s ->> 'unique' and collection = a_number;
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
  insert into celeriac.collections (number, id, state, exit, shape, created_at, description, actor, tags, callback_url, retention, unique_claim)
  values (p.collection, s ->> 'id', 0, p.first_barrier + (s ->> 'exit')::bigint, s ->> 'shape', c.now, s ->> 'description',
    s ->> 'actor', s ->> 'tags', s ->> 'callback', (s ->> 'retention')::bigint, s ->> 'claim')
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

-- ── large graphs ────────────────────────────────────────────────────────────────────────────────────────────────────

-- Where the parts of an upload go; null where it is not there. A continuation goes to the collection of its parent.
create or replace function celeriac.place_upload(a_id text, a_jobs bigint, a_parent bigint) returns celeriac.placement language sql as $$
  select row(u.collection, u.first + 1, u.first + 1 + a_jobs, u.first, celeriac.round_of(u.collection), a_parent,
    coalesce(j.depth + 1, 0), j.scope)::celeriac.placement
  from celeriac.uploads u left join celeriac.jobs j on j.seq = a_parent where u.id = a_id
$$;

create or replace function celeriac.round_of(a_collection bigint) returns integer language sql as $$
  select coalesce((select round from celeriac.collections where number = a_collection),
    (select round from celeriac.jobs where seq = a_collection), 1)
$$;

create or replace function celeriac.upload(
  a_now bigint, a_id text, a_part integer, a_jobs bigint, a_barriers bigint, a_graph json, a_queues text[], a_parent bigint
) returns integer language plpgsql ${hot} as $$
declare
  c celeriac.change := celeriac.begin_change(a_now);
  p celeriac.placement;
begin
  if a_part = 0 then perform celeriac.begin_upload(c.now, a_id, 1 + a_jobs + a_barriers, a_parent); end if;
  p := celeriac.place_upload(a_id, a_jobs, a_parent);
  if p is null then
    raise exception using errcode = '${uploadGone}', message = 'The first parts of this upload are gone: send it again from part 0.';
  end if;
  perform celeriac.meet_queues(a_queues);
  c := celeriac.insert_graph(c, a_graph, p);
  update celeriac.uploads set touched_at = c.now where id = a_id;
  return celeriac.finish(c);
end $$;

create or replace function celeriac.begin_upload(a_now bigint, a_id text, a_count bigint, a_parent bigint) returns void language plpgsql as $$
declare
  v_first bigint;
  v_collection bigint := (select collection from celeriac.jobs where seq = a_parent);
begin
  if exists (select 1 from celeriac.uploads where id = a_id) then return; end if;
  v_first := celeriac.take_numbers(a_count + 1);
  insert into celeriac.uploads (id, collection, first, last, created_at, touched_at)
  values (a_id, coalesce(v_collection, v_first), v_first + 1, v_first + a_count, a_now, a_now) on conflict do nothing;
  if not found then return; end if;
  insert into celeriac.barriers (number, collection, inputs, pending) values (v_first + 1, coalesce(v_collection, v_first), 0, 0);
end $$;

-- Removes uploads that nobody goes on with, some rows at a time.
create or replace function celeriac.abandon_uploads(a_now bigint) returns void language plpgsql as $$
#variable_conflict use_column
declare
  u celeriac.uploads;
  v_count integer;
begin
  select * into u from celeriac.uploads where touched_at < a_now - ${uploadMemory} limit 1 for update skip locked;
  if u.id is null then return; end if;
  with jobs as (
    delete from celeriac.jobs where seq in (select seq from celeriac.jobs where seq between u.first and u.last limit ${rowsPerCall}) returning 1
  ),
  barriers as (
    delete from celeriac.barriers where number in (
      select number from celeriac.barriers where number between u.first and u.last limit ${rowsPerCall}) returning 1
  )
  select (select count(*) from jobs) + (select count(*) from barriers) into v_count;
  if v_count = 0 then delete from celeriac.uploads where id = u.id; end if;
end $$;

-- ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Remembers an idempotency key, or answers by what it was taken for. Keys are scoped by actor: what one user chose must not
-- meet what another did.
create or replace function celeriac.recall(s json, a_now bigint) returns json language plpgsql as $$
declare
  v_fingerprint text;
  v_id text;
begin
  for n in 1 .. 3 loop
    insert into celeriac.idempotency (scope, key, fingerprint, collection_id, expires_at)
    values (coalesce(s ->> 'actor', ''), s ->> 'key', s ->> 'fingerprint', s ->> 'id', a_now + ${idempotencyMemory}) on conflict do nothing;
    if found then return null; end if;
    select fingerprint, collection_id into v_fingerprint, v_id from celeriac.idempotency
    where scope = coalesce(s ->> 'actor', '') and key = s ->> 'key';
    if found then
      if v_fingerprint = s ->> 'fingerprint' then return json_build_object('type', 'existing', 'collectionId', v_id); end if;
      return json_build_object('type', 'conflict', 'reason', 'idempotency', 'collectionId', v_id);
    end if;
  end loop;
  raise exception using errcode = '40001', message = 'The idempotency key comes and goes.';
end $$;

-- Takes a unique key, or answers by who holds it.
create or replace function celeriac.take_unique(inout c celeriac.change, s json, a_number bigint, out answer json) language plpgsql as $$
declare
  v_holder bigint;
  v_id text;
  r record;
begin
  for n in 1 .. 5 loop
    insert into celeriac.unique_keys (key, collection, until, expires_at)
    values (s ->> 'unique', a_number, s ->> 'until', c.now + (s ->> 'holds')::bigint) on conflict do nothing;
    if found then return; end if;
    v_holder := celeriac.holder_of(s ->> 'unique', c.now);
    continue when v_holder is null;
    v_id := coalesce((select id from celeriac.collections where number = v_holder), (select id from celeriac.jobs where seq = v_holder));
    if v_id = s ->> 'id' or s ->> 'on_conflict' = 'existing' then
      answer := json_build_object('type', 'existing', 'collectionId', v_id);
      return;
    elsif s ->> 'on_conflict' = 'reject' then
      answer := json_build_object('type', 'conflict', 'reason', 'unique', 'collectionId', v_id);
      return;
    end if;
    perform celeriac.hold_collections(array[v_holder]);
    select t.* into r from celeriac.cancel_collection(c, v_holder) t;
    c := r.c;
    delete from celeriac.unique_keys where key = s ->> 'unique' and collection = v_holder;
  end loop;
  raise exception using errcode = '40001', message = 'The unique key goes from hand to hand.';
end $$;

-- The collection that holds a unique key now.
create or replace function celeriac.holder_of(a_key text, a_now bigint) returns bigint language plpgsql as $$
declare
  v_holder bigint;
begin
  delete from celeriac.unique_keys where key = a_key and expires_at <= a_now;
  select collection into v_holder from celeriac.unique_keys where key = a_key;
  return v_holder;
end $$;
`
