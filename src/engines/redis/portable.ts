import type { Callback } from '../../core/collection.ts'
import type { StoredOptions } from '../../core/job.ts'
import { type Cell, type Row, rowColumns, type RowKind } from '../../engine/transfer.ts'
import { reason, role, state } from '../../engine/codes.ts'
import { longArgs, longResult } from './keys.ts'
import { defaultQueue } from '../../engine/queues.ts'
import { runsOf } from './pack.ts'
import { type JobRow, labelText, numberIn, readJob, readStanding } from './rows.ts'
import { readOptions } from '../../engine/job-options.ts'
import { readStored } from '../../engine/stored.ts'

/**
 * Rows as they travel from one store to another, from and to the rows of this one. In rows that came from elsewhere numbers
 * count from 0 in place of the first job of a graph (see keys.ts), until all of them are there and `tie` (see tie.ts) knows
 * the graphs.
 */

type Column<Kind extends RowKind> = (typeof rowColumns)[Kind][number]
/** A row by the names of its columns. */
export type Named<Kind extends RowKind> = Readonly<Record<Column<Kind>, Cell>>

export const named = <Kind extends RowKind>(kind: Kind, row: Row): Named<Kind> =>
  Object.fromEntries(rowColumns[kind].map((column, at) => [column, row[at] ?? null])) as Named<Kind>

export const listed = <Kind extends RowKind>(kind: Kind, row: Named<Kind>): Row =>
  rowColumns[kind].map((column) => (row as Readonly<Record<string, Cell>>)[column] ?? null)

const orEmpty = (cell: Cell): string => (cell === null ? '' : String(cell))
const or0 = (cell: Cell): number => (cell === null ? 0 : Number(cell))

// ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What is kept of a job, in keys of these kinds. */
export const jobKinds = ['j:', 's:', 'g:', 'r:', 'f:', 'p:', 'h:', 'u:'] as const
export type JobTexts = readonly (string | null)[]

export function exportJob(number: number, texts: JobTexts): Row {
  const [row, standing = null, args, result, failure, progress, shape, unique] = texts
  const job = readJob(number, row as string)
  const at = readStanding(job, standing)
  const isHeld = job.behind !== null && !isAgain(standing)
  return listed('jobs', {
    seq: number,
    id: job.id,
    collection: job.collection,
    state: at.state,
    task: job.task,
    queue: job.queue,
    priority: job.priority,
    created_at: job.createdAt,
    version: at.version,
    attempt: at.attempt,
    round: at.round,
    failures: at.failures,
    crashes: at.crashes,
    role: job.role,
    args: job.args ?? args ?? '[]',
    options: textOf(job.options),
    input: inputOut(job),
    behind: job.behind,
    fit: job.fit,
    feeds: job.feeds,
    scope: job.scope,
    parent: job.parent,
    depth: job.depth,
    continuation: at.continuation,
    shape: shape ?? null,
    archived: at.archived,
    start_in: isHeld && (at.state === state.scheduled || at.dueAt === null) ? job.startIn : null,
    due_at: at.dueAt,
    expires_at: at.expiresAt,
    timeout: job.timeout,
    session: at.session,
    started_at: at.startedAt,
    marked_at: at.markedAt,
    finished_at: at.finishedAt,
    reason: at.reason,
    cause: at.cause,
    progress: progressOut(progress ?? null, at.attempt),
    failure: failure ?? null,
    result: at.result ?? (at.longResult === null ? null : (result ?? null)),
    actor: job.label.actor,
    description: job.label.description,
    tags: listText(job.label.tags ?? job.options.tags ?? []),
    retention: job.label.retention,
    unique_claim: claimOut(unique ?? null),
  })
}

const isAgain = (standing: string | null): boolean => /^[^;\n\r]*;(?:[^,\n\r]*,){10}1/.test(standing ?? '')
const textOf = (options: StoredOptions): string | null => {
  const text = JSON.stringify(options)
  return text === '{}' ? null : text
}
const listText = (list: readonly string[]): string | null => (list.length === 0 ? null : JSON.stringify(list))

function progressOut(text: string | null, attempt: number): string | null {
  const end = text?.indexOf('\n') ?? -1
  return text !== null && Number(text.slice(0, end)) === attempt ? text.slice(end + 1) : null
}

/** The jobs that a summary counts: told by the first and the last of them. */
function inputOut({ input, base }: JobRow): string | null {
  if (!input.startsWith('s')) return input || null
  const runs = [...input.matchAll(/(\d+)(?:-(\d+))?(?:\/\d+)?/g)]
  const numbers = runs.flatMap(([, first, last = first]) => [Number(first), Number(last)])
  if (numbers.length === 0) return 's1,0'
  return `s${base + Math.min(...numbers)},${base + Math.max(...numbers)}`
}

function claimOut(text: string | null): string | null {
  if (text === null) return null
  const end = text.indexOf('\n')
  const until = text.slice(0, end)
  const held = /^\d+$/.test(until) ? Number(until) : until
  return JSON.stringify({ key: text.slice(end + 1), until: held, onConflict: 'reject' })
}

export function claimIn(text: Cell): string | null {
  if (text === null) return null
  const { key, until } = JSON.parse(String(text)) as { key: string; until: string | number }
  return `${until}\n${key}`
}

/** @param isMain tells of the jobs with smaller numbers in the same graph whether they count for a summary */
export function importJob(row: Named<'jobs'>, isMain: (number: number) => boolean): JobTexts {
  const args = String(row.args)
  const isLongArgs = args.length > longArgs
  const lines = [
    headText(row, inputIn(row, isMain)),
    row.queue === defaultQueue ? '' : String(row.queue),
    String(row.id),
    String(row.task),
    orEmpty(row.options),
    labelOf(row),
    isLongArgs ? '\r' : args,
  ]
  const result = row.result === null ? null : String(row.result)
  const isLongResult = result !== null && result.length > longResult
  return [
    lines.join('\n'),
    standingText(row) + (result === null ? '' : isLongResult ? `\r${result.length}` : `\n${result}`),
    isLongArgs ? args : null,
    isLongResult ? result : null,
    row.failure === null ? null : String(row.failure),
    row.progress === null ? null : `${row.attempt}\n${row.progress}`,
    row.shape === null ? null : String(row.shape),
    row.collection === row.seq ? claimIn(row.unique_claim) : null,
  ]
}

/** Of a job in a collection the tags are among its options. */
function labelOf(row: Named<'jobs'>): string {
  const isAlone = row.collection === row.seq
  return labelText({
    retention: row.retention as number | null,
    actor: row.actor as string | null,
    description: row.description as string | null,
    tags: isAlone && row.tags !== null ? readStored<string[] | null>(String(row.tags), null) : null,
  })
}

function headText(row: Named<'jobs'>, input: string): string {
  const options = readOptions(orEmpty(row.options))
  const expires = row.role === role.main ? options.expires : undefined
  return [
    row.created_at,
    0,
    row.collection,
    orEmpty(row.parent),
    row.depth,
    orEmpty(row.scope),
    row.round,
    row.role,
    orEmpty(row.behind),
    row.fit,
    orEmpty(row.feeds),
    '',
    options.startIn ?? '',
    options.startAt ?? '',
    expires ?? '',
    orEmpty(row.timeout),
    row.priority,
    input,
  ].join(',')
}

function standingText(row: Named<'jobs'>): string {
  const often = [row.state, row.version, row.attempt, '', row.session, row.started_at, row.finished_at]
  const { startIn, startAt } = readOptions(orEmpty(row.options))
  const isOpen = row.state === state.waiting || or0(row.state) >= state.succeeded
  const isFreed = startAt !== undefined && isOpen && row.due_at === null
  const again = startIn === undefined ? isFreed : row.start_in === null
  const seldom = [
    ...[row.round, row.failures, row.crashes, row.due_at, row.expires_at, row.marked_at],
    ...[row.reason, row.cause, row.continuation, row.archived, again ? 1 : null],
  ]
  return `${often.map(orEmpty).join(',')};${seldom.map(orEmpty).join(',')}`
}

function inputIn(row: Named<'jobs'>, isMain: (number: number) => boolean): string {
  const input = orEmpty(row.input)
  if (!input.startsWith('s')) return input
  const [first = 1, last = 0] = input.slice(1).split(',').map(Number)
  const span = Array.from({ length: Math.max(last - first + 1, 0) }, (_, at) => first + at)
  const main = span.filter(isMain)
  return `s${runsOf(main.length > 0 ? main : span.filter((number) => number !== row.seq))}`
}

/** Where a job stands among those that are queued, due and so on: key, score, member. */
export function placesOf(row: Named<'jobs'>): (readonly [key: string, score: string, member: string])[] {
  const [seq, collection] = [or0(row.seq), or0(row.collection)]
  const digits = String(seq)
  const place = String.fromCharCode(96 + digits.length) + digits
  const found: (readonly [string, string, string])[] = []
  if (row.state === state.queued) {
    const score = String(BigInt(collection) - BigInt(or0(row.priority)) * 1_099_511_627_776n)
    found.push([`${or0(row.crashes) > 0 ? 'suspects' : 'queue'}:${row.queue}`, score, place])
  }
  const isOpen = row.state === state.queued || row.state === state.scheduled
  if (row.state === state.scheduled) found.push(['due', orEmpty(row.due_at), digits])
  if (isOpen && row.expires_at !== null) found.push(['expiring', orEmpty(row.expires_at), digits])
  const isCause = row.state === state.failed || (row.state === state.cancelled && row.reason !== reason.failFast)
  if (row.scope !== null && row.role === role.main && isCause && row.archived === null)
    found.push([`scope:${row.scope}`, orEmpty(row.finished_at), place])
  return found
}

// ── collections and barriers ─────────────────────────────────────────────────────────────────────────────────────

export const collectionKinds = ['c:', 'k:', 'u:'] as const

export function exportCollection(number: number, [row, standing, unique]: JobTexts): Row {
  const [head = '', retention = '', id = '', shape = '', label = ''] = (row as string).split('\n')
  const [createdAt, base = 0, , , exit = 0] = head.split(',').map(Number)
  const [code, round, settledAt, cancelledAt] = (standing ?? '0,1,,,').split(',').map(numberIn)
  const about = JSON.parse(label) as Record<'actor' | 'description', string | null> & {
    tags: readonly string[] | null
    callback: Callback | null
  }
  return listed('collections', {
    number,
    id,
    state: code ?? 0,
    round: round ?? 1,
    exit: base + exit,
    shape,
    created_at: createdAt ?? 0,
    settled_at: settledAt ?? null,
    cancelled_at: cancelledAt ?? null,
    description: about.description,
    actor: about.actor,
    tags: listText(about.tags ?? []),
    callback_url: about.callback?.url ?? null,
    callback_results: about.callback?.results ?? null,
    retention: numberIn(retention),
    unique_claim: claimOut(unique ?? null),
  })
}

/** Of its graph nothing is known yet: it counts from 0, and has no jobs. */
export function importCollection(row: Named<'collections'>): JobTexts {
  const tags = row.tags === null ? null : readStored<string[] | null>(String(row.tags), null)
  const callback = row.callback_url === null ? null : { url: row.callback_url, results: row.callback_results ?? 'exit' }
  const label = { actor: row.actor, description: row.description, tags, callback }
  const head = [row.created_at, 0, 0, 0, row.exit].join(',')
  return [
    [head, orEmpty(row.retention), row.id, row.shape, JSON.stringify(label)].join('\n'),
    [row.state, row.round, orEmpty(row.settled_at), orEmpty(row.cancelled_at), ''].join(','),
    claimIn(row.unique_claim),
  ]
}

export const barrierKinds = ['b:', 'n:'] as const

export function exportBarrier(number: number, [row, standing]: JobTexts): Row {
  const { collection, inputs, feeds, gate, continues, settles } = readBarrier(row as string)
  const [pending, failed, decided, cause] = (standing ?? `${inputs},0,0,`).split(',').map(numberIn)
  return listed('barriers', {
    number,
    collection,
    inputs,
    pending: pending ?? 0,
    failed: failed ?? 0,
    decided: decided ?? 0,
    cause: cause ?? null,
    feeds,
    gate,
    continues,
    settles: settles ? 1 : 0,
  })
}

export interface BarrierRow {
  readonly collection: number
  readonly inputs: number
  readonly feeds: number | null
  readonly gate: number | null
  /** At the end: of the canvas that this job continued as, or of the collection. */
  readonly continues: number | null
  readonly settles: boolean
}

export function readBarrier(row: string): BarrierRow {
  const [base, collection, parent, , , inputs, feeds, gate, isExit] = (row.split('\n', 1)[0] as string)
    .split(',')
    .map(numberIn)
  const absolute = (offset: number | null | undefined): number | null =>
    offset === null || offset === undefined ? null : (base ?? 0) + offset
  return {
    collection: collection as number,
    inputs: inputs as number,
    feeds: absolute(feeds),
    gate: absolute(gate),
    continues: isExit === 1 ? (parent ?? null) : null,
    settles: isExit === 1 && parent === null,
  }
}

export function importBarrier(row: Named<'barriers'>): JobTexts {
  const isExit = row.continues !== null || row.settles === 1
  const graph = { base: 0, parent: row.continues as number | null, jobs: 0, barriers: 0, runs: '\n\n' }
  const about = {
    collection: or0(row.collection),
    inputs: or0(row.inputs),
    feeds: row.feeds as number | null,
    gate: row.gate as number | null,
    isExit,
  }
  return [barrierText(about, graph), [row.pending, row.failed, row.decided, orEmpty(row.cause)].join(',')]
}

export interface BarrierPlace {
  readonly base: number
  readonly parent: number | null
  readonly jobs: number
  readonly barriers: number
  readonly runs: string
}

export function barrierText(
  barrier: Pick<BarrierRow, 'collection' | 'inputs' | 'feeds' | 'gate'> & { readonly isExit: boolean },
  { base, parent, jobs, barriers, runs }: BarrierPlace,
): string {
  const offset = (number: number | null): number | '' => (number === null ? '' : number - base)
  const { collection, inputs, feeds, gate, isExit } = barrier
  const head = [base, collection, parent ?? '', jobs, barriers, inputs, offset(feeds), offset(gate), isExit ? 1 : 0]
  return `${head.join(',')}\n${runs}`
}
