import { hasKey } from '../../engine/calls.ts'
import type { Submission } from '../../engine/intake.ts'
import { hot } from './change.ts'
import type { Value } from './database.ts'
import { optionsText, tagsText } from './insert.ts'

/** Stands in no JSON text and in no id. */
const separator = '\x1f'

/**
 * Jobs alone that differ in their ids and arguments only, which is most of what is sent in bulk, and any one that is sent
 * singly: the arguments of `celeriac.accept_alike` from the second on. Null where these are not such.
 */
export function alike(submissions: readonly Submission[]): Value[] | null {
  const [first] = submissions
  const model = first?.graph.jobs[0]
  if (first === undefined || model === undefined) return null
  const { options } = model
  if (options.startIn !== undefined || options.startAt !== undefined || options.expires !== undefined) return null
  const [ids, args]: [string[], string[]] = [[], []]
  for (const submission of submissions) {
    const job = submission.graph.jobs[0]
    if (job === undefined || job.task !== model.task || !isLike(submission, first)) return null
    ids.push(job.id)
    args.push(job.args)
  }
  return [
    model.task,
    options.queue ?? 'default',
    options.priority ?? 0,
    optionsText(options),
    first.actor?.id ?? null,
    first.description,
    tagsText([...new Set([...first.tags, ...(options.tags ?? [])])]),
    first.retention,
    options.timeout ?? null,
    ids.join(separator),
    args.join(separator),
  ]
}

/** Whether both are jobs alone without keys, and say the same but for their ids, tasks and arguments. */
function isLike(one: Submission, other: Submission): boolean {
  const { graph } = one
  const [job, model] = [graph.jobs[0], other.graph.jobs[0]]
  return (
    graph.exit === null &&
    !hasKey(one) &&
    job?.input.from === 'nothing' &&
    model !== undefined &&
    (job.options === model.options || optionsText(job.options) === optionsText(model.options)) &&
    one.actor?.id === other.actor?.id &&
    one.description === other.description &&
    one.retention === other.retention &&
    (one.tags === other.tags || tagsText(one.tags) === tagsText(other.tags))
  )
}

export const alikeFunctions = `
-- Lists are told as one text each, which is quicker on both sides than an array.
create or replace function celeriac.accept_alike(
  a_now bigint, a_task text, a_queue text, a_priority integer, a_options text, a_actor text, a_description text,
  a_tags text, a_retention bigint, a_timeout bigint, a_ids text, a_args text, a_channel text, a_payload text
) returns table (bits integer, existing integer[], at bigint) language plpgsql ${hot} as $$
#variable_conflict use_column
declare
  v_now bigint := celeriac.instant(a_now);
  v_ids text[] := string_to_array(a_ids, E'\\x1f');
  v_args text[] := string_to_array(a_args, E'\\x1f');
  v_count integer := cardinality(v_ids);
  v_first bigint := celeriac.take_numbers(v_count);
  v_last bigint := v_first + v_count - 1;
begin
  begin
    insert into celeriac.jobs (seq, collection, created_at, state, priority, id, task, queue, args, options, actor, description, tags,
      retention, timeout)
    select v_first + n.at - 1, v_first + n.at - 1, v_now, 2, a_priority, n.id, a_task, a_queue, n.args, a_options, a_actor, a_description,
      a_tags, a_retention, a_timeout
    from unnest(v_ids, v_args) with ordinality n (id, args, at);
  exception when unique_violation then
    -- Some were stored before.
    return query select s.bits, s.existing, s.at from celeriac.accept(a_now, v_count, null, null, v_ids,
      array_fill(a_task, array[v_count]), v_args, array_fill(a_queue, array[v_count]), array_fill(a_priority, array[v_count]),
      array_fill(a_options, array[v_count]), array_fill(a_actor, array[v_count]), array_fill(a_description, array[v_count]),
      array_fill(a_tags, array[v_count]), array_fill(a_retention, array[v_count]), null, null, null, null,
      array_fill(a_timeout, array[v_count])) s;
    return;
  end;
  insert into celeriac.ready (queue, rank, collection, seq) select a_queue, -a_priority, n, n from generate_series(v_first, v_last) n;
  insert into celeriac.events (number, at, changes, heads) values (
    nextval('celeriac.event_numbers'), v_now, concat('[32,', v_first, ',', v_last, ',0,1]'),
    array[row(a_queue, -a_priority, v_first, v_first)::celeriac.head]);
  if a_channel is not null then perform pg_notify(a_channel, a_payload); end if;
  bits := 3;
  at := v_now;
  return next;
end $$;
`
