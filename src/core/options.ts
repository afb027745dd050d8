import type { Failure, FailureReason } from './failure.ts'
import type { Duration } from './time.ts'
import type { JobState } from './job.ts'
import type { SettledState } from './collection.ts'
import type { OpenTransaction } from './transaction.ts'

/**
 * What every job of a canvas may be given by `canvas.with(…)`. All of it is data: a canvas can be stored and sent.
 * Optional properties say `| undefined` too, so that `{ priority: maybe }` compiles under exactOptionalPropertyTypes.
 */
export interface JobOptions {
  /** The line it waits in. Default `default`. */
  readonly queue?: string | undefined
  /** A whole number from −1000 to 1000; higher first. Default 0. */
  readonly priority?: number | undefined
  /** Not before so long after it was sent. Holds back the entry jobs only. */
  readonly startIn?: Duration | undefined
  /** Not before this instant. Holds back the entry jobs only. */
  readonly startAt?: Date | string | number | undefined
  /** Cancelled if it has not started so long after it was sent. */
  readonly expires?: Duration | undefined
  /** Without it, a handler that throws is not tried again. */
  readonly retry?: RetryOptions | undefined
  /** How long an attempt may take; then its `signal` is aborted and it counts as failed. */
  readonly timeout?: Duration | undefined
  /** How long it is kept after its collection settled. */
  readonly retention?: Duration | undefined
  readonly tags?: readonly string[] | undefined
}

/** One call. A key that names one job or one submission is not for `canvas.with`, which reaches many. */
export interface CallOptions extends JobOptions {
  /** The same key again gives the collection made the first time. */
  readonly idempotencyKey?: string | undefined
  readonly unique?: UniqueOptions<string> | undefined
  /** For people: what this is about. */
  readonly description?: string | undefined
  /** Who asked for it. */
  readonly actor?: { readonly id: string } | undefined
  /**
   * A transaction of your own, in which it is stored: nothing runs before you commit, and if you roll back nothing was
   * ever sent. PostgreSQL and SQLite.
   */
  readonly within?: OpenTransaction | undefined
}

export interface CallbackTarget {
  /** A public address: `https://` or `http://`, at most 2,048 characters. */
  readonly url: string
  /**
   * Which results it is sent: none, that of the collection (`exit`, the default), or also that of each job (`all`).
   * Whoever receives it, and whatever stands between, reads them.
   */
  readonly results?: 'none' | 'exit' | 'all' | undefined
}

export interface SubmitOptions extends CallOptions {
  /** Called by a signed POST once the collection has settled, whatever the outcome, and again after each retry. */
  readonly callback?: CallbackTarget | undefined
  /** Short for `callback: { url }`. */
  readonly callbackUrl?: string | undefined
}

/**
 * Defaults of a task. Only here may an option be a function: the definition is code, everything else is stored.
 * A key is given the arguments. It is not typed by the handler: tried, and then TypeScript fixes the handler's type too
 * early, so that a default parameter or a tuple of schemas silently turned the task into `(...args: never) => unknown`.
 */
export interface TaskOptions extends Omit<JobOptions, 'startIn' | 'startAt' | 'retry'> {
  readonly retry?: (RetryOptions & { readonly when?: ((failure: Failure) => boolean) | undefined }) | undefined
  readonly unique?: UniqueOptions<string | ((...args: any[]) => string)> | undefined
  /** It may be sent over HTTP. Default false: what a stranger may start is said, not forgotten. */
  readonly expose?: boolean | undefined
  /**
   * Options that callers over HTTP may set as they like. Default none: they may only shorten `timeout` and `expires`, say when it
   * starts, and add tags where the task has none. A caller with the scope `admin` may set all of them.
   */
  readonly accepts?: readonly AcceptedOption[] | undefined
  readonly description?: string | undefined
}

/** An option that a task may leave to its callers over HTTP. */
export type AcceptedOption = 'queue' | 'priority' | 'expires' | 'retry' | 'timeout' | 'retention' | 'tags' | 'unique'

export interface RetryOptions {
  /** How many times it is tried again after the first attempt. */
  readonly limit: number
  /** The n-th wait is `base · factor^(n−1)`, at most `max`; `jitter` draws it from the upper half. Defaults 1s, 2, 1h, true. */
  readonly backoff?:
    | {
        readonly base?: Duration | undefined
        readonly factor?: number | undefined
        readonly max?: Duration | undefined
        readonly jitter?: boolean | undefined
      }
    | undefined
}

export interface UniqueOptions<Key> {
  readonly key: Key
  /** How long the key is held: until the first job starts, until all is settled (the default), or for a while. */
  readonly until?: 'started' | 'settled' | Duration | undefined
  /** What a submission meets that finds the key held: the one that holds it (the default), its cancellation, or an error. */
  readonly onConflict?: 'existing' | 'replace' | 'reject' | undefined
}

/** What `onError` handlers are given. Plain JSON: dates are ISO strings. */
export interface FailureReport {
  readonly job: string
  readonly task: string
  readonly collection: string
  readonly reason: FailureReason
  readonly failure: Failure
}

/** What `finally` handlers are given. */
export interface SettledSummary {
  readonly collection: string
  readonly state: SettledState
  readonly counts: { readonly [state in JobState]?: number }
  readonly failure?: Failure
}
