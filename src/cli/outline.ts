import type { JobSummary } from '../core/handle.ts'

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
  const ends = new Map<string, Outline>()
  noteEnds(outline, ends)
  for (const branch of splitSideBySide(jobs.filter((job) => job.role !== role))) {
    const end = ends.get(barrierOf(branch[0]!)) ?? outline
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
  const leaders = new Map(jobs.map(({ id }) => [id, id]))
  const leaderOf = (id: string): string => {
    let at = id
    for (let next = leaders.get(at)!; next !== at; next = leaders.get(at)!) {
      leaders.set(at, leaders.get(next)!)
      at = next
    }
    return at
  }
  const joined = new Set<string>()
  for (const job of jobs) {
    if (!startsHere(job, leaders)) {
      // A barrier's inputs are joined once, however many jobs stand behind it.
      const inputs = joined.has(barrierOf(job)) ? job.after.slice(0, 1) : job.after
      for (const input of inputs) leaders.set(leaderOf(input), leaderOf(job.id))
      joined.add(barrierOf(job))
    }
  }
  return [...Map.groupBy(jobs, ({ id }) => leaderOf(id)).values()]
}

interface Barrier {
  /** Positions of its first input, and of the first and the last job behind it. */
  readonly from: number
  readonly first: number
  last: number
  readonly size: number
}

/** Parts each of which waits for the whole of the one before: the steps of a chain. */
function splitInOrder(jobs: readonly JobSummary[]): (readonly JobSummary[])[] {
  const positions = new Map(jobs.map(({ id }, position) => [id, position]))
  const barriers = new Map<string, Barrier>()
  let lastStart = 0
  for (const [position, job] of jobs.entries()) {
    const from = positions.get(job.after[0] ?? '')
    const barrier = barriers.get(barrierOf(job))
    if (from === undefined) lastStart = position
    else if (barrier) barrier.last = position
    else barriers.set(barrierOf(job), { from, first: position, last: position, size: job.after.length })
  }
  const cuts = findCuts(jobs.length, [...barriers.values()], lastStart)
  return [0, ...cuts].map((cut, step) => jobs.slice(cut, cuts[step]))
}

/**
 * A step begins where the first job behind a barrier stands, if that barrier takes in all that is still open and is the
 * only one that reaches over this place.
 */
function findCuts(length: number, barriers: readonly Barrier[], lastStart: number): number[] {
  const firsts = new Map(barriers.map((barrier) => [barrier.first, barrier]))
  const reach = new Array<number>(length + 2).fill(0)
  for (const { from, last } of barriers) {
    reach[from + 1]! += 1
    reach[last + 1]! -= 1
  }
  const cuts: number[] = []
  let reaching = 0
  let taken = 0
  for (let position = 1; position < length; position++) {
    reaching += reach[position]!
    const barrier = firsts.get(position)
    if (barrier && reaching === 1 && barrier.size === position - taken && lastStart < position) cuts.push(position)
    taken += barrier?.size ?? 0
  }
  return cuts
}

const startsHere = (job: JobSummary, among: ReadonlyMap<string, unknown>): boolean =>
  job.after[0] === undefined || !among.has(job.after[0])

/**
 * Names the barrier that a job stands behind. Barriers form a tree, so no two of the same size share their first and
 * last input; their lists need not be compared.
 */
const barrierOf = ({ after }: JobSummary): string => `${after.length}/${after[0]}/${after.at(-1)}`

/** Which canvas ends in which jobs; of several, the outermost. */
function noteEnds(outline: Outline, ends: Map<string, Outline>): { size: number; first: string; last: string } {
  const end = endOf(outline, ends)
  ends.set(`${end.size}/${end.first}/${end.last}`, outline)
  return end
}

function endOf(outline: Outline, ends: Map<string, Outline>): { size: number; first: string; last: string } {
  if (outline.kind === 'job') return { size: 1, first: outline.job.id, last: outline.job.id }
  const of = outline.parts.map((part) => noteEnds(part, ends))
  const last = of.at(-1)!
  if (outline.kind === 'chain') return last
  return { size: of.reduce((sum, { size }) => sum + size, 0), first: of[0]!.first, last: last.last }
}
