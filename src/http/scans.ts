import type { Runtime } from '../core/runtime.ts'

/** How long what a scan found is told again, in milliseconds. */
const toldFor = 2_000
/** A page may be megabytes: so many are kept, and no longer than they are told. */
const mostKept = 16

interface Scan {
  readonly found: Promise<unknown>
  /** When it was found; null: it is being looked for. */
  at: number | null
}

/**
 * Runs reads that go over everything in the store, one at a time in this process, and answers the same question alike for two
 * seconds: whoever may read may ask them, as often as it likes.
 */
export class Scans {
  readonly #runtime: Runtime
  readonly #known = new Map<string, Scan>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  /** @param question what is asked, and all that the answer depends on: who asks, too */
  find<Found>(question: readonly unknown[], look: () => Promise<Found>): Promise<Found> {
    const key = JSON.stringify(question)
    const known = this.#known.get(key)
    if (known && (known.at === null || this.#runtime.elapsed() - known.at < toldFor))
      return known.found as Promise<Found>
    const found = this.#last.then(look)
    const scan: Scan = { found, at: null }
    this.#known.delete(key)
    this.#known.set(key, scan)
    this.#last = found.then(
      () => this.#keep(key, scan),
      () => this.#forget(key, scan),
    )
    return found
  }

  #keep(key: string, scan: Scan): void {
    scan.at = this.#runtime.elapsed()
    const settled = [...this.#known].filter(([, { at }]) => at !== null)
    for (const [oldest] of settled.slice(0, Math.max(0, settled.length - mostKept))) this.#known.delete(oldest)
    this.#runtime.after(toldFor, () => this.#forget(key, scan), { unref: true })
  }

  #forget(key: string, scan: Scan): void {
    if (this.#known.get(key) === scan) this.#known.delete(key)
  }
}
