import { decideBySearch, releaseRest, settleBarriers, settleBySearch } from './cascade.ts'
import type { Change, WorkItem } from './change.ts'
import { work } from '../../engine/codes.ts'
import { workPause } from '../../engine/recovery.ts'
import { isOfRow, storeError } from './database.ts'
import { CeleriacError } from '../../core/errors.ts'
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
    const isDone = change.left > 0 && takeStep(change, item)
    if (!isDone) keep(change, item)
    else if (item.number !== null) change.db.run('delete from celeriac_work where number = ?', item.number)
    if (isDone) continue
    for (const other of change.pending.splice(0)) keep(change, other)
    return true
  }
}

/** What another call left to do failed in this one. The transaction is to be rolled back, the item put off, and the call made again. */
export class LeftoverFault extends Error {
  readonly number: number
  readonly item: string

  constructor({ number, kind, subject }: WorkItem, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.number = number as number
    this.item = `large change ${subject} (${kind})`
  }
}

function takeStep(change: Change, item: WorkItem): boolean {
  try {
    const isDone = steps[item.kind](change, item)
    settleBarriers(change)
    return isDone
  } catch (error) {
    if (item.number === null || isOfTheStore(error)) throw error
    throw new LeftoverFault(item, error)
  }
}

/** The disk is full, the file is locked: nothing is wrong with the item. */
function isOfTheStore(error: unknown): boolean {
  if (isOfRow(error)) return false
  const known = storeError(error)
  return known instanceof CeleriacError && known.code !== 'STORE_FAILED'
}

/** Puts off an item that failed, so that it holds up nothing else. */
export function putOff(change: Change, { number }: LeftoverFault): void {
  change.db.run('update celeriac_work set not_before = ? where number = ?', change.now + workPause, number)
}

const oldest = (change: Change): WorkItem | undefined =>
  change.db.get<WorkItem>(
    'select number, kind, subject, detail, after from celeriac_work where not_before <= ? order by number limit 1',
    change.now,
  )

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
