import type { Graph, GraphBarrier, GraphJob } from '../../core/graph.ts'
import type { StoredOptions } from '../../core/job.ts'
import { role, roleCode, whenCode } from '../../engine/codes.ts'
import { longArgs, longRuns } from './keys.ts'
import { defaultQueue } from '../../engine/queues.ts'
import { type Label, labelText } from './rows.ts'

/** The same in all scripts: an instant with more digits would lose some. */
const latest = 99_999_999_999_999

/** A job alone that has nothing more to say than its call: the shortest row, and the quickest way in. */
export function isPlain({ behind, feeds, input, scope, role: name, options }: GraphJob): boolean {
  return (
    behind === null &&
    feeds === null &&
    scope === null &&
    input.from === 'nothing' &&
    name === 'main' &&
    (options.priority ?? 0) === 0 &&
    options.startIn === undefined &&
    options.startAt === undefined &&
    options.expires === undefined &&
    options.timeout === undefined
  )
}

/** What stands behind a plain job's head, which is the instant that the script adds. */
export function plainText(job: GraphJob, label: Label): string {
  return bodyText(job, labelText(label))
}

/** The same in pieces: what stands before the id, and between it and arguments that are not long. */
export interface Frame {
  readonly queue: string
  readonly before: string
  readonly behind: string
}
export function frameOf({ task, options }: GraphJob, label: string): Frame {
  return {
    queue: options.queue ?? defaultQueue,
    before: `\n${options.queue ?? ''}\n`,
    behind: `\n${task}\n${optionsText(options)}\n${label}\n`,
  }
}

function bodyText(job: GraphJob, label: string): string {
  const { before, behind } = frameOf(job, label)
  return before + job.id + behind + (job.args.length > longArgs ? '\r' : job.args)
}

/** Most jobs of a task share one options object, so its text is made once. */
const texts = new WeakMap<StoredOptions, string>()
function optionsText(options: StoredOptions): string {
  let text = texts.get(options)
  if (text === undefined) {
    text = JSON.stringify(options)
    if (text === '{}') text = ''
    texts.set(options, text)
  }
  return text
}

// ── graphs ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** A graph whose numbers are told by a script: everything in it is an offset from its first job. */
export interface PackedGraph {
  readonly graph: Graph
  /** Its entries stand behind a barrier of their own, because it comes in parts. */
  readonly isLarge: boolean
  readonly lists: readonly Lists[]
  /** Of the barrier that holds back the entries of a large graph. */
  readonly startRuns: string
}

/** What belongs to a barrier: the jobs behind it, the jobs and the barriers that feed it. */
interface Lists {
  readonly behind: number[]
  readonly jobs: number[]
  readonly barriers: number[]
}

const packed = new WeakMap<Graph, PackedGraph>()
export function packGraph(graph: Graph, isLarge: boolean): PackedGraph {
  let found = packed.get(graph)
  if (found === undefined) packed.set(graph, (found = pack(graph, isLarge)))
  return found
}

function pack(graph: Graph, isLarge: boolean): PackedGraph {
  const lists = graph.barriers.map((): Lists => ({ behind: [], jobs: [], barriers: [] }))
  const entries: number[] = []
  graph.jobs.forEach(({ behind, feeds }, at) => {
    if (behind === null) entries.push(at)
    else lists[behind]?.behind.push(at)
    if (feeds !== null) lists[feeds]?.jobs.push(at)
  })
  graph.barriers.forEach(({ feeds }, at) => {
    if (feeds !== null) lists[feeds]?.barriers.push(graph.jobs.length + at)
  })
  return { graph, isLarge, lists, startRuns: isLarge ? `${runsOf(entries)}\n\n` : '' }
}

/** Numbers in order as a short text: `3`, `0-9`, `0-90/10` (every tenth), separated by commas. */
export function runsOf(numbers: readonly number[]): string {
  const runs: string[] = []
  for (let at = 0; at < numbers.length;) {
    const first = numbers[at] as number
    const step = (numbers[at + 1] ?? first) - first
    let end = at + 1
    while (end < numbers.length && (numbers[end] as number) - (numbers[end - 1] as number) === step) end++
    // Two that happen to follow each other may begin a longer run each.
    if (end - at === 2 && step > 1) end = at + 1
    const last = numbers[end - 1] as number
    runs.push(last === first ? `${first}` : step === 1 ? `${first}-${last}` : `${first}-${last}/${step}`)
    at = end
  }
  return runs.join(',')
}

/** Rows of a part of a graph as arguments of `insertRows` (see insert.ts). */
export function packRows(packing: PackedGraph, from: number, to: number): (string | number)[] {
  const { jobs, barriers } = packing.graph
  const someJobs = jobs.slice(from, to)
  const someBarriers = barriers.slice(from, to)
  return [
    ...section([...someJobs.entries()].map(([at, job]) => [job.id, jobText(packing, job, from + at)])),
    ...section(longArguments(someJobs, from)),
    ...section([...someBarriers.keys()].map((at) => [barrierText(packing, from + at)])),
    ...section(longRunsOf(packing, from, Math.min(to, barriers.length))),
    from,
  ]
}

/** How many, then each in turn. */
export function section(items: readonly (readonly (string | number)[])[]): (string | number)[] {
  return [items.length, ...items.flat()]
}

function longArguments(jobs: readonly GraphJob[], from: number): (readonly [number, string])[] {
  return jobs.flatMap(({ args }, at) => (args.length > longArgs ? [[from + at, args] as const] : []))
}

function jobText(packing: PackedGraph, job: GraphJob, at: number): string {
  const behind = job.behind === null ? (packing.isLarge ? -1 : '') : packing.graph.jobs.length + job.behind
  const feeds = job.feeds === null ? '' : packing.graph.jobs.length + job.feeds
  return headText(job, behind, feeds, inputText(packing, job, at)) + bodyText(job, linkText(packing, job))
}

/**
 * Names the job that waits behind what this one alone feeds, where all that it needs is this one's success, and then it is queued where
 * this one was: so nothing of the barrier between them has to be read. Most links of chains have such.
 */
function linkText({ graph, lists }: PackedGraph, { feeds, options }: GraphJob): string {
  if (feeds === null || feeds === graph.exit) return ''
  const barrier = graph.barriers[feeds] as GraphBarrier
  const behind = lists[feeds]?.behind ?? []
  const next = behind.length === 1 ? graph.jobs[behind[0] as number] : undefined
  if (next === undefined || barrier.inputs !== 1 || barrier.feeds !== null || barrier.gate !== null) return ''
  const isAtOnce = next.options.startIn === undefined && next.options.startAt === undefined
  const isUsual = next.role === 'main' && next.when === 'success' && (next.options.priority ?? 0) === 0
  const isNear = (next.options.queue ?? defaultQueue) === (options.queue ?? defaultQueue)
  if (!isUsual || !isAtOnce || !isNear || next.options.expires !== undefined) return ''
  return `>${behind[0]}${next.options.timeout === undefined ? '' : 't'}`
}

/** A job alone that is not plain. */
export function aloneText(job: GraphJob, label: Label): string {
  return (
    headText(job, '', '', inputText({ graph: { jobs: [job] }, lists: [] }, job, 0)) + bodyText(job, labelText(label))
  )
}

function headText(job: GraphJob, behind: number | '', feeds: number | '', input: string): string {
  const { options } = job
  const startAt = options.startAt === undefined ? '' : Math.min(options.startAt, latest)
  const isMain = job.role === 'main'
  const fields = [
    roleCode(job.role),
    behind,
    whenCode(job.when),
    feeds,
    isMain ? (job.scope ?? '') : '',
    options.startIn ?? '',
    startAt,
    isMain ? (options.expires ?? '') : '',
    options.timeout ?? '',
    options.priority ?? 0,
    input,
  ]
  return fields.join(',')
}

interface Surroundings {
  readonly graph: Pick<Graph, 'jobs'>
  readonly lists: readonly Lists[]
}

function inputText({ graph: { jobs }, lists }: Surroundings, { input, behind }: GraphJob, at: number): string {
  if (input.from === 'nothing') return ''
  if (input.from === 'failure') return 'f'
  if (input.from === 'results') {
    const leaves = behind === null ? undefined : lists[behind]
    const isOne = leaves?.jobs.length === 1 && leaves.barriers.length === 0
    return isOne ? `o${leaves.jobs[0]}:${input.shape}` : `r${input.shape}`
  }
  const span = Array.from({ length: Math.max(input.last - input.first + 1, 0) }, (_, n) => input.first + n)
  // Of a canvas with main jobs those count; of a side branch all but the one that is told.
  const main = span.filter((n) => jobs[n] !== undefined && roleCode(jobs[n].role) === role.main)
  return `s${runsOf(main.length > 0 ? main : span.filter((n) => n !== at))}`
}

function barrierText({ graph, lists }: PackedGraph, at: number): string {
  const { inputs, feeds, gate } = graph.barriers[at] as GraphBarrier
  const offset = (position: number | null): number | '' => (position === null ? '' : graph.jobs.length + position)
  const runs = barrierRuns(lists[at])
  const isExit = at === graph.exit ? 1 : 0
  return `${inputs},${offset(feeds)},${offset(gate)},${isExit}\n${runs.length > longRuns ? '\r' : runs}`
}

const barrierRuns = (lists: Lists | undefined): string =>
  lists === undefined ? '\n\n' : `${runsOf(lists.behind)}\n${runsOf(lists.jobs)}\n${runsOf(lists.barriers)}`

function longRunsOf({ graph, lists }: PackedGraph, from: number, to: number): (readonly [number, string])[] {
  const found: (readonly [number, string])[] = []
  for (let at = from; at < to; at++) {
    const runs = barrierRuns(lists[at])
    if (runs.length > longRuns) found.push([graph.jobs.length + at, runs])
  }
  return found
}

/** Jobs that may start at once, as arguments: first offset, last offset, queue, priority, startIn, startAt, expires. */
export function packEntries({ graph, isLarge }: PackedGraph): (string | number)[] {
  if (isLarge) return [0]
  const entries: (readonly (string | number)[])[] = []
  const { jobs } = graph
  for (let first = 0, at = 1; first < jobs.length; at++) {
    if (at < jobs.length && isLike(jobs[at] as GraphJob, jobs[first] as GraphJob)) continue
    const job = jobs[first] as GraphJob
    if (job.behind === null) entries.push(entryOf(job, first, at - 1))
    first = at
  }
  return section(entries)
}

const isLike = (one: GraphJob, other: GraphJob): boolean =>
  one.behind === other.behind && one.options === other.options && one.role === other.role

export function entryOf({ options, role: name }: GraphJob, first: number, last: number): readonly (string | number)[] {
  const { queue, priority, startIn, startAt, expires } = options
  return [
    first,
    last,
    queue ?? defaultQueue,
    priority ?? 0,
    startIn ?? '',
    startAt === undefined ? '' : Math.min(startAt, latest),
    name === 'main' ? (expires ?? '') : '',
  ]
}

/** How many of its jobs wait, by queue, and which barriers nothing will arrive at. */
export function packState({ graph, isLarge }: PackedGraph): (string | number)[] {
  const waiting = new Map<string, number>()
  for (const { behind, options } of graph.jobs) {
    if (behind === null && !isLarge) continue
    const queue = options.queue ?? defaultQueue
    waiting.set(queue, (waiting.get(queue) ?? 0) + 1)
  }
  const empty = graph.barriers.flatMap(({ inputs }, at) => (inputs === 0 ? [[graph.jobs.length + at]] : []))
  return [...section([...waiting]), ...section(empty)]
}
