import type { Outcome } from '../core/outcome.ts'
import type { Runtime, Timer } from '../core/runtime.ts'
import type { ClaimedJob } from '../engine/work.ts'
import { Attempt, type AbortCause, type Telling } from './attempt.ts'

export interface SlotsParts {
  readonly count: number
  readonly runtime: Runtime
  readonly telling: Telling
  /** Runs a job's handler and says what that came to; never throws or rejects. */
  readonly execute: (attempt: Attempt) => Outcome | Promise<Outcome>
  /** What an attempt comes to that is past its time, whatever its handler still does. */
  readonly timedOut: (attempt: Attempt) => Outcome
  /** How long an attempt of this job may take, in milliseconds. */
  readonly timeoutOf: (job: ClaimedJob) => number | undefined
  readonly settle: (attempt: Attempt, outcome: Outcome) => void
  /** The job was given away while it waited for its slot. */
  readonly isTaken: (job: ClaimedJob) => boolean
  /** An attempt with this deadline, by the measuring clock, begins. */
  readonly onTimed: (deadline: number) => void
  /** A slot that was taken for a while is free again. */
  readonly onFreed: () => void
  /** Another attempt than before runs alone, or (null) none does. Called before its handler is. null: nobody wants to know. */
  readonly onSole: ((attempt: Attempt | null) => void) | null
}

/** A share of the newest attempt in the mean: a change of pace shows after a few dozen jobs. */
const weight = 1 / 16

/** A timer of an event loop that is not blocked rings at most so late, in milliseconds. */
const punctual = 20
/** The store decides 2 s after the deadline. In milliseconds. */
const longestReprieve = 1_000

/** The places in which handlers run. A handler that ends at once never takes one. */
export class Slots {
  readonly #parts: SlotsParts
  readonly #running = new Map<Attempt, Timer | null>()
  #meanTime: number | null = null
  #lastEndAt = 0
  #waiters: (() => void)[] = []

  constructor(parts: SlotsParts) {
    this.#parts = parts
  }

  get freeCount(): number {
    return this.#parts.count - this.#running.size
  }

  get runningCount(): number {
    return this.#running.size
  }

  /** When an attempt ended last, by the measuring clock. */
  get lastEndAt(): number {
    return this.#lastEndAt
  }

  /**
   * The mean time of late from one attempt's end to the next, in milliseconds; null until one has ended. Where handlers
   * overlap, that is less than each of them takes.
   */
  paceOfJobs(): number | null {
    if (this.#meanTime === null || this.freeCount > 0) return this.#meanTime
    // While all slots are taken and nothing ends, what runs takes at least that long.
    return Math.max(this.#meanTime, this.#parts.runtime.elapsed() - this.#lastEndAt)
  }

  /** The jobs whose handlers run and that are not settled. */
  jobs(): ClaimedJob[] {
    return [...this.#running.keys()].filter(({ settledAs }) => settledAs === null).map(({ job }) => job)
  }

  start(job: ClaimedJob): void {
    const { runtime, telling, execute, isTaken, timeoutOf, onTimed, onSole } = this.#parts
    if (isTaken(job)) return
    const attempt = new Attempt(job, telling, runtime.elapsed())
    if (job.deadlineAt !== null) onTimed(attempt.startedAt + (timeoutOf(job) ?? 0))
    onSole?.(this.#running.size === 0 ? attempt : null)
    const outcome = execute(attempt)
    if (!(outcome instanceof Promise)) onSole?.(this.sole())
    // It was given away while its handler blocked the event loop.
    if (attempt.hasEnded) return
    if (outcome instanceof Promise) {
      this.#running.set(attempt, this.#deadline(attempt))
      void outcome.then((late) => this.#end(attempt, late))
    } else {
      attempt.hasEnded = true
      this.#measure(attempt)
      this.#parts.settle(attempt, outcome)
    }
  }

  /** Tells the handler of a job to stop. Where the job is lost, its slot is free at once. */
  abort(id: string, token: number, cause: 'cancel' | 'lost'): void {
    for (const attempt of this.#running.keys()) {
      if (attempt.job.id !== id || attempt.job.token !== token) continue
      attempt.abort(cause)
      if (cause === 'lost') this.#leave(attempt)
    }
  }

  /** Tells all handlers to stop. */
  abortAll(cause: AbortCause): void {
    for (const attempt of this.#running.keys()) attempt.abort(cause)
  }

  /** Ends what still runs with an outcome of ours: what its handler comes to later is dropped. */
  endAll(outcome: Outcome): void {
    for (const attempt of [...this.#running.keys()]) this.#end(attempt, outcome)
  }

  /** The attempts that run. */
  attempts(): Iterable<Attempt> {
    return this.#running.keys()
  }

  /** The attempt that runs while no other does. */
  sole(): Attempt | null {
    const [first, second] = this.#running.keys()
    return first !== undefined && second === undefined ? first : null
  }

  /** The latest deadline of the attempts that run, by the measuring clock; null if none has one. */
  latestDeadline(): number | null {
    let latest: number | null = null
    for (const { job, startedAt } of this.#running.keys()) {
      const timeout = this.#parts.timeoutOf(job)
      if (timeout !== undefined) latest = Math.max(latest ?? 0, startedAt + timeout)
    }
    return latest
  }

  /** Frees the slots of attempts that were given away while the event loop was blocked, and tells their handlers to stop. */
  leaveTaken(): void {
    for (const attempt of [...this.#running.keys()]) {
      if (!this.#parts.isTaken(attempt.job)) continue
      attempt.abort('lost')
      this.#leave(attempt)
    }
  }

  /** Resolves when nothing runs. */
  empty(): Promise<void> {
    return this.#running.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#waiters.push(resolve))
  }

  #end(attempt: Attempt, outcome: Outcome): void {
    if (attempt.hasEnded) return
    attempt.hasEnded = true
    this.#measure(attempt)
    this.#free(attempt)
    this.#parts.settle(attempt, outcome)
    this.#parts.onFreed()
  }

  #leave(attempt: Attempt): void {
    attempt.hasEnded = true
    this.#free(attempt)
    this.#parts.onFreed()
  }

  #free(attempt: Attempt): void {
    this.#running.get(attempt)?.cancel()
    this.#running.delete(attempt)
    this.#parts.onSole?.(this.sole())
    if (this.#running.size > 0) return
    for (const resolve of this.#waiters.splice(0)) resolve()
  }

  #measure(attempt: Attempt): void {
    this.#lastEndAt = this.#parts.runtime.elapsed()
    const time = (this.#lastEndAt - attempt.startedAt) / Math.max(1, this.#running.size)
    this.#meanTime = this.#meanTime === null ? time : this.#meanTime + (time - this.#meanTime) * weight
  }

  #deadline(attempt: Attempt): Timer | null {
    const timeout = this.#parts.timeoutOf(attempt.job)
    if (timeout === undefined) return null
    const left = attempt.startedAt + timeout - this.#parts.runtime.elapsed()
    return this.#parts.runtime.after(Math.max(0, left), () => this.#pastDeadline(attempt, timeout))
  }

  #pastDeadline(attempt: Attempt, timeout: number): void {
    if (attempt.hasEnded) return
    const { runtime } = this.#parts
    const late = runtime.elapsed() - attempt.startedAt - timeout
    // A timer cannot be set further than some weeks, so a long one rings early.
    if (late < -1) {
      this.#running.set(attempt, this.#deadline(attempt))
      return
    }
    // The event loop was blocked when its time was up, perhaps by another handler: what is ready for this one comes first.
    if (late > punctual && !attempt.isReprieved) {
      attempt.isReprieved = true
      const reprieve = Math.min(late, longestReprieve)
      this.#running.set(
        attempt,
        runtime.after(reprieve, () => this.#pastDeadline(attempt, timeout)),
      )
      return
    }
    attempt.abort('timeout')
    this.#end(attempt, this.#parts.timedOut(attempt))
  }
}
