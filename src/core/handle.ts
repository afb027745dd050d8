import type { CollectionState, JobCounts, SettledState } from './collection.ts'
import type { Failure } from './failure.ts'
import type { Omitted, JobState, Progress, Reason, Role } from './job.ts'
import type { Duration } from './time.ts'
import type { TransactionClient } from './transaction.ts'

/** A job that was sent, seen from anywhere. */
export interface JobHandle<out R> {
  readonly ' handle': R
  readonly id: string
  /** The result, or throws JobFailed, JobCancelled or JobSkipped; `TIMED_OUT` where the wait was given an end. */
  result(options?: WaitOptions): Promise<R>
  snapshot(): Promise<JobSnapshot<R>>
  /** Asks for it to be cancelled; returns once that is stored. */
  cancel(): Promise<void>
  /**
   * Runs it again, and what it held up; with other arguments of its own where they are given.
   *
   * @param options.now starts a job that had not begun at once; without, its `startAt` or `startIn` holds it until the same instant
   */
  retry(options?: { readonly args?: readonly unknown[] | undefined; readonly now?: boolean | undefined }): Promise<void>
  /** The snapshot first, then every change; ends when the job is final. */
  events(options?: FollowOptions): AsyncIterable<JobEvent<R>>
}

/** A submission, seen from anywhere. */
export interface CollectionHandle<out R> {
  readonly ' handle': R
  readonly id: string
  result(options?: WaitOptions): Promise<R>
  snapshot(): Promise<CollectionSnapshot<R>>
  cancel(): Promise<void>
  /**
   * Runs again what failed, was cancelled or skipped (`failed`, the default), or everything (`all`). The ids stay.
   *
   * @param options.now starts jobs that had not begun at once; without, `startAt` or `startIn` holds them until the same instant
   */
  retry(options?: { readonly mode?: 'failed' | 'all' | undefined; readonly now?: boolean | undefined }): Promise<void>
  /**
   * A token for those who may look at this collection and follow it over HTTP, and nothing else.
   *
   * @param options.expiresIn how long it is good for; default a day
   */
  token(options?: { readonly expiresIn?: Duration | undefined }): Promise<string>
  /** The snapshot first, then every change; the last one is `settled`, also of what had settled before. */
  events(options?: FollowOptions): AsyncIterable<CollectionEvent<R>>
}

export interface WaitOptions {
  readonly timeout?: Duration | undefined
  readonly signal?: AbortSignal | undefined
}

export interface FollowOptions {
  /** A cursor from an event seen before: changes since then come first, without a snapshot unless they are gone. */
  readonly after?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Go on after it settled: side branches still run, somebody may retry it. Ends by `signal` or `break`. */
  readonly live?: boolean | undefined
}

/** What lists and collections tell of a job: everything but its result and history. */
export interface JobSummary {
  readonly id: string
  readonly task: string
  readonly collectionId: string
  readonly state: JobState
  readonly reason?: Reason
  readonly role: Role
  readonly queue: string
  readonly priority: number
  /** The arguments given; a result that came before them is not among them. */
  readonly args: readonly unknown[]
  /** The job whose handler returned the canvas that this job belongs to. */
  readonly parentId?: string
  /**
   * The jobs it waits for, or waited for; of a large group the first 1,000. A snapshot of a collection in which very many wait for
   * very many names the first 1,000 once, and of the other jobs that wait for the same only the first.
   */
  readonly after: readonly string[]
  /** In a collection's snapshot: how many jobs it waits for, if `after` names fewer. */
  readonly afterCount?: number
  readonly attempt: number
  /** How many attempts failed in this round. */
  readonly failures: number
  readonly round: number
  readonly progress?: Progress
  readonly failure?: Failure
  /** Whose failure that is: this job's, or for a skipped or continued job the one that caused it. */
  readonly failedJobId?: string
  /**
   * In a snapshot of more than 4 MiB: arguments of more than 200 characters are left out here, and so are tags, and the failure and
   * the message of its progress are cut. `app.job(id).snapshot()` has them whole.
   */
  readonly shortened?: true
  readonly actor?: { readonly id: string }
  readonly description?: string
  readonly tags: readonly string[]
  readonly worker?: string
  readonly createdAt: Date
  readonly dueAt?: Date
  readonly startedAt?: Date
  readonly finishedAt?: Date
  readonly cancelling: boolean
  /** It returned a canvas and takes that one's result. */
  readonly continued: boolean
}

export interface Attempt {
  readonly attempt: number
  readonly round: number
  readonly worker?: string
  readonly startedAt: Date
  readonly finishedAt?: Date
  readonly outcome:
    'running' | 'succeeded' | 'failed' | 'retried' | 'snoozed' | 'released' | 'lost' | 'cancelled' | 'continued'
  readonly failure?: Failure
}

export interface JobLogLine {
  readonly at: Date
  readonly attempt: number
  readonly level: 'info' | 'warn' | 'error'
  readonly message: string
  readonly data?: unknown
}

type JobFacts = Omit<JobSummary, 'state' | 'failure'> & {
  readonly attempts: readonly Attempt[]
  readonly log: readonly JobLogLine[]
  /**
   * How many failures of its oldest attempts and how many of its oldest log lines are left out: a snapshot carries the newest
   * 2 MiB of each. Absent if it is whole.
   */
  readonly omitted?: Omitted
}

export type JobSnapshot<R = unknown> = JobFacts &
  (
    | { readonly state: 'succeeded'; readonly result: R; readonly failure?: Failure }
    | { readonly state: 'failed'; readonly failure: Failure }
    | { readonly state: Exclude<JobState, 'succeeded' | 'failed'>; readonly failure?: Failure }
  )

/** What a list tells of a collection. */
export interface CollectionSummary {
  readonly id: string
  readonly state: CollectionState
  readonly round: number
  readonly description?: string
  readonly actor?: { readonly id: string }
  readonly tags: readonly string[]
  readonly callbackUrl?: string
  readonly counts: JobCounts
  /** How many of its main jobs are final, of how many known so far. */
  readonly progress: { readonly done: number; readonly total: number }
  readonly createdAt: Date
  readonly settledAt?: Date
  readonly cancelling: boolean
  readonly failure?: Failure
  readonly failedJobId?: string
}

type CollectionFacts = Omit<CollectionSummary, 'state' | 'failure'> & {
  /** In the order of the graph. */ readonly jobs: readonly JobSummary[]
}

export type CollectionSnapshot<R = unknown> = CollectionFacts &
  (
    | { readonly state: 'succeeded'; readonly result: R; readonly failure?: Failure }
    | { readonly state: 'failed'; readonly failure: Failure }
    | { readonly state: Exclude<CollectionState, 'succeeded' | 'failed'>; readonly failure?: Failure }
  )

interface At {
  /** Go on from behind this event by `events({ after: cursor })`. */
  readonly cursor: string
}
export type JobStateEvent = At & {
  readonly type: 'state'
  readonly at: Date
  readonly jobId: string
  readonly state: JobState
  readonly attempt: number
}
export type JobProgressEvent = At & { readonly type: 'progress'; readonly at: Date; readonly jobId: string } & Progress

export type JobEvent<R = unknown> =
  (At & { readonly type: 'snapshot'; readonly job: JobSnapshot<R> }) | JobStateEvent | JobProgressEvent

export type CollectionEvent<R = unknown> =
  | (At & { readonly type: 'snapshot'; readonly collection: CollectionSnapshot<R> })
  | JobStateEvent
  | JobProgressEvent
  /** Jobs joined it: a handler returned a canvas. */
  | (At & { readonly type: 'jobs'; readonly jobs: readonly JobSummary[] })
  /** Somebody retried it: another round began. */
  | (At & { readonly type: 'round'; readonly round: number })
  | (At & { readonly type: 'settled'; readonly at: Date; readonly state: SettledState; readonly round: number })

type OfCollection = At & { readonly at: Date; readonly collectionId: string }

/** Whatever happens to any job or collection. */
export type FeedEvent =
  /** From here on every change is told: whoever shows lists reads them now. Comes again where changes were lost. */
  | (At & { readonly type: 'start' })
  | (OfCollection & {
      readonly type: 'job'
      readonly jobId: string
      readonly state: JobState
      readonly attempt: number
    })
  | (OfCollection & { readonly type: 'progress'; readonly jobId: string } & Progress)
  /** It settled, or began another round, or jobs joined it. */
  | (OfCollection & { readonly type: 'collection'; readonly state: CollectionState; readonly round: number })

/** What a handler knows of the job it runs as. Outside a worker it is inert: nothing is stored, `signal` never aborts. */
export interface CurrentJob {
  readonly id: string
  /**
   * The key for side effects that must happen exactly once: the same at every attempt and in every round, and of no other
   * call of a handler in the store. It is the id of the job; in a chunk of `each`, where one job calls its handler for many
   * elements, each element has its own.
   *
   * @example
   * await stripe.charges.create({ amount }, { idempotencyKey: currentJob().key })
   */
  readonly key: string
  readonly attempt: number
  readonly collectionId: string
  /** Aborted on cancellation, time-out and when the worker stops. Its `reason` says which. */
  readonly signal: AbortSignal
  /** Lines kept with the job. */
  readonly log: {
    info(message: string, data?: unknown): void
    warn(message: string, data?: unknown): void
    error(message: string, data?: unknown): void
  }
  /** Tells how far it is. Merged: followers see the newest, at most every 50 ms. */
  progress(done: number, total?: number, message?: string): void
  /** Never returns. Write `throw currentJob().retry(…)` so that TypeScript knows. Counts as a failure. */
  retry(options?: { readonly in?: Duration | undefined; readonly cause?: unknown }): never
  /** Never returns. Puts the job off; no failure is counted. */
  snooze(delay: Duration): never
  /**
   * Opens a transaction, calls back with it, and completes the job in it with what the callback gives: what you write there
   * and the job's success are both kept or, where anything fails, neither. The job is over then, whatever else the
   * handler does. PostgreSQL and SQLite. Keep it short: it holds a connection, and on SQLite everybody who writes.
   *
   * @throws what the callback throws; JobCancelled or LEASE_LOST where the job is no longer to be done; UNSUPPORTED outside
   * a worker, in a chunk of `each`, and on Redis
   * @example
   * const book = app.task('seats.book', (seat: string) =>
   *   currentJob().completeWithin(async (client) => {
   *     await client.query('update seats set taken = true where id = $1', [seat])
   *     return seat
   *   }),
   * )
   */
  completeWithin<R, Client extends object = TransactionClient>(write: (client: Client) => R | Promise<R>): Promise<R>
}
