import type { JobSummary } from '../../core/handle.ts'
import { type JobState, jobStates } from '../../core/job.ts'
import { jobsOf, type Outline, stateOf } from '../../core/outline.ts'
import { formatDuration } from '../../core/time.ts'
import { isFinal } from '../../core/transitions.ts'

/** One line of the tree, and what it says. */
export interface Row {
  /** The same for the same part of the canvas, however it changes. */
  readonly key: string
  readonly level: number
  /** Its place among those beside it, from 1, and how many they are. */
  readonly place: number
  readonly size: number
  readonly name: string
  readonly state: JobState
  /** Hung on what it stands under: it does not change how that ended. */
  readonly isSide: boolean
  /** What is worth saying beside that: with what, attempts, waits, counts. */
  readonly about: string
  /** `share` of the whole is from 0 to 1; null where nobody knows the whole. */
  readonly progress: { readonly share: number | null; readonly text: string } | null
  readonly failure: string
  /** Whether the failure is longer than what is shown of it at first; and whether all of it is shown. */
  readonly isLong: boolean
  readonly isWhole: boolean
  readonly duration: string
  /** null: there is nothing inside. */
  readonly isOpen: boolean | null
}

/** What people have opened or closed, and how much they want to see of what is long. */
export interface Choices {
  readonly open: ReadonlyMap<string, boolean>
  readonly shown: ReadonlyMap<string, number>
  /** The rows whose failure is shown whole. */
  readonly whole?: ReadonlySet<string>
  /** Only jobs of this state, in one list. */
  readonly only?: JobState | null
}

/** What stands in place of the rows that are not shown yet. */
export const moreKey = 'more:'
/** A group of more than so many is told in one row, until it is opened. */
export const mostOpen = 12
/** So many rows at once of what is long. */
export const pageSize = 100
/** So much of a failure at first: a stack or a page of HTML would push all else out of sight. */
const mostLines = 4
const mostCharacters = 400

/** The rows that are to be seen, in their order. */
export function rowsOf(outline: Outline | null, choices: Choices, now: number): Row[] {
  if (!outline) return []
  const rows = new Rows(choices, now)
  if (choices.only) {
    const found = allJobs(outline).filter(({ job }) => job.state === choices.only)
    rows.add(
      found.map((one) => ({ outline: { ...one, inside: null, branches: [] }, isSide: one.job.role !== 'main' })),
      1,
      `only:${choices.only}`,
    )
    return rows.list
  }
  const parts = outline.kind === 'chain' ? partsOf(outline) : [{ outline, isSide: false }]
  rows.add(parts, 1, 'all')
  return rows.list
}

/** The jobs in it, and in what their handlers returned, with what hangs on them. */
function allJobs(outline: Outline): Extract<Outline, { kind: 'job' }>[] {
  const own =
    outline.kind === 'job'
      ? [outline, ...(outline.inside ? allJobs(outline.inside) : [])]
      : outline.parts.flatMap(allJobs)
  return [...own, ...outline.branches.flatMap(allJobs)]
}

interface Part {
  readonly outline: Outline
  readonly isSide: boolean
}

class Rows {
  readonly list: Row[] = []
  readonly #choices: Choices
  readonly #now: number

  constructor(choices: Choices, now: number) {
    this.#choices = choices
    this.#now = now
  }

  add(parts: readonly Part[], level: number, parent: string): void {
    const most = this.#choices.shown.get(parent) ?? pageSize
    const shown = parts.length > most ? parts.slice(0, most) : parts
    const size = shown.length + (shown.length < parts.length ? 1 : 0)
    for (const [index, { outline, isSide }] of shown.entries()) {
      const key = keyOf(outline, level)
      const inside = failedFirst(partsInside(outline), outline.kind)
      const isOpen = inside.length === 0 ? null : (this.#choices.open.get(key) ?? isOpenAtFirst(outline))
      const about = { key, level, place: index + 1, size, isSide, isOpen }
      this.list.push(outline.kind === 'job' ? this.#ofJob(outline, about) : this.#ofParts(outline, about))
      if (isOpen) this.add(inside, level + 1, key)
    }
    if (shown.length < parts.length) this.#addMore(parts.slice(most), { level, place: size, size, parent })
  }

  #ofJob({ job, inside }: Extract<Outline, { kind: 'job' }>, about: Place): Row {
    const state = inside && job.continued && !isFinal(job.state) ? stateOf(inside) : job.state
    return {
      ...about,
      name: job.task,
      state,
      about: aboutJob(job, this.#now),
      progress: progressOf(job),
      ...this.#failure(job, about.key),
      duration: this.#duration([job], state),
    }
  }

  /** Its beginning, until somebody wants to see all of it. */
  #failure(job: JobSummary | undefined, key: string): Pick<Row, 'failure' | 'isLong' | 'isWhole'> {
    const whole = job ? failureOf(job) : ''
    const first = whole.split('\n').slice(0, mostLines).join('\n').slice(0, mostCharacters)
    const isLong = first.length < whole.length
    const isWhole = isLong && this.#choices.whole?.has(key) === true
    return { failure: isLong && !isWhole ? `${first} …` : whole, isLong, isWhole }
  }

  #ofParts(outline: Extract<Outline, { kind: 'chain' | 'group' }>, about: Place): Row {
    const jobs = jobsOf(outline)
    const state = stateOf(outline)
    const failed = jobs.find((job) => failureOf(job) !== '')
    return {
      ...about,
      name: nameOf(outline),
      state,
      about: countsOf(jobs),
      progress: isFinal(state) ? null : progressOfJobs(jobs),
      // What cannot be seen inside is told here.
      ...this.#failure(about.isOpen === false ? failed : undefined, about.key),
      duration: this.#duration(jobs, state),
    }
  }

  #addMore(
    hidden: readonly Part[],
    { parent, ...about }: Omit<Place, 'key' | 'isSide' | 'isOpen'> & { parent: string },
  ) {
    const jobs = hidden.flatMap(({ outline }) => jobsOf(outline))
    this.list.push({
      ...about,
      key: `${moreKey}${parent}`,
      name: `Show ${Math.min(pageSize, hidden.length)} more of ${hidden.length}`,
      state: stateOf({ kind: 'group', parts: hidden.map(({ outline }) => outline), branches: [] }),
      isSide: false,
      about: countsOf(jobs),
      progress: null,
      failure: '',
      isLong: false,
      isWhole: false,
      duration: '',
      isOpen: null,
    })
  }

  /** From the first start to the last end, or to now. */
  #duration(jobs: readonly JobSummary[], state: JobState): string {
    const started = jobs.flatMap(({ startedAt }) => startedAt?.getTime() ?? [])
    if (started.length === 0 || state === 'skipped') return ''
    const ended = jobs.flatMap(({ finishedAt }) => finishedAt?.getTime() ?? [])
    if (!isFinal(state) && state !== 'running') return ''
    const to = isFinal(state) ? Math.max(...ended) : this.#now
    return Number.isFinite(to) ? formatDuration(Math.max(0, to - Math.min(...started))) : ''
  }
}

type Place = Pick<Row, 'key' | 'level' | 'place' | 'size' | 'isSide' | 'isOpen'>

const partsOf = (outline: Outline & { readonly parts: readonly Outline[] }): Part[] => [
  ...outline.parts.map((part) => ({ outline: part, isSide: false })),
  ...sidesOf(outline),
]
/** Of many that run side by side, those that failed: nobody finds them on the thirtieth page. */
function failedFirst(parts: readonly Part[], kind: Outline['kind']): readonly Part[] {
  if (kind === 'chain' || parts.length <= mostOpen) return parts
  const hasFailed = ({ outline }: Part): boolean => stateOf(outline) === 'failed'
  return [...parts.filter(hasFailed), ...parts.filter((part) => !hasFailed(part))]
}

const sidesOf = ({ branches }: Outline): Part[] => branches.map((outline) => ({ outline, isSide: true }))

function partsInside(outline: Outline): Part[] {
  if (outline.kind !== 'job') return partsOf(outline)
  const { inside } = outline
  const within = !inside ? [] : inside.kind === 'job' ? [{ outline: inside, isSide: false }] : partsOf(inside)
  return [...within, ...sidesOf(outline)]
}

/** The first of its jobs tells a part from those beside it, and how deep it stands from those around it. */
const keyOf = (outline: Outline, level: number): string =>
  outline.kind === 'job' ? outline.job.id : `${level}:${jobsOf(outline)[0]?.id}`

const isOpenAtFirst = (outline: Outline): boolean => partsInside(outline).length <= mostOpen || outline.kind === 'chain'

/** `500 × photos.resize` where all are alike, else `group of 3`. */
function nameOf({ kind, parts }: Extract<Outline, { kind: 'chain' | 'group' }>): string {
  const tasks = new Set(parts.map((part) => (part.kind === 'job' ? part.job.task : null)))
  const [task] = tasks
  return kind === 'group' && tasks.size === 1 && task ? `${parts.length} × ${task}` : `${kind} of ${parts.length}`
}

/** `3 succeeded, 1 failed` */
export function describeCounts(counts: { readonly [state in JobState]?: number }): string {
  return jobStates.flatMap((state) => (counts[state] ? `${counts[state]} ${state}` : [])).join(', ')
}

/** Where they are not all in one state. */
function countsOf(jobs: readonly JobSummary[]): string {
  const counts: { [state in JobState]?: number } = {}
  for (const { state } of jobs) counts[state] = (counts[state] ?? 0) + 1
  return Object.keys(counts).length < 2 ? '' : describeCounts(counts)
}

function aboutJob(job: JobSummary, now: number): string {
  const { args, state, attempt, failures, dueAt, reason } = job
  const wait = state === 'scheduled' && dueAt ? dueAt.getTime() - now : 0
  return [
    plainOf(args),
    attempt > 1 && state !== 'scheduled' ? `attempt ${attempt}` : '',
    state === 'scheduled' && failures > 0 ? `after ${failures === 1 ? 'a failure' : `${failures} failures`}` : '',
    wait > 0 ? `in ${formatDuration(wait)}` : '',
    job.cancelling && !isFinal(state) ? 'cancelling' : '',
    reason !== undefined && !['failed', 'cancelled', 'upstream'].includes(reason) ? reason : '',
  ]
    .filter(Boolean)
    .join(', ')
}

/** Enough to tell one call from another, as it stands in code: a number by itself could be anything. */
function plainOf(args: readonly unknown[]): string {
  if (args.length === 0) return ''
  const shown = args.slice(0, 4).map((arg) => {
    if (typeof arg === 'string') return JSON.stringify(arg.length > 24 ? `${arg.slice(0, 23)}…` : arg)
    return arg === null || typeof arg === 'number' || typeof arg === 'boolean'
      ? String(arg)
      : Array.isArray(arg)
        ? '[…]'
        : '{…}'
  })
  return `(${shown.join(', ')}${args.length > 4 ? ', …' : ''})`
}

function progressOf({ state, progress }: JobSummary): Row['progress'] {
  if (!progress || isFinal(state) || state === 'waiting') return null
  const { done, total, message } = progress
  const share = total ? Math.min(1, Math.max(0, done / total)) : null
  const far = share === null ? String(done) : `${Math.floor(share * 100)} %`
  return { share, text: message === undefined ? far : `${far} · ${message}` }
}

/** How far they are, what is half done counting for half; and how many are done. */
export function progressOfJobs(jobs: readonly JobSummary[]): NonNullable<Row['progress']> {
  const done = jobs.filter(({ state }) => isFinal(state)).length
  const begun = jobs.reduce((sum, job) => sum + (progressOf(job)?.share ?? 0), 0)
  const share = jobs.length === 0 ? 0 : Math.min(1, (done + begun) / jobs.length)
  return { share, text: `${Math.floor(share * 100)} % · ${done} of ${jobs.length} done` }
}

/** Its own: what it has from another job is told there. */
function failureOf({ id, state, failures, failure, failedJobId }: JobSummary): string {
  if (!failure || (failedJobId ?? id) !== id) return ''
  if (state !== 'failed' && (failures === 0 || isFinal(state))) return ''
  return failure.name === 'Error' && failure.message !== '' ? failure.message : `${failure.name}: ${failure.message}`
}
