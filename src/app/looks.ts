import type { CollectionDetail } from '../core/collection.ts'
import type { Runtime } from '../core/runtime.ts'

/** A collection of fewer jobs than this is read at once: it holds the event loop for some milliseconds at most. */
const fewJobs = 1_000
/** Turns of the event loop between two reads: a request that waits needs one to be taken, one to be heard, and some to be answered. */
const turnsBetween = 10
/** How many collections have their size remembered. */
const mostKnown = 10_000

/**
 * Reads of whole collections. Those of many jobs happen one at a time in this process: each holds the event loop for up to a
 * second until its answer is made. Between two of them the loop has turns for everybody else. Whether there are many is known
 * from the read before; until the first has ended, nobody else reads the same.
 */
export class Looks {
  readonly #runtime: Pick<Runtime, 'soon'>
  readonly #sizes = new Map<string, number>()
  /** The first reads under way, of collections whose size is not known: others of the same wait until it is. */
  readonly #firsts = new Map<string, Promise<void>>()
  /** The end of the last read of a large one. */
  #last: Promise<void> = Promise.resolve()

  constructor(runtime: Pick<Runtime, 'soon'>) {
    this.#runtime = runtime
  }

  /** How many jobs the collection had when it was last read; undefined where it was not, or long ago. */
  sizeOf(collectionId: string): number | undefined {
    return this.#sizes.get(collectionId)
  }

  /** Reads a collection with its jobs, in its turn. */
  async read(collectionId: string, look: () => Promise<CollectionDetail | null>): Promise<CollectionDetail | null> {
    for (let first; (first = this.#firsts.get(collectionId));) await first
    const size = this.sizeOf(collectionId)
    if (size !== undefined && size < fewJobs) return this.#noted(collectionId, await look())
    const { promise, resolve } = Promise.withResolvers<void>()
    const turn = this.#last
    if (size === undefined) this.#firsts.set(collectionId, promise)
    else {
      this.#last = promise
      await turn
    }
    try {
      return this.#noted(collectionId, await look())
    } finally {
      // Whoever reads makes its answer before the next turn: what goes on from a promise comes first.
      const end = (): void => {
        if (size === undefined) this.#firsts.delete(collectionId)
        resolve()
      }
      if ((this.sizeOf(collectionId) ?? 0) < fewJobs) end()
      else this.#afterTurns(end)
    }
  }

  #afterTurns(call: () => void, turns = turnsBetween): void {
    this.#runtime.soon(turns === 1 ? call : () => this.#afterTurns(call, turns - 1))
  }

  #noted(collectionId: string, found: CollectionDetail | null): CollectionDetail | null {
    this.#sizes.delete(collectionId)
    if (found) this.#sizes.set(collectionId, found.jobs.length)
    const [oldest] = this.#sizes.keys()
    if (this.#sizes.size > mostKnown && oldest !== undefined) this.#sizes.delete(oldest)
    return found
  }
}
