import { CeleriacError } from '../core/errors.ts'
import { sizeOfFailure } from '../core/failure.ts'
import type { JobRecord } from '../core/job.ts'
import type { Runtime } from '../core/runtime.ts'

/**
 * Rules that lists have in common on every engine. A filter may match few of very many rows and most filters have no index, so a
 * list looks at a window of numbers at a time, newest first, and others have their turn in between.
 */

/**
 * Numbers and instants of creation rise together, but for uploads, which take their numbers up to an hour ahead. So behind a row that
 * was created this long before `createdFrom` nothing matches. In milliseconds.
 */
export const createdMargin = 2 * 60 * 60_000

/** A page ends early when its jobs have so many characters: a list of jobs with 256 KiB of arguments each would be 50 MiB. */
export const pageBytes = 4 * 1024 * 1024

/** The characters of a job that a user makes many of: arguments, failure, and the ids of the jobs that it waits for. */
export const sizeOfJob = ({ args, after, failure }: JobRecord): number =>
  args.length + after.length * idLength + (failure === null ? 0 : sizeOfFailure(failure))
/** In JSON. */
const idLength = 39

/** The number that a list goes on below. @throws CeleriacError BAD_CURSOR */
export function position(cursor: string): number {
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor)
  throw new CeleriacError(
    'BAD_CURSOR',
    `"${cursor.slice(0, 40)}" is not a cursor of this list: pass the "next" of the page before, unchanged.`,
  )
}

/**
 * A window that grows while it is looked through quickly and shrinks when it takes long: rows may have a few bytes or 256 KiB.
 *
 * @example
 * const window = new Window(runtime, { first: 1_000, most: 50_000, milliseconds: 20 })
 * const rows = await window.time(() => read(before - window.size, before))
 */
export class Window {
  readonly #runtime: Pick<Runtime, 'elapsed'>
  readonly #most: number
  readonly #milliseconds: number
  size: number

  /** @param milliseconds a window that takes longer is halved, one that takes less than a quarter of it is doubled */
  constructor(
    runtime: Pick<Runtime, 'elapsed'>,
    { first, most, milliseconds }: { readonly first: number; readonly most: number; readonly milliseconds: number },
  ) {
    this.#runtime = runtime
    this.#most = most
    this.#milliseconds = milliseconds
    this.size = first
  }

  async time<T>(read: () => Promise<T>): Promise<T> {
    const beganAt = this.#runtime.elapsed()
    const answer = await read()
    const took = this.#runtime.elapsed() - beganAt
    if (took > this.#milliseconds) this.size = Math.max(1, this.size >> 1)
    else if (took < this.#milliseconds / 4) this.size = Math.min(this.#most, this.size * 2)
    return answer
  }
}
