import type { StoredOptions } from '../../core/job.ts'
import { role, state } from '../../engine/codes.ts'
import { readOptions } from '../../engine/job-options.ts'
import { defaultQueue } from '../../engine/queues.ts'
import { readStored } from '../../engine/stored.ts'

/** A job as it was submitted (`j:<n>`). */
export interface JobRow {
  readonly number: number
  readonly createdAt: number
  /** The number of the first job of its graph. */
  readonly base: number
  readonly collection: number
  readonly parent: number | null
  readonly depth: number
  readonly round: number
  readonly role: number
  readonly behind: number | null
  readonly fit: number
  readonly feeds: number | null
  readonly scope: number | null
  readonly startIn: number | null
  readonly startAt: number | null
  readonly expires: number | null
  readonly timeout: number | null
  readonly priority: number
  readonly input: string
  readonly queue: string
  readonly id: string
  readonly task: string
  readonly options: StoredOptions
  readonly label: Label
  /** The job that its success lets go, where nothing else is needed to know that. */
  readonly next: number | null
  /** Has that one a time-out? */
  readonly isNextTimed: boolean
  /** null where they are long, and stand in `g:<n>`. */
  readonly args: string | null
}

/** Of a job alone. */
export interface Label {
  readonly retention: number | null
  readonly actor: string | null
  readonly description: string | null
  readonly tags: readonly string[] | null
}
export const noLabel: Label = { retention: null, actor: null, description: null, tags: null }

export function labelText({ retention, actor, description, tags }: Label): string {
  const isEmpty = retention === null && actor === null && description === null && tags === null
  return isEmpty ? '' : `${retention ?? ''};${JSON.stringify([actor, description, tags])}`
}

function readLabel(text: string): Label {
  if (text === '') return noLabel
  const at = text.indexOf(';')
  const none: readonly [actor: string | null, description: string | null, tags: readonly string[] | null] = [
    null,
    null,
    null,
  ]
  const [actor, description, tags] = readStored(text.slice(at + 1), none)
  return { retention: numberIn(text.slice(0, at)), actor, description, tags }
}

export const numberIn = (text: string | undefined): number | null =>
  text === undefined || text === '' ? null : Number(text)

export function readJob(number: number, row: string): JobRow {
  const ends: number[] = []
  for (let at = -1, line = 0; line < 6; line++) ends.push((at = row.indexOf('\n', at + 1)))
  const line = (n: number): string => row.slice((ends[n - 1] as number) + 1, ends[n])
  const head = row.slice(0, ends[0])
  const args = row.slice((ends[5] as number) + 1)
  const label = line(5)
  const known = head.includes(',') ? readHead(head) : plainHead(number, head)
  const isLinked = label.startsWith('>')
  return {
    number,
    ...known,
    queue: line(1) || defaultQueue,
    id: line(2),
    task: line(3),
    options: readOptions(line(4)),
    label: isLinked ? noLabel : readLabel(label),
    next: isLinked ? known.base + Number.parseInt(label.slice(1), 10) : null,
    isNextTimed: isLinked && label.endsWith('t'),
    args: args === '\r' ? null : args,
  }
}

type Head = Omit<JobRow, 'number' | 'queue' | 'id' | 'task' | 'options' | 'label' | 'next' | 'isNextTimed' | 'args'>

const plainHead = (number: number, createdAt: string): Head => ({
  createdAt: Number(createdAt),
  base: number,
  collection: number,
  parent: null,
  depth: 0,
  round: 1,
  role: role.main,
  behind: null,
  fit: 0,
  feeds: null,
  scope: null,
  startIn: null,
  startAt: null,
  expires: null,
  timeout: null,
  priority: 0,
  input: '',
})

/** Those side by side in a graph have one head. */
let last: { readonly text: string; readonly head: Head } | null = null
function readHead(text: string): Head {
  if (text !== last?.text) last = { text, head: parseHead(text.split(',')) }
  return last.head
}

function parseHead(parts: readonly string[]): Head {
  const at = (position: number): number | null => numberIn(parts[position])
  const base = at(1) as number
  const absolute = (position: number): number | null => (parts[position] === '' ? null : base + Number(parts[position]))
  const roleOf = at(7) as number
  return {
    createdAt: at(0) as number,
    base,
    collection: at(2) as number,
    parent: at(3),
    depth: at(4) as number,
    round: at(6) as number,
    role: roleOf,
    behind: absolute(8),
    fit: at(9) as number,
    feeds: absolute(10),
    scope: roleOf === role.main ? (at(5) ?? absolute(11)) : null,
    startIn: at(12),
    startAt: at(13),
    expires: at(14),
    timeout: at(15),
    priority: at(16) as number,
    input: readInput(parts.slice(17).join(',')),
  }
}

/** The result of one job is the results of a barrier that it alone feeds. */
const readInput = (text: string): string => (text.startsWith('o') ? `r${text.slice(text.indexOf(':') + 1)}` : text)

/** How a job stands (`s:<n>`). */
export interface Standing {
  readonly state: number
  readonly version: number
  readonly attempt: number
  readonly token: string
  readonly session: number | null
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly round: number
  readonly failures: number
  readonly crashes: number
  readonly dueAt: number | null
  readonly expiresAt: number | null
  readonly markedAt: number | null
  readonly reason: number | null
  readonly cause: number | null
  readonly continuation: number | null
  readonly archived: number | null
  /** null: there is none, or it is long and stands in `r:<n>`. */
  readonly result: string | null
  /** Characters of a result that is long; null where there is none. */
  readonly longResult: number | null
}

export function readStanding(job: JobRow, row: string | null): Standing {
  const submitted: Standing = {
    ...untouched,
    state: job.behind === null ? state.queued : state.waiting,
    round: job.round,
    dueAt: job.behind === null ? null : job.startAt,
    expiresAt: job.expires === null ? null : job.createdAt + job.expires,
  }
  if (row === null) return submitted
  const end = row.search(/[\n\r]/)
  const result = end < 0 ? '' : row.slice(end)
  const [often = '', seldom] = (end < 0 ? row : row.slice(0, end)).split(';', 2) as [string, string?]
  const [code, version, attempt, token = '', session, startedAt, finishedAt] = often.split(',')
  return {
    ...submitted,
    ...(seldom !== undefined && readSeldom(seldom)),
    dueAt: dueAtOf(job, Number(code), Number(attempt), seldom),
    state: Number(code),
    version: Number(version),
    attempt: Number(attempt),
    token,
    session: numberIn(session),
    startedAt: numberIn(startedAt),
    finishedAt: numberIn(finishedAt),
    result: result.startsWith('\n') ? result.slice(1) : null,
    longResult: result.startsWith('\r') ? Number(result.slice(1)) : null,
  }
}

/** From when on it may start; also of a job that ended before it had begun, which a retry holds until then. */
function dueAtOf(job: JobRow, code: number, attempt: number, seldom = ''): number | null {
  const [, , , dueAt, , , , , , archived, again] = seldom.split(',').map(numberIn)
  if (code === state.scheduled) return dueAt ?? null
  const isHeld = code === state.waiting || (code >= state.succeeded && attempt === 0 && (archived ?? null) === null)
  if (!isHeld) return null
  return dueAt ?? (job.behind !== null && again !== 1 ? job.startAt : null)
}

const untouched: Standing = {
  state: state.queued,
  version: 1,
  attempt: 0,
  token: '',
  session: null,
  startedAt: null,
  finishedAt: null,
  round: 1,
  failures: 0,
  crashes: 0,
  dueAt: null,
  expiresAt: null,
  markedAt: null,
  reason: null,
  cause: null,
  continuation: null,
  archived: null,
  result: null,
  longResult: null,
}

function readSeldom(seldom: string): Partial<Standing> {
  const [round, failures, crashes, dueAt, expiresAt, markedAt, why, cause, continuation, archived] = seldom
    .split(',')
    .map(numberIn)
  return {
    round: round as number,
    failures: failures as number,
    crashes: crashes as number,
    dueAt: dueAt as number | null,
    expiresAt: expiresAt as number | null,
    markedAt: markedAt as number | null,
    reason: why as number | null,
    cause: cause as number | null,
    continuation: continuation as number | null,
    archived: archived as number | null,
  }
}
