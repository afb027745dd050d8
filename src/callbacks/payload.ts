import type { JobCounts, SettledState } from '../core/collection.ts'
import type { Failure } from '../core/failure.ts'
import type { Actor, JobState, Reason, Role } from '../core/job.ts'

/** What a callback says. Names are those of the library in snake_case, instants ISO 8601 text in UTC; what is not there is left out. */
export interface CallbackPayload {
  readonly type: 'collection.settled'
  /** When it settled. */
  readonly timestamp: string
  readonly data: SettledCollection
}

/** A collection as it stood when the callback was sent: side branches may run on. */
export interface SettledCollection {
  readonly id: string
  readonly state: SettledState
  /** 1, and one more with each retry: each round calls back. */
  readonly round: number
  readonly description?: string
  readonly actor?: Actor
  readonly tags: readonly string[]
  /** How many of the jobs are in each state, the callback itself left out. */
  readonly counts: JobCounts
  /** How many main jobs are final, of how many. */
  readonly progress: { readonly done: number; readonly total: number }
  readonly created_at: string
  readonly settled_at: string
  /** The failure that came first, and the job it happened to. */
  readonly failure?: SentFailure
  readonly failed_job_id?: string
  /** Where it succeeded and returned something, unless the submission asked for `results: 'none'`. */
  readonly result?: unknown
  /** In the order of the graph. */
  readonly jobs: readonly SettledJob[]
  /** The whole would have been more than 1 MiB: some results are left out, and maybe the last of the jobs. */
  readonly truncated?: true
}

export interface SettledJob {
  readonly id: string
  readonly task: string
  readonly state: JobState
  readonly reason?: Reason
  readonly role: Role
  readonly queue: string
  readonly parent_id?: string
  readonly attempt: number
  readonly failures: number
  readonly round: number
  readonly failure?: SentFailure
  readonly failed_job_id?: string
  readonly description?: string
  readonly tags: readonly string[]
  readonly created_at: string
  readonly started_at?: string
  readonly finished_at?: string
  /** Where it succeeded and returned something, and the submission asked for `results: 'all'`. */
  readonly result?: unknown
}

/** Without the stack: where in the sender's source it happened is nobody else's business. */
export interface SentFailure extends Omit<Failure, 'stack' | 'cause'> {
  readonly cause?: SentFailure
}
