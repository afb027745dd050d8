import type { RetryPolicy, StoredOptions } from '../core/job.ts'
import { inherit, noOptions } from '../core/stored-options.ts'

/** For jobs that are not at the front of the canvas: `startIn` and `startAt` hold back its entries only. */
export function withoutStart(options: StoredOptions): StoredOptions {
  if (options.startIn === undefined && options.startAt === undefined) return options
  const { startIn: _, startAt: __, ...rest } = options
  return rest
}

/**
 * What the side branches of a canvas take over from it. Not when it expires or how it is tried again: they report on
 * it, so they must be able to outlive it.
 */
export function forBranches(options: StoredOptions): StoredOptions {
  return only(options, ['queue', 'priority', 'retention', 'tags'])
}

/** What the jobs of a returned canvas take over from the job that returned it. */
export const forContinuation: (options: StoredOptions) => StoredOptions = forBranches

/**
 * 11 attempts. The waits between them are at most 5 s, 20 s, 80 s, 5 min, 21 min, 85 min, 5.7 h and three times 8 h: 31.6 h
 * in all, and 24 h in the mean, for each is drawn from its upper half.
 */
const callbackRetry: RetryPolicy = { limit: 10, base: 5_000, factor: 4, max: 8 * 3_600_000, jitter: true }

/** What the job takes that calls back: as a side branch of the submission does, with a policy of its own. */
export function forCallback(submitted: StoredOptions, firstQueue: string | undefined): StoredOptions {
  const queue = firstQueue === undefined ? {} : { queue: firstQueue }
  return { ...queue, ...forBranches(submitted), retry: callbackRetry }
}

/** What the job takes that turns the list of an `each` into jobs: how those are tried and timed is theirs alone. */
export function forEachJob(options: StoredOptions): StoredOptions {
  const { retry: _, timeout: __, ...rest } = options
  return rest
}

/** A job's options: those around it and, where they say nothing, its task's. `null`: the task has none. */
export type JobOptionsOf = (task: string | null, around: StoredOptions) => StoredOptions

/** Calls in a row for the same task with the same options around it give the same object. */
export function createJobOptions(defaultsOf: (task: string) => StoredOptions, fallback: StoredOptions): JobOptionsOf {
  const latest = new Map<string | null, { readonly around: StoredOptions; readonly all: StoredOptions }>()
  return (task, around) => {
    const known = latest.get(task)
    if (known?.around === around) return known.all
    const defaults = task === null ? noOptions : defaultsOf(task)
    const all = inherit(around, inherit(defaults, fallback))
    latest.set(task, { around, all })
    return all
  }
}

function only(options: StoredOptions, keys: readonly (keyof StoredOptions)[]): StoredOptions {
  if (options === noOptions) return noOptions
  return Object.fromEntries(keys.filter((key) => key in options).map((key) => [key, options[key]]))
}
