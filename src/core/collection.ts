import type { Failure } from './failure.ts'
import type { Actor, JobRecord, JobState, StoredResult } from './job.ts'

export const collectionStates = ['running', 'succeeded', 'failed', 'cancelled'] as const
export type CollectionState = (typeof collectionStates)[number]
export type SettledState = Exclude<CollectionState, 'running'>

export const callbackResults = ['none', 'exit', 'all'] as const
/** Which results a callback carries: none, that of the collection, or also that of each job. */
export type CallbackResults = (typeof callbackResults)[number]

/** Who is called back when a collection has settled, and with what. */
export interface Callback {
  readonly url: string
  readonly results: CallbackResults
}

/** How many jobs are in each state. Jobs that were not needed are left out. */
export type JobCounts = Readonly<Record<JobState, number>>

/** A collection as an engine tells it. A job alone is told as a collection of one. */
export interface CollectionRecord {
  readonly id: string
  readonly state: CollectionState
  readonly round: number
  readonly description: string | null
  readonly actor: Actor | null
  readonly tags: readonly string[]
  readonly callback: Callback | null
  readonly counts: JobCounts
  /** How many of its main jobs are final, of how many known so far. */
  readonly progress: { readonly done: number; readonly total: number }
  readonly createdAt: number
  readonly settledAt: number | null
  readonly cancelling: boolean
  /** The failure that came first, and the job it happened to. */
  readonly failure: Failure | null
  readonly failedJobId: string | null
}

export interface CollectionDetail extends CollectionRecord {
  /** In the order of the graph; the jobs of a continuation follow the job that continued. */
  readonly jobs: readonly JobRecord[]
  /**
   * A reader that follows from here misses nothing. It sees nothing twice where all was read in one transaction; of many jobs, read some
   * at a time, what changed meanwhile comes again, known by its version.
   */
  readonly cursor: string
  /** Present when it succeeded. */
  readonly result: StoredResult | null
  /** How the results of the jobs at its end nest. */
  readonly shape: string
}
