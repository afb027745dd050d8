import type { Graph } from '../../core/graph.ts'
import type { JobRef } from '../../core/job.ts'
import { CeleriacError } from '../../core/errors.ts'
import { rowsPerCall } from '../../engine/limits.ts'
import { comesInParts, type GraphPart, partAt } from '../../engine/parts.ts'
import { uploadMemory } from '../../engine/retention.ts'
import { hot, unhurried } from './change.ts'
import type { Ref } from './claim.ts'
import type { Requests } from './database.ts'
import { graphRows } from './insert.ts'

/** A graph that is uploaded in parts. */
export const isLarge = (graph: Graph): boolean => comesInParts(graph, rowsPerCall)
export const partOf = (graph: Graph, part: number): GraphPart => partAt(graph, rowsPerCall, part)

/** The numbers of an upload do not depend on its parts, so each of them may be sent again. */
export async function upload(
  requests: Pick<Requests, 'call'>,
  now: number | null,
  graph: Graph,
  part: number,
  within: { readonly ref: JobRef; readonly token: number } | null,
): Promise<{ readonly bits: number }> {
  const { from, to } = partOf(graph, part)
  const parent = within === null ? null : (within.ref as Ref)
  const [row] = await requests
    .call<readonly [bits: number]>(
      'upload',
      now,
      graph.id,
      part,
      graph.jobs.length,
      graph.barriers.length,
      JSON.stringify(graphRows(graph, from, to)),
      parent?.seq ?? null,
    )
    .catch(asUploadGone)
  return { bits: (row as NonNullable<typeof row>)[0] }
}

/** The state that the functions raise where an upload is not there. */
export const uploadGone = 'CEL01'

export function asUploadGone(error: unknown): never {
  const cause: unknown = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (cause instanceof Error && 'code' in cause && cause.code === uploadGone)
    throw new CeleriacError('NOT_FOUND', cause.message)
  throw error
}

export const uploadFunctions = `
-- Where the parts of an upload go; null where it is not there. A continuation goes to the collection of its parent.
create or replace function celeriac.place_upload(a_id text, a_jobs bigint, a_parent bigint) returns celeriac.placement language plpgsql as $$
begin
  return (select row(u.collection, u.first + 1, u.first + 1 + a_jobs, u.first, celeriac.round_of(u.collection), a_parent,
    coalesce(j.depth + 1, 0), j.scope)::celeriac.placement
  from celeriac.uploads u left join celeriac.jobs j on j.seq = a_parent where u.id = a_id);
end $$;

create or replace function celeriac.round_of(a_collection bigint) returns integer language plpgsql as $$
begin
  return (select coalesce((select round from celeriac.collections where number = a_collection),
    (select round from celeriac.jobs where seq = a_collection), 1));
end $$;

create or replace function celeriac.upload(
  a_now bigint, a_id text, a_part integer, a_jobs bigint, a_barriers bigint, a_graph json, a_parent bigint
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

-- Removes uploads that nobody goes on with, some rows at a time. True where there may be more.
create or replace function celeriac.abandon_uploads(a_now bigint) returns boolean language plpgsql ${unhurried} as $$
#variable_conflict use_column
declare
  u celeriac.uploads;
  v_count integer;
begin
  select * into u from celeriac.uploads where touched_at < celeriac.instant(a_now) - ${uploadMemory} limit 1 for update skip locked;
  if u.id is null then return false; end if;
  with jobs as (
    delete from celeriac.jobs where seq in (select seq from celeriac.jobs where seq between u.first and u.last limit ${rowsPerCall}) returning 1
  ),
  barriers as (
    delete from celeriac.barriers where number in (
      select number from celeriac.barriers where number between u.first and u.last limit ${rowsPerCall}) returning 1
  )
  select (select count(*) from jobs) + (select count(*) from barriers) into v_count;
  if v_count = 0 then delete from celeriac.uploads where id = u.id; end if;
  return true;
end $$;
`
