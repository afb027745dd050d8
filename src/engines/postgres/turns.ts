import { StoreUnavailable } from '../../core/errors.ts'

interface Waiting {
  readonly go: () => void
  readonly fail: (error: unknown) => void
}

/**
 * Reads that many may ask for at once, as those who wait for results do. They wait for a turn here, for as long as the store answers:
 * the queue of the pool is for what others ask, and who stands too long in it is told that the store is away.
 */
export class Turns {
  readonly #waiting: Waiting[] = []
  readonly #most: () => number
  #running = 0
  /** Counts the answers of the store. */
  #answers = 0

  /** @param most how many may be under way at once: at least one is */
  constructor(most: () => number) {
    this.#most = most
  }

  async take<T>(read: () => Promise<T>): Promise<T> {
    if (this.#running >= Math.max(1, this.#most()))
      await new Promise<void>((go, fail) => this.#waiting.push({ go, fail }))
    else this.#running++
    const before = this.#answers
    try {
      const answer = await read()
      this.#answers++
      return answer
    } catch (error) {
      // Nobody was answered all that time: a store that is away is away for all of them.
      if (error instanceof StoreUnavailable && this.#answers === before)
        for (const { fail } of this.#waiting.splice(0)) fail(error)
      throw error
    } finally {
      const next = this.#waiting.shift()
      if (next) next.go()
      else this.#running--
    }
  }
}
