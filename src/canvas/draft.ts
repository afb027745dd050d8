import { CeleriacError } from '../core/errors.ts'
import type { Graph, GraphBarrier, GraphJob, Input, When } from '../core/graph.ts'
import type { Role, StoredOptions } from '../core/job.ts'
import type { JobOptionsOf } from './job-options.ts'
import type { CanvasNode } from './node.ts'

/** Where the entries of a canvas are put. */
export interface Place {
  readonly behind: number | null
  readonly when: When
  /** The barrier that must have succeeded for the canvas to begin; null at the front of the graph and of a side branch. */
  readonly gate: number | null
  readonly input: Input
  /** How many results there are at the barrier it stands behind. */
  readonly resultCount: number
}

/** What a canvas takes from what is around it. */
export interface Setting {
  readonly role: Role
  readonly options: StoredOptions
  readonly scope: number | null
  readonly depth: number
  readonly optionsOf: JobOptionsOf
}

/** A side branch whose place is known and whose jobs come later. */
export interface WaitingBranch {
  readonly node: CanvasNode
  readonly place: Place
  readonly setting: Setting
}

export const nothingBefore: Input = Object.freeze({ from: 'nothing' })

/** A graph that grows: jobs, barriers, and the ends that are still open. */
export class Draft {
  /** Side branches met since the last were placed: their jobs follow all jobs of the canvas they hang on. */
  branches: WaitingBranch[] = []
  readonly #jobs: Draftable<GraphJob>[] = []
  readonly #barriers: DraftBarrier[] = []
  /**
   * What the next barrier will count, in order: a job by its position, a barrier by the complement (`~`) of its
   * position. A canvas leaves its ends on top, so it finds them from the height at which it began.
   */
  readonly #ends: number[] = []
  readonly #newId: () => string
  readonly #jobLimit: number
  #scopeCount = 0
  #emptyBarrier: number | null = null

  constructor(newId: () => string, jobLimit: number) {
    this.#newId = newId
    this.#jobLimit = jobLimit
  }

  get jobCount(): number {
    return this.#jobs.length
  }

  get endCount(): number {
    return this.#ends.length
  }

  /** The queue that the first job names. */
  get firstQueue(): string | undefined {
    return this.#jobs[0]?.options.queue
  }

  /** Adds a job, which is an open end until a barrier counts it. */
  addJob(
    { task, args, input, options }: Call,
    place: Pick<Place, 'behind' | 'when'>,
    { role, scope }: Pick<Setting, 'role' | 'scope'>,
  ): void {
    if (this.#jobs.length === this.#jobLimit) throw tooManyJobs(this.#jobLimit)
    this.#ends.push(this.#jobs.length)
    this.#jobs.push({
      id: this.#newId(),
      task,
      args,
      behind: place.behind,
      when: place.when,
      feeds: null,
      input,
      role,
      scope,
      options,
    })
  }

  addScope(): number {
    return this.#scopeCount++
  }

  /**
   * The barrier that counts the ends from `from` on, which are closed by it. Canvases with the same ends and the same
   * gate share one; `gate: undefined` shares with any, since only side branches look at gates.
   */
  close(from: number, gate: number | null | undefined): number {
    const shared = this.#ends.length === from + 1 ? this.#shareable(this.#ends[from]!, gate) : undefined
    const barrier = shared ?? this.#barriers.push({ inputs: this.#ends.length - from, feeds: null, gate }) - 1
    if (shared === undefined) for (let n = from; n < this.#ends.length; n++) this.#feed(this.#ends[n]!, barrier)
    this.#ends.length = from
    return barrier
  }

  /** Makes a barrier an open end: it stands for all that it counts. */
  reopen(barrier: number): void {
    this.#ends.push(~barrier)
  }

  /** A barrier with nothing to count. It is decided, as a success, when the graph is stored. */
  emptyBarrier(): number {
    this.#emptyBarrier ??= this.#barriers.push({ inputs: 0, feeds: null, gate: null }) - 1
    return this.#emptyBarrier
  }

  /** The only job, where there is no other and nothing but itself to wait for. */
  loneJob(): { id: string } | undefined {
    const [only, second] = this.#jobs
    return second === undefined && this.branches.length === 0 && only?.input === nothingBefore ? only : undefined
  }

  /** The finished lists: nothing may be added afterwards. */
  finish(): Pick<Graph, 'jobs' | 'barriers'> {
    for (const barrier of this.#barriers) barrier.gate ??= null
    return { jobs: this.#jobs, barriers: this.#barriers as GraphBarrier[] }
  }

  #shareable(end: number, gate: number | null | undefined): number | undefined {
    const barrier = end < 0 ? this.#barriers[~end] : undefined
    if (!barrier) return undefined
    if (barrier.gate === undefined) barrier.gate = gate
    return gate === undefined || barrier.gate === gate ? ~end : undefined
  }

  #feed(end: number, barrier: number): void {
    const input = end < 0 ? this.#barriers[~end] : this.#jobs[end]
    input!.feeds = barrier
  }
}

export type Call = Pick<GraphJob, 'task' | 'args' | 'input' | 'options'>

type Draftable<T> = { -readonly [K in keyof T]: T[K] }
/** The gate is undefined until a side branch hangs on it. */
type DraftBarrier = Omit<Draftable<GraphBarrier>, 'gate'> & { gate: number | null | undefined }

function tooManyJobs(limit: number): CeleriacError {
  const advice = 'submit it in parts, or let a task return the rest as a canvas'
  return new CeleriacError('TOO_MANY_JOBS', `this canvas comes to more than ${limit} jobs: ${advice}`)
}
