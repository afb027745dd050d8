import type { JobSummary } from './handle.ts'
import type { JobState } from './job.ts'
import { isFinal } from './transitions.ts'

/**
 * A collection's jobs as the canvas they came from: what is stored is only which job waits for which, and a reader thinks
 * in chains and groups. A canvas is made of nothing but these two, so they can be told again from `after`.
 */
export type Outline = JobOutline | PartsOutline

export interface JobOutline {
  readonly kind: 'job'
  readonly job: JobSummary
  /** The canvas that its handler returned. */
  readonly inside: Outline | null
  /** Side branches and callbacks that hang on it. */
  readonly branches: Outline[]
}

export interface PartsOutline {
  readonly kind: 'chain' | 'group'
  readonly parts: readonly Outline[]
  readonly branches: Outline[]
}

export interface OutlineOptions {
  /** Side branches whose case did not arise are told too. */
  readonly all?: boolean | undefined
}

/** null where there are no jobs. */
export function outlineOf(jobs: readonly JobSummary[], { all = false }: OutlineOptions = {}): Outline | null {
  const known = new Map(jobs.map((job) => [job.id, job]))
  const shown = jobs.filter(({ reason }) => all || reason !== 'not-needed')
  const children = Map.groupBy(shown, ({ parentId }) => (parentId && known.has(parentId) ? parentId : null))
  const within = (parent: JobSummary | null): Outline | null => outlineOfCanvas(parent, children, within)
  return within(null)
}

/** The state of a canvas seen as one. A job that waits for the canvas it returned is in the state of that one. */
export function stateOf(outline: Outline): JobState {
  if (outline.kind !== 'job') return joinStates(outline.parts.map(stateOf))
  const { job, inside } = outline
  return job.continued && inside && !isFinal(job.state) ? stateOf(inside) : job.state
}

/** The jobs of a canvas itself: neither what their handlers returned nor side branches. */
export const jobsOf = (outline: Outline): readonly JobSummary[] =>
  outline.kind === 'job' ? [outline.job] : outline.parts.flatMap(jobsOf)

/** The state of jobs seen as one: what needs attention first, then what is under way, then how it ended. */
function joinStates(states: readonly JobState[]): JobState {
  const has = (state: JobState): boolean => states.includes(state)
  const isOver = states.every(isFinal)
  if (isOver) return (['failed', 'cancelled', 'succeeded', 'skipped'] as const).find(has) ?? 'succeeded'
  const hasBegun = states.some(isFinal)
  return (
    (['running', 'queued', 'scheduled', 'waiting'] as const).find(
      (state) => has(state) || (state === 'running' && hasBegun),
    ) ?? 'waiting'
  )
}

/** The jobs that one submission, or one handler, brought: its main path, with the side branches hung on it. */
function outlineOfCanvas(
  parent: JobSummary | null,
  children: ReadonlyMap<string | null, readonly JobSummary[]>,
  within: (parent: JobSummary) => Outline | null,
): Outline | null {
  const jobs = children.get(parent?.id ?? null) ?? []
  if (jobs.length === 0) return null
  const role = parent?.role ?? 'main'
  const path = jobs.filter((job) => job.role === role)
  if (path.length === 0) return outlineOfPath(jobs, within)
  const outline = outlineOfPath(path, within)
  const ends = new Map<string, End[]>()
  noteEnds(outline, ends)
  for (const branch of splitSideBySide(jobs.filter((job) => job.role !== role))) {
    const end = findEnd(branch[0]!, ends) ?? outline
    end.branches.push(outlineOfPath(branch, within))
  }
  return outline
}

function outlineOfPath(jobs: readonly JobSummary[], within: (parent: JobSummary) => Outline | null): Outline {
  const [first] = jobs
  if (first && jobs.length === 1) return { kind: 'job', job: first, inside: within(first), branches: [] }
  const members = splitSideBySide(jobs)
  const steps = members.length > 1 ? members : splitInOrder(jobs)
  const parts = (steps.length > 1 ? steps : jobs.map((job) => [job])).map((part) => outlineOfPath(part, within))
  return { kind: members.length > 1 ? 'group' : 'chain', parts, branches: [] }
}

/** Parts that no job of another part waits for: the members of a group. */
function splitSideBySide(jobs: readonly JobSummary[]): (readonly JobSummary[])[] {
  const leaders = jobs.map((_, position) => position)
  const leaderOf = (start: number): number => {
    let at = start
    while (leaders[at]! !== at) at = leaders[at] = leaders[leaders[at]!]!
    return at
  }
  for (const { inputs, behind } of barriersAmong(jobs)) {
    for (const position of [...inputs, ...behind]) leaders[leaderOf(position)] = leaderOf(inputs[0]!)
  }
  const members = Map.groupBy(jobs.keys(), leaderOf)
  return [...members.values()].map((positions) => positions.map((position) => jobs[position]!))
}

/** Parts each of which waits for the whole of the one before: the steps of a chain. */
function splitInOrder(jobs: readonly JobSummary[]): (readonly JobSummary[])[] {
  const barriers = barriersAmong(jobs)
  const starts = new Set(barriers.flatMap(({ behind }) => behind))
  const lastStart = jobs.findLastIndex((_, position) => !starts.has(position))
  const cuts = findCuts(jobs.length, barriers, lastStart)
  return [0, ...cuts].map((cut, step) => jobs.slice(cut, cuts[step]))
}

/**
 * A step begins where the first job behind a barrier stands, if that barrier takes in all that is still open and is the
 * only one that reaches over this place.
 */
function findCuts(length: number, barriers: readonly Barrier[], lastStart: number): number[] {
  const firsts = new Map(barriers.map((barrier) => [barrier.behind[0]!, barrier.inputs.length]))
  const reach = new Array<number>(length + 2).fill(0)
  for (const { inputs, behind } of barriers) {
    reach[inputs[0]! + 1]! += 1
    reach[behind.at(-1)! + 1]! -= 1
  }
  const cuts: number[] = []
  let reaching = 0
  let taken = 0
  for (let position = 1; position < length; position++) {
    reaching += reach[position]!
    const size = firsts.get(position)
    if (size === position - taken && reaching === 1 && lastStart < position) cuts.push(position)
    taken += size ?? 0
  }
  return cuts
}

/** Positions in a list of jobs: those waited for, and those that wait for them. */
interface Barrier {
  readonly inputs: readonly number[]
  readonly behind: number[]
}

/** Where a job waits for more than this, only the first of them are named. */
const mostNamed = 1_000
const isCut = ({ after, afterCount }: JobSummary): boolean => afterCount !== undefined || after.length >= mostNamed

/** On one path every job is waited for at one barrier at most, so its first input names a barrier. */
function barriersAmong(jobs: readonly JobSummary[]): Barrier[] {
  const positions = new Map(jobs.map(({ id }, position) => [id, position]))
  const barriers = new Map<string, Barrier>()
  const taken = new Set<number>()
  for (const [position, job] of jobs.entries()) {
    const { after } = job
    const first = after[0] ?? ''
    const from = positions.get(first)
    const known = barriers.get(first)
    if (known) known.behind.push(position)
    else if (from !== undefined && (from < position || !isCut(job))) {
      const inputs = isCut(job)
        ? rangeOf(from, position).filter((one) => !taken.has(one))
        : after.flatMap((id) => positions.get(id) ?? [])
      for (const input of inputs) taken.add(input)
      barriers.set(first, { inputs, behind: [position] })
    }
  }
  return [...barriers.values()]
}

const rangeOf = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index)

/** How many jobs a canvas ends in; the first of them is what it is found by. */
interface End {
  readonly size: number
  readonly outline: Outline
}

/** Notes for each canvas which jobs it ends in: inner ones before the outer ones. */
function noteEnds(outline: Outline, ends: Map<string, End[]>): { readonly size: number; readonly first: string } {
  const end = endOf(outline, ends)
  const known = ends.get(end.first)
  if (known) known.push({ size: end.size, outline })
  else ends.set(end.first, [{ size: end.size, outline }])
  return end
}

function endOf(outline: Outline, ends: Map<string, End[]>): { readonly size: number; readonly first: string } {
  if (outline.kind === 'job') return { size: 1, first: outline.job.id }
  const of = outline.parts.map((part) => noteEnds(part, ends))
  if (outline.kind === 'chain') return of.at(-1)!
  return { size: of.reduce((sum, { size }) => sum + size, 0), first: of[0]!.first }
}

/** The canvas that ends in the jobs waited for: canvases nest, so the first of them and their number tell. The outermost. */
function findEnd({ after, afterCount }: JobSummary, ends: ReadonlyMap<string, readonly End[]>): Outline | undefined {
  const count = afterCount ?? after.length
  const isIt = ({ size }: End): boolean =>
    size === count || (afterCount === undefined && count >= mostNamed && size > count)
  return ends.get(after[0] ?? '')?.findLast(isIt)?.outline
}
