import type { JobOptions } from './options.ts'
import type { StoredOptions } from './job.ts'

/**
 * Checks job options and puts them into the form they are stored in: durations in milliseconds, nothing that is undefined.
 * `what` names them in errors.
 *
 * @throws CeleriacError BAD_OPTION, BAD_DURATION, BAD_INSTANT
 */
export function storedOptions(options: JobOptions, what: string): StoredOptions {
  throw new Error(`not yet: ${what} ${Object.keys(options).length}`)
}

/** The options of a job: its own, and those of what is around it where it has none. */
export function inherit(own: StoredOptions, outer: StoredOptions): StoredOptions {
  return { ...outer, ...own }
}
