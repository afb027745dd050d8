import { decideBySearch, releaseRest, settleBarriers, settleBySearch } from './cascade.ts'
import type { Change, WorkItem } from './change.ts'
import { work } from '../../engine/codes.ts'
import { cancelInside, cancelMembers } from './control.ts'
import { removeSome } from './retention.ts'
import { decideEmpty, reopenAll, resetMembers, restartMembers } from './retry.ts'

/** Goes on with an item for as long as the call may. True when it is done; else `item.after` says how far it came. */
const steps: Readonly<Record<WorkItem['kind'], (change: Change, item: WorkItem) => boolean>> = {
  [work.release]: (change, item) => releaseRest(change, item.subject),
  [work.cancel]: (change, item) => cancelMembers(change, item, item.subject, null),
  [work.cancelScope]: (change, item) => cancelMembers(change, item, item.detail, item.subject),
  [work.cancelInside]: cancelInside,
  [work.reset]: resetMembers,
  [work.restart]: restartMembers,
  [work.remove]: removeSome,
  [work.settle]: settleBySearch,
  [work.reopen]: reopenAll,
  [work.decide]: decideEmpty,
  [work.cause]: decideBySearch,
}

/**
 * Does what is left, oldest first, until nothing is or the call has done enough; what then remains is kept for the next. Of what is kept
 * only the item to go on with is read: every write comes by here, and the list may be long.
 */
export function settleWork(change: Change): boolean {
  settleBarriers(change)
  for (;;) {
    const item = oldest(change) ?? change.pending.shift()
    if (item === undefined) return false
    const isDone = change.left > 0 && steps[item.kind](change, item)
    settleBarriers(change)
    if (!isDone) keep(change, item)
    else if (item.number !== null) change.db.run('delete from celeriac_work where number = ?', item.number)
    if (isDone) continue
    for (const other of change.pending.splice(0)) keep(change, other)
    return true
  }
}

const oldest = (change: Change): WorkItem | undefined =>
  change.db.get<WorkItem>('select number, kind, subject, detail, after from celeriac_work order by number limit 1')

function keep(change: Change, item: WorkItem): void {
  if (item.number === null)
    change.db.run(
      'insert into celeriac_work (kind, subject, detail, after) values (?, ?, ?, ?)',
      item.kind,
      item.subject,
      item.detail,
      item.after,
    )
  else change.db.run('update celeriac_work set after = ? where number = ?', item.after, item.number)
}
