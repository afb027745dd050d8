import type { Failure } from './failure.ts'
import type { Actor, StoredOptions } from './job.ts'
import type { CallOptions, SubmitOptions, TaskOptions } from './options.ts'

/** A key that only one unfinished submission may hold, as stored. */
export interface UniqueTerms {
  readonly key: string
  /** Held until the first job starts, until all is settled, or for so many milliseconds. */
  readonly until: 'started' | 'settled' | number
  readonly onConflict: 'existing' | 'replace' | 'reject'
}

/** The options of one call, checked: what its jobs are given, and what belongs to the call as a whole. */
export interface CallTerms {
  readonly job: StoredOptions
  readonly idempotencyKey?: string
  readonly unique?: UniqueTerms
  readonly description?: string
  readonly actor?: Actor
}

export interface SubmitTerms extends CallTerms {
  readonly callbackUrl?: string
}

/** The defaults of a task, checked once where it is defined. */
export interface TaskTerms {
  readonly job: StoredOptions
  readonly when?: (failure: Failure) => boolean
  /** What the unique key of a call with these arguments is. Throws BAD_OPTION where the task's function gives none. */
  readonly unique?: (args: readonly unknown[]) => UniqueTerms
  readonly description?: string
}

/** Checks the options of one call. `what` names them in errors. @throws CeleriacError BAD_OPTION, BAD_DURATION, BAD_INSTANT */
export function callTerms(options: CallOptions, what: string): CallTerms {
  throw new Error(`not yet: ${what} ${Object.keys(options).length}`)
}

/** Checks the options of a submission. @throws CeleriacError BAD_OPTION, BAD_DURATION, BAD_INSTANT */
export function submitTerms(options: SubmitOptions, what: string): SubmitTerms {
  throw new Error(`not yet: ${what} ${Object.keys(options).length}`)
}

/** Checks the options of a task; `input`, its schema, is left alone. @throws CeleriacError BAD_OPTION, BAD_DURATION */
export function taskTerms(options: TaskOptions & { readonly input?: unknown }, what: string): TaskTerms {
  throw new Error(`not yet: ${what} ${Object.keys(options).length}`)
}
