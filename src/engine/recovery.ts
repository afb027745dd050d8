import { CeleriacError, StoreUnavailable } from '../core/errors.ts'
import type { Failure } from '../core/failure.ts'
import { decideFailure } from '../core/retry.ts'
import { readOptions } from './job-options.ts'
import { storedFailure } from './stored.ts'

/** How long a running job that was told to stop may take, in milliseconds. */
export const cancelGrace = 10_000
/** How far past its deadline the worker of a job may settle it itself, in milliseconds. */
export const deadlineGrace = 2_000

/** The minimum time between two turns of recovery and upkeep, whoever takes them, in milliseconds. */
export const turnLength = 500
/** How long after a gap jobs that look expired are neither run nor cancelled, at most, in milliseconds: they stand in line. */
export const longestCalm = 60_000
/** How long what is left of a large change waits after it failed, in milliseconds: meanwhile everything else goes on. */
export const workPause = 60_000
/** The time between two rounds of the chores that nobody waits for, in milliseconds. */
export const choreInterval = 10_000
/** How long sessions are kept that have ended, in milliseconds. */
export const sessionRetention = 30 * 24 * 60 * 60_000

/** Maximum jobs that one transaction gives back or stops, and sessions that one turn gives up. */
export const jobsPerStep = 500
export const sessionsPerTurn = 100

/** How long a fault of upkeep is shown after it was last met, and how long its row stays, in milliseconds. */
export const faultShown = 10 * 60_000
export const faultKept = 24 * 60 * 60_000
/** Maximum faults of one turn that are kept, and characters of their messages. */
const mostFaults = 100
const faultLength = 500

/** Something of a sweep that failed while the rest of it was done. */
export interface SweepFault {
  /** What failed: a job, a worker or a chore. Names no payload. */
  readonly item: string
  readonly error: CeleriacError
}

/** A job by its number in the store and by the id that people know. */
export interface NamedJob {
  readonly seq: number
  readonly id: string
}

/**
 * Runs the parts of a sweep each on its own: one that fails is noted, and the others go on. Where the store itself is away or
 * closed, nothing more is tried.
 */
export class Steps {
  readonly faults: SweepFault[] = []

  /** The faults as the store keeps them, for whoever asks after them. */
  get keptFaults(): KeptFault[] {
    return this.faults
      .slice(0, mostFaults)
      .map(({ item, error }) => ({ item, message: error.message.slice(0, faultLength) }))
  }

  /** Runs one part. Answers null where it failed. */
  async run<T>(item: string, step: () => Promise<T>): Promise<T | null> {
    try {
      return await step()
    } catch (error) {
      if (isStoreGone(error)) throw error
      this.faults.push({ item, error: asError(error) })
      return null
    }
  }

  /**
   * Runs a step for many jobs together and, where that fails, for each alone, so that one bad row fails for itself. Answers with
   * the sum of what the steps answer.
   */
  async runAll<T extends NamedJob>(jobs: readonly T[], step: (jobs: readonly T[]) => Promise<number>): Promise<number> {
    if (jobs.length === 0) return 0
    try {
      return await step(jobs)
    } catch (error) {
      if (isStoreGone(error)) throw error
    }
    let count = 0
    for (const job of jobs) count += (await this.run(`job ${job.id}`, () => step([job]))) ?? 0
    return count
  }

  /** Runs a step for the jobs of one page after the other, as `runAll` does: `page` finds those behind a number, `jobsPerStep` of them. */
  async runPages(
    page: (after: number) => Promise<readonly NamedJob[]>,
    step: (jobs: readonly NamedJob[]) => Promise<number>,
  ): Promise<number> {
    let count = 0
    for (let after = 0; ;) {
      const jobs = await page(after)
      count += await this.runAll(jobs, step)
      if (jobs.length < jobsPerStep) return count
      after = (jobs.at(-1) as NamedJob).seq
    }
  }

  /** Runs chores, which answer whether there may be more. `goOn`: where one could not come to its end, all go on in the next turn. */
  async runChores<T>(
    chores: readonly (readonly [name: string, chore: T])[],
    run: (chore: T) => Promise<boolean>,
    goOn: () => Promise<unknown>,
  ): Promise<void> {
    let isLeft = false
    for (const [name, chore] of chores) isLeft = (await this.run(name, () => run(chore))) === true || isLeft
    if (isLeft) await goOn()
  }
}

/** The store is away, full or closed to this process: nothing is wrong with what is in it. */
export function isStoreGone(error: unknown): boolean {
  if (error instanceof StoreUnavailable) return true
  return (
    error instanceof CeleriacError &&
    ['CLOSED', 'STORE_MOVED', 'STORE_FULL', 'STORE_READ_ONLY', 'STORE_REPLACED'].includes(error.code)
  )
}

function asError(error: unknown): CeleriacError {
  if (error instanceof CeleriacError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new CeleriacError('STORE_FAILED', message, { cause: error })
}

export interface KeptFault {
  readonly item: string
  readonly message: string
}

/** A fault as a diagnosis shows it. */
export interface KnownFault extends KeptFault {
  readonly at: number
}

// ── who is to blame ──────────────────────────────────────────────────────────────────────────────────────────────

/**
 * How strongly a job is suspected of ending its workers (stored as `crashes`). A session runs up to `suspectsTogether` jobs that
 * were beside others when their worker died; were one of those deaths in such a company, it runs alone among suspects from then on.
 */
export const suspicion = {
  none: 0,
  /** Its worker died while it ran, and no job there was suspect before. */
  suspect: 1,
  /** Its worker died while it ran beside other suspects. */
  beside: 2,
  /** Its worker died while it was the only suspect there. */
  alone: 3,
  /** That happened twice: it is failed as poisoned. */
  poisoned: 4,
} as const

/** Maximum jobs of `suspicion.suspect` that a session runs at a time. */
export const suspectsTogether = 32

/**
 * How many of the first suspects in line a session may take, beside those that it runs. Several may run together where each was
 * beside others in one death only: another death then narrows it down. One that was in such a company twice runs alone among
 * suspects, so that its next death counts for it and no other.
 *
 * @param running how strongly those are suspected that run there
 * @param queued the same of the first in line, in their order
 */
export function suspectsToTake(running: readonly number[], queued: readonly number[]): number {
  if (running.some((level) => level > suspicion.suspect)) return 0
  const room = suspectsTogether - running.length
  const alone = queued.findIndex((level) => level > suspicion.suspect)
  // In order, so that none waits for ever: those behind it wait until it has had its turn.
  if (alone === 0) return running.length === 0 ? 1 : 0
  return Math.max(0, Math.min(room, alone === -1 ? queued.length : alone))
}

/** Who is to blame for the death of a session. */
export const blame = { everybody: 1, suspects: 2, onlySuspect: 3 } as const

/** The blame for a death, by how many suspects ran there. */
export const blameFor = (suspectCount: number): number =>
  suspectCount === 0 ? blame.everybody : suspectCount === 1 ? blame.onlySuspect : blame.suspects

/** How strongly a job is suspected after its worker died. */
export function suspicionAfter(before: number, whose: number): number {
  if (whose === blame.everybody) return Math.max(before, suspicion.suspect)
  if (before === suspicion.none) return before
  if (whose === blame.suspects) return Math.max(before, suspicion.beside)
  return before < suspicion.alone ? suspicion.alone : suspicion.poisoned
}

/** Why a job is failed as poisoned. */
export const poisonedMessage = (worker: string): string =>
  `Its worker died 3 times while it ran; the last one was ${worker}.`

/** The name of the note by which a process that dies of an attempt says why: its value is a `Failure`. */
export const lastWordsName = (attempt: number): string => `!${attempt}`

/** Maximum characters of the last words that the message of a poisoned job repeats; its cause has all of them. */
export const wordsShown = 300

/** The failure of a poisoned job. `words`: the last words of its worker as JSON text, null if it left none. */
export function poisonedFailure(worker: string, words: string | null, attempt: number, now: number): Failure {
  const cause = storedFailure(words)
  const why = cause === null ? '' : ` It ended with ${cause.name}: ${cause.message.slice(0, wordsShown)}`
  return {
    name: 'JobPoisoned',
    message: poisonedMessage(worker) + why,
    ...(cause === null ? {} : { cause }),
    attempt,
    at: new Date(now).toISOString(),
  }
}

/** Why a job is failed whose worker did not stop it at its deadline. `timeout` in milliseconds. */
export const lateMessage = (timeout: number | string | null): string =>
  `It took longer than its ${timeout} ms, and did not stop when told.`

/**
 * What a job comes to whose worker did not stop it at its deadline: a failure, or another attempt.
 *
 * @param job its options as the text in its row
 */
export function lateOutcome(
  job: {
    readonly attempt: number
    readonly failures: number
    readonly timeout: number | null
    readonly options: string | null
  },
  now: number,
  random: number,
): ReturnType<typeof decideFailure> {
  const { attempt, failures, timeout, options } = job
  const at = new Date(now).toISOString()
  const failure: Failure = { name: 'JobTimedOut', message: lateMessage(timeout), attempt, at }
  return decideFailure({ reason: 'timeout', failure, policy: readOptions(options).retry, failures, random })
}
