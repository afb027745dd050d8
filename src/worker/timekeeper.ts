import type { Runtime, Timer } from '../core/runtime.ts'
import type { SweepFault } from '../engine/recovery.ts'
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
  #isStopped = false
  /** What failed of sweeps here, and when last. */
  readonly #faulty = new Map<string, number>()

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

  /** Sweeps and wakes no more. A sweep under way tells nobody how it ended: whoever stopped this may have closed the store. */
  stop(): void {
    this.#isStopped = true
    this.#sweeps.stop()
    this.#claims.stop()
  }

  async #sweep(): Promise<void> {
    const { store, runtime, reporter, longest, onDue } = this.#parts
    let nextAt: number | null = null
    try {
      const answer = await store.sweep()
      if (this.#isStopped) return
      nextAt = answer.nextAt
      reporter.over('sweep', 'Upkeep works again.')
      this.#report(answer.faults ?? [])
    } catch (error) {
      if (this.#isStopped) return
      reporter.trouble('sweep', 'Upkeep failed', error)
    }
    this.#sweeps.setAt(Math.min(nextAt ?? Infinity, runtime.now() + longest))
    // Signals are hints, so what one of them should have told is looked for now and then. Stores look for it themselves, too.
    if (this.#sweepCount++ % sweepsPerLook === 0) onDue()
  }

  /** Reports each thing that failed once, until it has not failed for a while: not every sweep tries everything. */
  #report(faults: readonly SweepFault[]): void {
    const { reporter, runtime } = this.#parts
    const now = runtime.elapsed()
    for (const { item, error } of faults) {
      reporter.trouble(kindOf(item), `Upkeep of ${item} failed`, error)
      this.#faulty.set(item, now)
    }
    for (const [item, at] of this.#faulty) {
      if (at + quietAfter > now) continue
      this.#faulty.delete(item)
      reporter.over(kindOf(item), `Upkeep of ${item} has not failed for a minute.`)
    }
  }
}

const kindOf = (item: string): string => `sweep of ${item}`
const quietAfter = 60_000

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
