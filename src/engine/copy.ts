import { CeleriacError } from '../core/errors.ts'
import { createIds } from '../core/id.ts'
import type { Runtime } from '../core/runtime.ts'
import {
  arrivingError,
  type Census,
  type Copy,
  movedError,
  notEmptyError,
  type Position,
  type RowKind,
  rowKinds,
  type Standing,
  type Transfer,
} from './transfer.ts'

export interface CopyRequest {
  readonly source: Transfer
  readonly target: Transfer
  /** Urls as they may be shown. */
  readonly from: string
  readonly to: string
  readonly runtime: Runtime
  /** Told after each page. */
  readonly onProgress?: (progress: CopyProgress) => void
  /** Ends it behind a page: it can be gone on with. */
  readonly signal?: AbortSignal
}

export interface CopyProgress {
  readonly kind: RowKind
  readonly done: number
  readonly total: number
}

/** `differs`: what is in the target is not what is in the source; it stays closed. `before`: it was done already. */
export type CopyReport =
  | { readonly type: 'copied' | 'differs'; readonly source: Census; readonly target: Census }
  | { readonly type: 'before' | 'stopped' }

const pageRows = 1_000

/**
 * Copies everything from one store to another, or goes on with that where it was broken off. Both are closed to all
 * other use meanwhile; afterwards the source stays so, lest the same jobs run twice.
 *
 * @throws CeleriacError STORE_BUSY, STORE_UNSUITABLE, STORE_MOVED, and what the stores themselves throw
 */
export async function copyStore(request: CopyRequest): Promise<CopyReport> {
  const { source, target } = request
  const [given, there] = [await source.standing(), await target.standing()]
  const copy = chooseCopy(given, there, request)
  if (there.type === 'used') {
    // The process that copied was killed after the target had opened.
    await source.leave(copy, true)
    return { type: 'before' }
  }
  await source.leave(copy, false)
  await target.begin(copy)
  const counted = await source.census()
  if (!(await copyRows(request, counted))) return { type: 'stopped' }
  const arrived = await target.census()
  if (!isSame(counted, arrived)) return { type: 'differs', source: counted, target: arrived }
  await source.leave(copy, true)
  await target.finish(counted.next)
  return { type: 'copied', source: counted, target: arrived }
}

/** The copy to begin or to go on with. Throws where these two stores are not at one about it. */
function chooseCopy(given: Standing, there: Standing, { from, to, runtime }: CopyRequest): Copy {
  if (given.type === 'arriving') throw arrivingError(given.copy.from)
  if (there.type === 'leaving') throw notEmptyError()
  const known = given.type === 'leaving' ? given.copy : null
  const arriving = there.type === 'arriving' ? there.copy : null
  if (arriving !== null && arriving.id !== known?.id) throw arrivingError(arriving.from)
  if (there.type === 'used' && (known === null || there.copy?.id !== known.id)) throw notEmptyError()
  if (known === null) return { id: createIds(runtime)(), from, to }
  const isElsewhere = there.type === 'empty' && (known.to !== to || (given as { isFinished?: boolean }).isFinished)
  if (isElsewhere) throw movedError(known.to)
  return known
}

/** False where it was told to stop before the end. */
async function copyRows(
  { source, target, runtime, onProgress, signal }: CopyRequest,
  counted: Census,
): Promise<boolean> {
  const reached = await target.standing()
  let position: Position | null = reached.type === 'arriving' ? reached.position : null
  const progress = { done: sum((await target.census()).rows), total: sum(counted.rows) }
  for (const kind of remaining(position)) {
    let after: string | null = position?.kind === kind ? position.after : null
    do {
      if (signal?.aborted) return false
      const page = await source.exportRows(kind, after, pageRows)
      after = page.after
      position = { kind, after }
      await target.importRows(kind, page.rows, position)
      progress.done += page.rows.length
      onProgress?.({ kind, ...progress })
      // An embedded store answers without giving way to anything else, such as ctrl-C.
      await new Promise<void>((resolve) => runtime.soon(resolve))
    } while (after !== null)
  }
  return true
}

function remaining(position: Position | null): readonly RowKind[] {
  if (position === null) return rowKinds
  const at = rowKinds.indexOf(position.kind)
  return rowKinds.slice(position.after === null ? at + 1 : at)
}

const sum = (rows: Census['rows']): number => Object.values(rows).reduce((total, count) => total + count, 0)

const isSame = (one: Census, other: Census): boolean =>
  rowKinds.every((kind) => one.rows[kind] === other.rows[kind]) &&
  Object.entries(one.jobs).every(([state, count]) => other.jobs[state as keyof Census['jobs']] === count)

// ── the way back ─────────────────────────────────────────────────────────────────────────────────────────────────

export interface UndoRequest {
  readonly source: Transfer
  /** null: it is not there any more. */
  readonly target: Transfer | null
  /** Also where the target was whole: what was done there since is done again here. */
  readonly isForced: boolean
}

/**
 * Gives a copy up: the source is used again, and a target that is not whole is emptied.
 *
 * @throws CeleriacError STORE_MOVED where the copy was finished, BAD_ARGUMENT where there is nothing to undo
 */
export async function undoCopy({ source, target, isForced }: UndoRequest): Promise<void> {
  const given = await source.standing()
  const there = target === null ? null : await target.standing()
  if (given.type === 'leaving') {
    const isOwn = there?.type === 'arriving' && there.copy.id === given.copy.id
    const isWhole = given.isFinished && !isOwn
    if (isWhole && !isForced) throw finishedError(given.copy)
    if (isOwn) await target?.abandon()
    return source.stay()
  }
  if (there?.type !== 'arriving')
    throw new CeleriacError('BAD_ARGUMENT', 'There is nothing to undo: neither store is part of an unfinished copy.')
  await target?.abandon()
}

const finishedError = ({ to }: Copy): CeleriacError =>
  new CeleriacError(
    'STORE_MOVED',
    `The copy to ${to} was finished: what was done there since would be done again here. If that is wanted, add --force, and use that store no more.`,
  )
