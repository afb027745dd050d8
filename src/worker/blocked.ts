import { runningJob } from '../app/current-job.ts'
import type { CurrentJob } from '../core/handle.ts'
import type { Outcome } from '../core/outcome.ts'
import type { ClaimedJob, Settlement } from '../engine/work.ts'
import { Attempt } from './attempt.ts'
import type { BlockedAnswer, Dying } from './blocked-answer.ts'
import { ChunkElement } from './chunk.ts'
import { carried } from './news-parts.ts'

export interface BlockedParts {
  /** By the measuring clock. */
  readonly elapsed: () => number
  readonly running: () => Iterable<Attempt>
  readonly unbegun: () => readonly ClaimedJob[]
  /** Outcomes that were about to be sent. */
  readonly unsent: () => readonly Settlement[]
  readonly owns: (attempt: Attempt) => boolean
  /** In milliseconds. */
  readonly timeoutOf: (job: ClaimedJob) => number | undefined
  readonly timedOut: (attempt: Attempt, where: string) => Outcome
  /** The outcome of an attempt is stored by the thread. */
  readonly onSettled: (attempt: Attempt, outcome: Outcome) => void
}

/** Maximum characters of outcomes that one answer takes along. */
const mostTaken = 4_194_304
const frames = 30
/** How long past its deadline the job that blocks the loop is decided, in milliseconds: it may be about to end. */
const tolerance = 500
/** And any other: the store would time it out 2 s past its deadline, though it had no turn of the loop to end in. */
const innocentTolerance = 1_500

/**
 * Decides about the jobs of a session while the event loop is blocked. It runs on the blocked loop, inside whatever blocks
 * it, so it only reads the parts of the session and marks jobs as taken away. The session clears them out when the loop turns.
 */
export class Blocked {
  readonly #parts: BlockedParts
  readonly #taken = new Set<ClaimedJob>()

  constructor(parts: BlockedParts) {
    this.#parts = parts
  }

  /** Was any job taken away since the last `clear`? */
  get hasTaken(): boolean {
    return this.#taken.size > 0
  }

  isTaken(job: ClaimedJob): boolean {
    return this.#taken.size > 0 && this.#taken.has(job)
  }

  /** Ends the exception; returns the jobs that were taken away. */
  clear(): ClaimedJob[] {
    const taken = [...this.#taken]
    this.#taken.clear()
    return taken
  }

  look(): BlockedAnswer {
    const { owns } = this.#parts
    const guilty = attemptOf(runningJob.getStore())
    const isOverdue = guilty !== null && this.#left(guilty) <= -tolerance
    const ended: Attempt[] = []
    const settlements = [...this.#unsent(), ...this.#releaseUnbegun()]
    const settle = (attempt: Attempt, outcome: Outcome): void => {
      attempt.hasEnded = true
      ended.push(attempt)
      settlements.push(this.#take(attempt.job, outcome))
      this.#parts.onSettled(attempt, outcome)
    }
    for (const attempt of this.#parts.running()) {
      // Its own time may be up as well, but it had none of it: it runs again elsewhere.
      const isInnocent =
        attempt !== guilty && isOpen(attempt) && (isOverdue || this.#left(attempt) <= -innocentTolerance)
      if (isInnocent) settle(attempt, { type: 'released', started: true, delay: 0 })
    }
    const where = guilty === null ? '' : blockedAt()
    if (guilty && isOverdue && owns(guilty) && isOpen(guilty)) settle(guilty, this.#parts.timedOut(guilty, where))
    const news = carried(ended.map((attempt) => ({ attempt, ...attempt.takeNews() })))
    const about = guilty && { task: guilty.job.task, id: guilty.id, where: where.split('\n')[0]?.trim() ?? '' }
    return { guilty: about, isOverdue, news, settlements }
  }

  /** The attempt of this session in whose context this is called. */
  current(): Attempt | null {
    const attempt = attemptOf(runningJob.getStore())
    return attempt !== null && this.#parts.owns(attempt) && isOpen(attempt) ? attempt : null
  }

  /** What is to be stored while this process dies: what others than the blamed attempt hold goes back, if it is known who. */
  die(blamed: Attempt | null): Dying {
    const others = [...this.#parts.running()].filter((attempt) => attempt !== blamed && isOpen(attempt))
    const released = blamed === null ? [] : others
    const settlements = [
      ...this.#unsent(),
      ...this.#releaseUnbegun(),
      ...released.map(({ job }) => this.#take(job, { type: 'released', started: true, delay: 0 })),
    ]
    const told = blamed === null ? others : [...others, blamed]
    const { progress, log, notes = [] } = carried(told.map((attempt) => ({ attempt, ...attempt.takeNews() })))
    return { news: { progress, log, notes: [...notes] }, settlements }
  }

  #left({ job, startedAt }: Attempt): number {
    const timeout = this.#parts.timeoutOf(job)
    return timeout === undefined ? Infinity : startedAt + timeout - this.#parts.elapsed()
  }

  /** They stay with the settler too, which sends them again when the loop turns: that changes nothing. */
  #unsent(): Settlement[] {
    let left = mostTaken
    return this.#parts.unsent().flatMap(({ ref, token, outcome }) => {
      if (outcome.type === 'continued') return []
      left -= outcome.type === 'succeeded' ? (outcome.result?.length ?? 0) : 0
      return left < 0 ? [] : [{ ref, token, outcome }]
    })
  }

  #releaseUnbegun(): Settlement[] {
    const unbegun = this.#parts.unbegun().filter((job) => !this.isTaken(job))
    return unbegun.map((job) => this.#take(job, { type: 'released', started: false, delay: 0 }))
  }

  #take(job: ClaimedJob, outcome: Outcome): Settlement {
    this.#taken.add(job)
    return { ref: job.ref, token: job.token, outcome }
  }
}

const isOpen = ({ hasEnded, settledAs, completing }: Attempt): boolean => !hasEnded && !settledAs && !completing

function attemptOf(running: CurrentJob | undefined): Attempt | null {
  if (running instanceof ChunkElement) return running.owner
  return running instanceof Attempt ? running : null
}

/** The frames of whatever blocks the loop: those below the expression that the thread had evaluated. */
function blockedAt(): string {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = frames
  const lines = (new Error().stack ?? '').split('\n')
  Error.stackTraceLimit = limit
  const evaluated = lines.findIndex((line) => /^ +at <anonymous>:1:\d+$/.test(line))
  return lines.slice(evaluated + 1).join('\n')
}
