import type { StoredResult } from '../../core/job.ts'
import { hot } from './change.ts'

type Leaf = readonly [barrier: number, result: string | null, continuation: number | null, shape: string | null]

/** What `celeriac.results_at` found at this barrier; null where it was too large to come along. */
export function resultsIn(barrier: number, text: string | null): StoredResult[] | null {
  if (text === null) return null
  const leaves = new Map<number, Leaf[]>()
  for (const leaf of JSON.parse(text) as Leaf[]) {
    const others = leaves.get(leaf[0])
    if (others === undefined) leaves.set(leaf[0], [leaf])
    else others.push(leaf)
  }
  const at = (number: number): StoredResult[] =>
    (leaves.get(number) ?? []).map(([, json, continuation, shape]) =>
      continuation === null ? { json } : { shape: shape ?? '0', barrier: continuation, results: at(continuation) },
    )
  return at(barrier)
}

/**
 * The results at a barrier, with those of the canvases that its jobs continued as, and so on inward: all of them, or none
 * where they are longer than the limit, or more than so many rows. `[barrier, result, continuation, shape]` each, in order.
 */
export const resultFunctions = `
create or replace function celeriac.results_at(a_barrier bigint, a_limit bigint, a_rows integer) returns text language plpgsql stable ${hot} as $$
#variable_conflict use_column
declare
  v_text text;
begin
  with recursive nested (root, number) as (
    select a_barrier, a_barrier
    union all
    select i.root, i.number from nested n cross join lateral (
      select n.root, b.number from celeriac.barriers b where b.feeds = n.number
      union all
      select j.continuation, j.continuation from celeriac.jobs j
      where j.feeds = n.number and j.continuation is not null and j.archived is null
    ) i (root, number)
  ),
  reached as materialized (select * from nested limit a_rows + 1),
  leaves as materialized (
    select n.root, j.seq, j.result, j.continuation, j.shape
    -- Looked up for each barrier: a plan that thinks there are few would read all that feed any.
    from reached n cross join lateral (select * from celeriac.jobs where feeds = n.number and archived is null offset 0) j
    limit a_rows + 1
  )
  select case when (select count(*) from reached) <= a_rows and (select count(*) from leaves) <= a_rows
      and coalesce((select sum(coalesce(octet_length(result), 4)) from leaves where continuation is null), 0) <= a_limit
    then (select coalesce(json_agg(json_build_array(root, result, continuation, shape) order by seq)::text, '[]') from leaves) end
  into v_text;
  return v_text;
end $$;
`
