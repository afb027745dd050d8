import { talliesKept } from '../../engine/retention.ts'
import type { Tally } from '../../engine/work.ts'
import type { Database } from './database.ts'

interface StatisticsQuery {
  readonly from: number
  readonly to: number
  readonly task?: string
}

export function statistics(db: Database, { from, to, task }: StatisticsQuery): Promise<Tally[]> {
  return db.all<Tally>(
    `select task, minute, sum(succeeded)::bigint as succeeded, sum(failed)::bigint as failed, sum(retried)::bigint as retried,
       sum(cancelled)::bigint as cancelled, sum(ran)::bigint as ran, max(longest) as longest
     from celeriac.tallies where minute >= greatest($1, celeriac.instant($4) - ${talliesKept}) and minute < $2
       and ($3::text is null or task = $3) group by minute, task order by minute, task`,
    from,
    to,
    task ?? null,
    db.now(),
  )
}

const totals = ['succeeded', 'failed', 'retried', 'cancelled', 'ran', 'longest']

export const statisticsFunctions = `
-- Totals only grow, so the greater ones are the newer: a beat may arrive behind the one that was sent after it.
create or replace function celeriac.store_tallies(a_session bigint, a_tallies json) returns void language plpgsql as $$
#variable_conflict use_column
begin
  insert into celeriac.tallies as t (session, minute, task, ${totals.join(', ')})
  select a_session, minute, task, ${totals.join(', ')}
  from json_to_recordset(a_tallies) as x (minute bigint, task text, ${totals.map((name) => `${name} bigint`).join(', ')})
  on conflict (minute, task, session) do update set
    ${totals.map((name) => `${name} = greatest(t.${name}, excluded.${name})`).join(', ')};
end $$;
`
