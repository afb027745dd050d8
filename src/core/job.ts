import type { Failure } from './failure.ts'

export const jobStates = [
  'waiting',
  'scheduled',
  'queued',
  'running',
  'succeeded',
  'failed',
  'cancelled',
  'skipped',
] as const
export type JobState = (typeof jobStates)[number]
export type FinalState = 'succeeded' | 'failed' | 'cancelled' | 'skipped'

/** `main` decides the collection's outcome; `side` and `callback` jobs neither delay nor change it. */
export type Role = 'main' | 'side' | 'callback'

/** Why a job is in a final state that is not success. `not-needed`: a side branch whose case did not arise. */
export type Reason =
  'failed' | 'timeout' | 'poisoned' | 'cancelled' | 'expired' | 'fail-fast' | 'upstream' | 'not-needed'

export interface Progress {
  readonly done: number
  readonly total?: number
  readonly message?: string
}

export interface Actor {
  readonly id: string
}

/** Retry policy as stored with a job. Durations in milliseconds. */
export interface RetryPolicy {
  readonly limit: number
  readonly base: number
  readonly factor: number
  readonly max: number
  readonly jitter: boolean
}

/**
 * What a job carries besides its call, as stored: durations in milliseconds, everything optional left out. The engine
 * reads `queue`, `priority`, `startIn`, `startAt`, `expires`, `timeout`, `retry` and `tags`; the rest is opaque to it.
 */
export interface StoredOptions {
  readonly queue?: string
  readonly priority?: number
  readonly startIn?: number
  readonly startAt?: number
  readonly expires?: number
  readonly timeout?: number
  readonly retry?: RetryPolicy
  readonly retention?: number
  readonly tags?: readonly string[]
  /** The job's first argument is a list: the handler is called once for each element (`each` with `chunk`). */
  readonly chunked?: true
}

export const attemptOutcomes = [
  'running',
  'succeeded',
  'failed',
  'retried',
  'snoozed',
  'released',
  'lost',
  'cancelled',
  'continued',
] as const
export type AttemptOutcome = (typeof attemptOutcomes)[number]

/** One execution of a job that has ended, or is under way. */
export interface AttemptRecord {
  readonly attempt: number
  readonly round: number
  readonly worker: string | null
  readonly startedAt: number
  readonly finishedAt: number | null
  readonly outcome: AttemptOutcome
  readonly failure: Failure | null
}

/** A job as an engine tells it: the facts without its result. Instants in milliseconds, JSON still as text. */
export interface JobRecord {
  readonly id: string
  readonly collectionId: string
  readonly task: string
  readonly state: JobState
  readonly reason: Reason | null
  readonly role: Role
  readonly queue: string
  readonly priority: number
  readonly args: string
  /** The id of the job whose handler returned the canvas that this job belongs to. */
  readonly parentId: string | null
  /** The ids of the jobs that this one waits for, or waited for, at most the first 1,000: empty at the front of a canvas. */
  readonly after: readonly string[]
  /** In a collection: how many there are, if `after` names fewer. */
  readonly afterCount?: number
  readonly attempt: number
  readonly failures: number
  readonly round: number
  readonly version: number
  readonly progress: Progress | null
  /** Its own last failure; for a skipped job, that of the job which caused it. */
  readonly failure: Failure | null
  /** The id of the job whose failure this is: its own, or for a skipped or continued job the original one. */
  readonly failedJobId: string | null
  /** Its arguments, failure or progress are not whole: the snapshot would be too large. */
  readonly shortened?: true
  readonly actor: Actor | null
  readonly description: string | null
  readonly tags: readonly string[]
  readonly worker: string | null
  readonly createdAt: number
  readonly dueAt: number | null
  readonly startedAt: number | null
  readonly finishedAt: number | null
  /** Somebody asked for it to be cancelled, and it is not final yet. */
  readonly cancelling: boolean
  /** It returned a canvas and waits for it. */
  readonly continued: boolean
}

/** A result as stored: JSON text (`null` where the handler returned nothing), or where to find the parts of it. */
export type StoredResult =
  | { readonly json: string | null }
  | { readonly shape: string; readonly barrier: BarrierRef; readonly results: readonly StoredResult[] | null }

/** Opaque to everyone but the engine that made it. */
export type JobRef = unknown
export type BarrierRef = unknown

export interface LogLine {
  readonly at: number
  readonly attempt: number
  readonly level: 'info' | 'warn' | 'error'
  readonly message: string
  readonly data: string | null
}

export interface JobDetail extends JobRecord {
  /** Its arguments are all that its handler is called with: nothing is put before them, and it is no chunk of a list. */
  readonly hasAllArguments: boolean
  readonly result: StoredResult | null
  readonly attempts: readonly AttemptRecord[]
  readonly log: readonly LogLine[]
  /** null: its history is whole. */
  readonly omitted: Omitted | null
}

/** How much of a job's history is stored but did not come along: it would be too large. */
export interface Omitted {
  /** Failures of its oldest attempts. */
  readonly failures: number
  /** Its oldest log lines. */
  readonly lines: number
}
