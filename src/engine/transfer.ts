import { CeleriacError } from '../core/errors.ts'
import type { JobState } from '../core/job.ts'

/**
 * Moving everything that a store holds to another, of the same kind or not. Both are closed to all other use while it
 * lasts, so a copy may be broken off at any point and gone on with; every call may be sent again.
 *
 * The source: `leave`, then pages of `exportRows`, then `leave` as finished. The target: `begin`, `importRows` for each
 * page, `finish`. Numbers of jobs, barriers and collections stay what they are, for rows name each other by them; the
 * feed of changes begins anew.
 */
export interface Transfer {
  standing(): Promise<Standing>
  /** What there is to copy, or what was copied: counted in the rows themselves. */
  census(): Promise<Census>

  /**
   * The source closes: from here on every write to it, from whatever process, is refused with STORE_MOVED. What large
   * changes left to do is done first; what is marked as running though no worker lives is given back.
   *
   * @param isFinished the target is whole: from here on only force takes this back
   * @throws CeleriacError STORE_BUSY while sessions of workers live there
   */
  leave(copy: Copy, isFinished: boolean): Promise<void>
  /** Undoes `leave`. */
  stay(): Promise<void>
  /**
   * Rows of one kind in an order that stays the same, from where the last page ended (null: from the first). At most
   * `limit`, fewer where they are large (`pageSize`), one at least unless there is none.
   */
  exportRows(kind: RowKind, after: string | null, limit: number): Promise<ExportPage>

  /**
   * The target closes until it is whole: whoever uses it is refused with STORE_UNSUITABLE. Values that were stored there
   * are removed: those of the source take their place. Nothing where this copy has begun before.
   *
   * @throws CeleriacError STORE_UNSUITABLE where there are jobs in it, or workers that live
   */
  begin(copy: Copy): Promise<void>
  /** Stores a page, and with it how far the copy has come. Rows that are there already stay as they are. */
  importRows(kind: RowKind, rows: readonly Row[], position: Position): Promise<void>
  /** The target opens. Numbers are taken from `next` on. */
  finish(next: number): Promise<void>
  /** Empties a target that is not whole, and opens it. */
  abandon(): Promise<void>
}

/** Urls as they may be shown: without passwords. */
export interface Copy {
  readonly id: string
  readonly from: string
  readonly to: string
}

export type Standing =
  | { readonly type: 'empty' }
  /** `copy`: the finished one that filled it. */
  | { readonly type: 'used'; readonly copy: Copy | null }
  | { readonly type: 'leaving'; readonly copy: Copy; readonly isFinished: boolean }
  | { readonly type: 'arriving'; readonly copy: Copy; readonly position: Position | null }

/** What comes after the rows of this kind up to `after` (null: after all of them) is still to be copied. */
export interface Position {
  readonly kind: RowKind
  readonly after: string | null
}

export interface ExportPage {
  readonly rows: readonly Row[]
  /** Where to go on; null after the last row. */
  readonly after: string | null
}

export interface Census {
  readonly rows: Readonly<Record<RowKind, number>>
  readonly jobs: Readonly<Record<JobState, number>>
  /** The first number that was never given to a job, barrier or collection. */
  readonly next: number
}

export type Cell = string | number | null
/** Values in the order of `rowColumns`. */
export type Row = readonly Cell[]

/** About so many characters of text make a page full, however few its rows. */
export const pageSize = 4 * 1_048_576

/** What is copied, in this order, and the form that it travels in. */
export type RowKind = keyof typeof rowColumns

/**
 * Instants in milliseconds, flags as 0 and 1, words as the numbers in `codes.ts`, JSON as text. The columns
 * that come first tell rows apart. Tokens, deadlines and leases are left out: nothing runs while rows travel.
 */
export const rowColumns = {
  sessions: [
    ...['number', 'id', 'name', 'host', 'pid', 'queues', 'concurrency'],
    ...['started_at', 'seen_at', 'expires_at', 'ended_at', 'lost'],
  ],
  queues: ['name', 'paused'],
  collections: [
    ...['number', 'id', 'state', 'round', 'exit', 'shape', 'created_at', 'settled_at', 'cancelled_at'],
    ...['description', 'actor', 'tags', 'callback_url', 'callback_results', 'retention', 'unique_claim'],
  ],
  barriers: [
    ...['number', 'collection', 'inputs', 'pending', 'failed', 'decided'],
    ...['cause', 'feeds', 'gate', 'continues', 'settles'],
  ],
  jobs: [
    ...['seq', 'id', 'collection', 'state', 'task', 'queue', 'priority', 'created_at', 'version'],
    ...['attempt', 'round', 'failures', 'crashes', 'role', 'args', 'options', 'input', 'behind', 'fit', 'feeds'],
    ...['scope', 'parent', 'depth', 'continuation', 'shape', 'archived', 'start_in', 'due_at', 'expires_at'],
    ...['timeout', 'session', 'started_at', 'marked_at', 'finished_at', 'reason', 'cause', 'progress'],
    ...['failure', 'result', 'actor', 'description', 'tags', 'retention', 'unique_claim'],
  ],
  attempts: ['job', 'attempt', 'round', 'session', 'started_at', 'finished_at', 'outcome', 'failure'],
  log: ['number', 'job', 'attempt', 'at', 'level', 'message', 'data'],
  notes: ['job', 'name', 'value'],
  unique: ['key', 'collection', 'collection_id', 'until', 'expires_at'],
  idempotency: ['scope', 'key', 'fingerprint', 'collection_id', 'expires_at'],
  leaving: ['due_at', 'runs'],
  // Last: a copy that an older version began goes on with them.
  values: ['kind', 'id', 'text', 'expires_at'],
} as const satisfies Readonly<Record<string, readonly string[]>>

export const rowKinds = Object.keys(rowColumns) as readonly RowKind[]

/** By how many of their first columns rows are told apart, where not by one. */
const keyLength: Readonly<Partial<Record<RowKind, number>>> = {
  attempts: 2,
  notes: 2,
  idempotency: 2,
  leaving: 2,
  values: 2,
}
export const keyOf = (kind: RowKind): readonly string[] => rowColumns[kind].slice(0, keyLength[kind] ?? 1)

// ── what a closed store says ─────────────────────────────────────────────────────────────────────────────────────

/** Also as text that a store itself can raise: `movedText(to)` and `arrivingText(from)` are read back by `closedBy`. */
export const movedText = (to: string): string => `celeriac: moved to ${to}`
export const arrivingText = (from: string): string => `celeriac: being filled from ${from}`

/** The error that a text raised by the store stands for; null where it is another text. */
export function closedBy(text: string): CeleriacError | null {
  const [, word, url = ''] = /celeriac: (moved to|being filled from) (.*)/s.exec(text) ?? []
  if (word === undefined) return null
  return word === 'moved to' ? movedError(url) : arrivingError(url)
}

export const movedError = (to: string): CeleriacError =>
  new CeleriacError(
    'STORE_MOVED',
    `What was in this store has been copied to ${to}, or is being copied: use that url. A copy that is not to be finished is given up with celeriac copy --undo.`,
  )

export const arrivingError = (from: string): CeleriacError =>
  new CeleriacError(
    'STORE_UNSUITABLE',
    `This store is being filled from ${from} and cannot be used until that is done: finish it with the same celeriac copy, or give it up with celeriac copy --undo.`,
  )

/** Throws where a store in this standing is closed. */
export function refuseClosed(standing: Standing): void {
  if (standing.type === 'leaving') throw movedError(standing.copy.to)
  if (standing.type === 'arriving') throw arrivingError(standing.copy.from)
}

export const liveError = (worker: {
  readonly name: string
  readonly host: string
  readonly pid: number
}): CeleriacError =>
  new CeleriacError(
    'STORE_BUSY',
    `The worker ${worker.name} (process ${worker.pid} on ${worker.host}) still lives in the store: stop all workers, then copy again. One that was killed counts as living until its lease is over.`,
  )

export const notEmptyError = (): CeleriacError =>
  new CeleriacError(
    'STORE_UNSUITABLE',
    'There are jobs or paused queues in the target already, so nothing is copied there: name an empty store, such as another file, schema or namespace.',
  )
