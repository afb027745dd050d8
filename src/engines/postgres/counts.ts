import { type Count, counted, stateCounts } from '../../engine/counts.ts'
import type { StateCounts } from '../../engine/inspect.ts'
import type { Requests } from './database.ts'
import { isVisible } from './record.ts'

/** Jobs that were not needed and those of history do not count, nor what is being removed or uploaded. */
const countOf = (whose: string, own: string): string =>
  `select case when j.collection = j.seq then ${counted.alone} else ${counted.member} end, j.state, count(*) from celeriac.jobs j
     left join celeriac.collections c on c.number = j.collection
     where j.archived is null and (j.state <> 7 or j.reason <> 7) and c.removed_at is null and ${isVisible} and ${whose}
     group by 1, 2
   union all select ${counted.collection}, state, count(*) from celeriac.collections
     where removed_at is null and ${own} group by 2`
const ofAll = countOf('true', 'true')
/** The jobs of a job alone that continued are of whoever asked for that one. */
const ofOne = countOf(
  'coalesce(c.actor, (select h.actor from celeriac.jobs h where h.seq = j.collection)) = $1',
  'actor = $1',
)

export async function counts(requests: Requests, { actor }: { readonly actor?: string }): Promise<StateCounts> {
  return stateCounts(
    actor === undefined ? await requests.lists<Count>(ofAll) : await requests.lists<Count>(ofOne, actor),
  )
}
