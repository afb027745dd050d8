import type { CollectionDetail, JobCounts } from '../core/collection.ts'
import type { Runtime } from '../core/runtime.ts'

/** A collection of fewer jobs than this is read at once: it holds the event loop for some milliseconds at most. */
const fewJobs = 1_000
/** Turns of the event loop between two reads: a request that waits needs one to be taken, one to be heard, and some to be answered. */
const turnsBetween = 10
/** How many collections have their size remembered. */
const mostKnown = 10_000

/** Reads a collection: with its jobs, or only how many they are. */
export type Look = (jobs: boolean) => Promise<CollectionDetail | null>

/**
 * Reads of whole collections. Those of many jobs happen one at a time in this process, whichever collections they are: each is
 * megabytes, and seconds of work. Between two of them the loop has turns for everybody else. How many jobs a collection has is known
 * from its submission, from a read before, or is asked first.
 */
export class Looks {
  readonly #runtime: Pick<Runtime, 'soon'>
  readonly #sizes = new Map<string, number>()
  /** The end of the last read of a large one. */
  #last: Promise<void> = Promise.resolve()

  constructor(runtime: Pick<Runtime, 'soon'>) {
    this.#runtime = runtime
  }

  /** How many jobs the collection had when that was last told; undefined where it was not, or long ago. */
  sizeOf(collectionId: string): number | undefined {
    return this.#sizes.get(collectionId)
  }

  /** Remembers how many jobs the collection has. */
  note(collectionId: string, jobs: number): void {
    this.#sizes.delete(collectionId)
    this.#sizes.set(collectionId, jobs)
    const [oldest] = this.#sizes.keys()
    if (this.#sizes.size > mostKnown && oldest !== undefined) this.#sizes.delete(oldest)
  }

  /** Reads a collection with its jobs, in its turn. */
  async read(collectionId: string, look: Look): Promise<CollectionDetail | null> {
    const size = this.sizeOf(collectionId) ?? (await this.#count(collectionId, look))
    if (size === null) return null
    if (size < fewJobs) return this.#noted(collectionId, await look(true))
    const turn = this.#last
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#last = promise
    await turn
    try {
      return this.#noted(collectionId, await look(true))
    } finally {
      // Whoever reads tells of the first jobs before the next turn, and of some in each that follows.
      this.#afterTurns(resolve)
    }
  }

  /** Null where it is not there. */
  async #count(collectionId: string, look: Look): Promise<number | null> {
    const found = await look(false)
    if (found === null) return null
    const size = sum(found.counts)
    this.note(collectionId, size)
    return size
  }

  #afterTurns(call: () => void, turns = turnsBetween): void {
    this.#runtime.soon(turns === 1 ? call : () => this.#afterTurns(call, turns - 1))
  }

  #noted(collectionId: string, found: CollectionDetail | null): CollectionDetail | null {
    if (found) this.note(collectionId, found.jobs.length)
    else this.#sizes.delete(collectionId)
    return found
  }
}

const sum = (counts: JobCounts): number => Object.values(counts).reduce((all, count) => all + count, 0)
