import type { Runtime } from '../../core/runtime.ts'
import { type Count, counted, stateCounts } from '../../engine/counts.ts'
import type { StateCounts } from '../../engine/inspect.ts'
import { nextNumber } from './change.ts'
import type { Database } from './database.ts'
import { isVisible } from './submit.ts'

/** No index tells states. So all numbers are gone through, so many at a time, and others have their turn in between. */
const window = 10_000

/** Jobs that were not needed and those of history do not count, nor what is being removed or uploaded. */
const countIn = (whose: string, own: string): string =>
  `select iif(j.collection = j.seq, ${counted.alone}, ${counted.member}), j.state, count(*) from celeriac_jobs j
     left join celeriac_collections c on c.number = j.collection
     where j.seq >= ?1 and j.seq < ?2 and j.archived is null and (j.state <> 7 or j.reason <> 7) and c.removed_at is null
       and ${isVisible} and ${whose} group by 1, 2
   union all select ${counted.collection}, state, count(*) from celeriac_collections
     where number >= ?1 and number < ?2 and removed_at is null and ${own} group by 2`
const ofAll = countIn('true', 'true')
/** The jobs of a job alone that continued are of whoever asked for that one. */
const ofOne = countIn(
  'coalesce(c.actor, (select h.actor from celeriac_jobs h where h.seq = j.collection)) = ?3',
  'actor = ?3',
)

const firstFrom = `select min(first) as first from (
  select min(seq) as first from celeriac_jobs where seq >= ? union all select min(number) from celeriac_collections where number >= ?)`

export async function counts(
  db: Database,
  runtime: Pick<Runtime, 'soon'>,
  { actor }: { readonly actor?: string },
): Promise<StateCounts> {
  const next = await db.read(() => nextNumber(db))
  const found: Count[] = []
  // Damaged numbers are far away: where there are none, nothing is gone through.
  for (let from = 0; from < next; from += window) {
    const first = await db.read(() => db.get<{ first: number | null }>(firstFrom, from, from)?.first ?? null)
    if (first === null) break
    from = Math.max(first, from)
    const bounds = [from, from + window] as const
    found.push(
      ...(await db.read(() =>
        actor === undefined ? db.lists<Count>(ofAll, ...bounds) : db.lists<Count>(ofOne, ...bounds, actor),
      )),
    )
    await new Promise<void>((resolve) => runtime.soon(resolve))
  }
  return stateCounts(found)
}
