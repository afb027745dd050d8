import type { CollectionDetail, CollectionRecord, CollectionState, JobCounts } from '../core/collection.ts'
import type { JobDetail, JobRecord, JobState, StoredResult } from '../core/job.ts'
import type { SessionRecord, Tally } from './work.ts'

/** Reading. Pages go from newest to oldest; `cursor` is opaque. */
export interface Inspection {
  jobs(query: JobsQuery): Promise<RecordPage<JobRecord>>
  /** `history: false` leaves out its attempts and log lines. */
  job(id: string, options?: { readonly history?: boolean }): Promise<(JobDetail & { readonly cursor: string }) | null>
  collections(query: CollectionsQuery): Promise<RecordPage<CollectionRecord>>
  /**
   * Counts and progress are those of the jobs told. Redis and SQLite read those of a large collection some at a time, so they may be newer
   * than its state and its cursor; what changed meanwhile comes again after the cursor.
   *
   * `jobs: false` leaves the list of jobs empty. With `counts: false` besides, counts and progress may be zero: they are what costs
   * where there are many jobs.
   */
  collection(
    id: string,
    options?: { readonly jobs?: boolean; readonly counts?: boolean },
  ): Promise<CollectionDetail | null>
  /** By name: the queues that are paused, those that have unfinished jobs, and the default queue, with their counts and settings. Redis reads many some at a time. */
  queues(): Promise<readonly QueueRecord[]>
  /** Sessions that live, and those that ended or were lost within the last day. */
  workers(): Promise<readonly WorkerRecord[]>
  /** How many jobs and collections are in each state: of everybody, or of one actor. Jobs not needed are left out. */
  counts(query: { readonly actor?: string }): Promise<StateCounts>
  /** Who asked for these collections, by id: null for nobody. What is not stored is left out. At most 1,000 ids. */
  actorsOf(collectionIds: readonly string[]): Promise<ReadonlyMap<string, string | null>>
  /** What workers told in their heartbeats of the minutes from one instant up to another, oldest first; kept for two days. */
  statistics(query: { readonly from: number; readonly to: number; readonly task?: string }): Promise<readonly Tally[]>
  /** Loads what a stored result left out, whole. */
  resolve(result: StoredResult): Promise<StoredResult>
}

export interface JobsQuery {
  readonly states?: readonly JobState[]
  /** A task's name; `*` stands for any characters. */
  readonly task?: string
  readonly queue?: string
  readonly collectionId?: string
  /**
   * Found as it stands in its task, description, tags, arguments or failure, these as JSON text. ASCII letters are found
   * in either case; nothing in it stands for anything else.
   */
  readonly text?: string
  readonly actor?: string
  readonly tag?: string
  /** Created at or after, before: instants in milliseconds. */
  readonly createdFrom?: number
  readonly createdBefore?: number
  readonly limit: number
  readonly cursor?: string
}

export interface CollectionsQuery {
  readonly state?: CollectionState
  readonly actor?: string
  readonly tag?: string
  readonly createdFrom?: number
  readonly createdBefore?: number
  readonly limit: number
  readonly cursor?: string
}

export interface StateCounts {
  readonly jobs: JobCounts
  readonly collections: Readonly<Record<CollectionState, number>>
}

export interface RecordPage<T> {
  readonly items: readonly T[]
  readonly next: string | null
}

export interface QueueRecord {
  readonly name: string
  readonly paused: boolean
  readonly counts: Pick<JobCounts, 'waiting' | 'scheduled' | 'queued' | 'running'>
}

export interface WorkerRecord extends SessionRecord {
  readonly state: 'running' | 'ended' | 'lost'
  readonly startedAt: number
  readonly seenAt: number
  readonly runningCount: number
}
