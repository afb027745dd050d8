import type { Runtime } from '../core/runtime.ts'
import type { Identity } from './identity.ts'

/** How long what a scan found is told again, in milliseconds. */
const toldFor = 2_000
/** A page may be megabytes: so many are kept, and no longer than they are told. */
const mostKept = 16

/** So many lines are served at once. */
const mostAtOnce = 4

interface Scan {
  readonly found: Promise<unknown>
  /** When it was found; null: it is being looked for. */
  at: number | null
}

/**
 * Runs reads that go over everything in the store: one at a time in each line, a few lines at once, so nobody waits behind all that
 * somebody else asked. Each user has a line of their own; those who see the work of all share one.
 */
export class Scans {
  readonly #runtime: Runtime
  readonly #known = new Map<string, Scan>()
  /** The end of each line. */
  readonly #lines = new Map<string, Promise<unknown>>()
  #underWay = 0
  readonly #waiting: (() => void)[] = []

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  /**
   * Answers the same question alike for two seconds: whoever may read may ask, as often as it likes.
   *
   * @param question what is asked, and all that the answer depends on besides who asks
   */
  find<Found>(identity: Identity, question: readonly unknown[], look: () => Promise<Found>): Promise<Found> {
    const key = JSON.stringify([lineOf(identity), question])
    const known = this.#known.get(key)
    if (known && (known.at === null || this.#runtime.elapsed() - known.at < toldFor))
      return known.found as Promise<Found>
    const found = this.inTurn(identity, look)
    const scan: Scan = { found, at: null }
    this.#known.delete(key)
    this.#known.set(key, scan)
    found.then(
      () => this.#keep(key, scan),
      () => this.#forget(key, scan),
    )
    return found
  }

  /** Looks when it is this one's turn, and remembers nothing. */
  inTurn<Found>(identity: Identity, look: () => Promise<Found>): Promise<Found> {
    const line = lineOf(identity)
    const before = this.#lines.get(line) ?? Promise.resolve()
    const found = before.then(() => this.#withPlace(look))
    const end = found.then(noted, noted).then(() => {
      if (this.#lines.get(line) === end) this.#lines.delete(line)
    })
    this.#lines.set(line, end)
    return found
  }

  /** Of each line there is one at most, so they are served in turns. */
  async #withPlace<Found>(look: () => Promise<Found>): Promise<Found> {
    if (this.#underWay < mostAtOnce) this.#underWay++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await look()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#underWay--
    }
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

const lineOf = ({ actor, collectionId }: Identity): string => JSON.stringify([actor, collectionId])
const noted = (): void => undefined
