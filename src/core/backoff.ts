import type { Runtime, Timer } from './runtime.ts'

/** Growing pauses between tries of something that fails: 50 ms, doubling up to a longest (5 s), the upper half drawn by chance. */
export class Backoff {
  readonly #runtime: Runtime
  readonly #longest: number
  readonly #first: number
  #failures = 0
  #cancelled = false
  readonly #waiting = new Map<() => void, Timer>()

  constructor(runtime: Runtime, longest = 5_000, first = 50) {
    this.#runtime = runtime
    this.#longest = longest
    this.#first = first
  }

  /** How many pauses there were since it last worked. */
  get failures(): number {
    return this.#failures
  }

  wait(): Promise<void> {
    const full = Math.min(this.#longest, this.#first * 2 ** this.#failures++)
    if (this.#cancelled) return Promise.resolve()
    return new Promise((resolve) => {
      const wait = Math.round(full / 2 + (full / 2) * this.#runtime.random())
      const timer = this.#runtime.after(wait, () => {
        this.#waiting.delete(resolve)
        resolve()
      })
      this.#waiting.set(resolve, timer)
    })
  }

  /** It works again. */
  reset(): void {
    this.#failures = 0
  }

  /** Ends the pauses under way, and every later one at once. */
  cancel(): void {
    this.#cancelled = true
    this.skip()
  }

  /** Ends the pauses under way: something has changed. */
  skip(): void {
    for (const [resolve, timer] of this.#waiting) {
      timer.cancel()
      resolve()
    }
    this.#waiting.clear()
  }
}
