import type { Runtime, Timer } from '../core/runtime.ts'
import type { Work } from '../engine/work.ts'
import type { Reporter } from './report.ts'

export interface TimekeeperParts {
  readonly store: Pick<Work, 'sweep'>
  readonly runtime: Runtime
  readonly reporter: Reporter
  /** The longest time between two sweeps, in milliseconds: how late the loss of another worker may be found. */
  readonly longest: number
  /** Something is due to be claimed. */
  readonly onDue: () => void
}

/** What is due and stays due asks for patience: somebody else may hold it, or the clocks differ. */
const quickTries = 50
const patience = 50
const sweepsPerLook = 2

/** Wakes the worker when the next thing is due, and sweeps. Sleeps in between. */
export class Timekeeper {
  readonly #parts: TimekeeperParts
  readonly #sweeps: Alarm
  readonly #claims: Alarm
  #sweepCount = 0

  constructor(parts: TimekeeperParts) {
    this.#parts = parts
    this.#sweeps = new Alarm(parts.runtime, () => void this.#sweep())
    this.#claims = new Alarm(parts.runtime, parts.onDue)
  }

  start(): void {
    this.#sweeps.setIn(0)
  }

  /** A job becomes due at this instant, by the store's clock; null: none is foreseen. */
  claimDueAt(at: number | null): void {
    this.#claims.setAt(at)
  }

  stop(): void {
    this.#sweeps.stop()
    this.#claims.stop()
  }

  async #sweep(): Promise<void> {
    const { store, runtime, reporter, longest, onDue } = this.#parts
    let nextAt: number | null = null
    try {
      nextAt = (await store.sweep()).nextAt
      reporter.over('sweep', 'Upkeep works again.')
    } catch (error) {
      reporter.trouble('sweep', 'Upkeep failed', error)
    }
    this.#sweeps.setAt(Math.min(nextAt ?? Infinity, runtime.now() + longest))
    // Signals are hints, so what one of them should have told is looked for now and then. Stores look for it themselves, too.
    if (this.#sweepCount++ % sweepsPerLook === 0) onDue()
  }
}

/** Rings once at an instant. Set again and again to instants that are past, it slows down. */
class Alarm {
  readonly #runtime: Runtime
  readonly #ring: () => void
  #timer: Timer | null = null
  #at = Infinity
  #pastCount = 0
  #isStopped = false

  constructor(runtime: Runtime, ring: () => void) {
    this.#runtime = runtime
    this.#ring = ring
  }

  setAt(at: number | null): void {
    if (at === this.#at && this.#timer) return
    const wait = at === null ? Infinity : at - this.#runtime.now()
    this.#pastCount = wait > 0 ? 0 : this.#pastCount + 1
    this.setIn(wait > 0 ? wait : this.#pastCount > quickTries ? patience : 1)
    this.#at = at ?? Infinity
  }

  setIn(wait: number): void {
    this.#timer?.cancel()
    this.#timer = null
    if (this.#isStopped || wait === Infinity) return
    this.#timer = this.#runtime.after(wait, () => {
      this.#timer = null
      this.#ring()
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#timer = null
  }
}
