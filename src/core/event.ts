import type { Progress, JobState } from './job.ts'
import type { CollectionState } from './collection.ts'

/** A recorded change, as an engine tells it. In order for each job. */
export type Change = ChangeOfJob | ChangeOfProgress | ChangeOfCollection
export interface ChangeOfJob {
  readonly type: 'job'
  readonly at: number
  readonly collectionId: string
  readonly jobId: string
  readonly state: JobState
  readonly attempt: number
  /** Counts the changes of this job: a reader drops a change whose version it has already seen. */
  readonly version: number
}
export interface ChangeOfProgress {
  readonly type: 'progress'
  readonly at: number
  readonly collectionId: string
  readonly jobId: string
  readonly attempt: number
  readonly progress: Progress
}
/**
 * The collection settled, or began another round, or jobs were added to it or taken from it (`running`, same round). Told
 * of a job alone too, which is a collection of one.
 */
export interface ChangeOfCollection {
  readonly type: 'collection'
  readonly at: number
  readonly collectionId: string
  readonly state: CollectionState
  readonly round: number
}
