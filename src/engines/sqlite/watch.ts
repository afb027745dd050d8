import type { Signal } from '../../engine/feed.ts'
import type { Runtime, Timer } from '../../core/runtime.ts'

/**
 * How often the store is asked whether another process has changed it, in milliseconds. Asking takes 2 µs, waking up to do
 * so much more: every 20 ms it was one percent of a core. Where something was changed a moment ago there is more to come, and
 * somebody may be watching its progress.
 */
const pollEvery = 40
const pollSoon = 10
/** So many polls that find nothing, one after the other, and nothing more is expected. */
const mostSoon = 100
const anything: Signal = { queued: true, changed: true, cancel: true }

/** Tells listeners what this process changed at once, and that another one changed something by asking again and again. */
export class Watch {
  readonly #runtime: Runtime
  /** Changes when another connection has written; null where there can be no other. */
  readonly #version: (() => number) | null
  readonly #listeners = new Set<(signal: Signal) => void>()
  #timer: Timer | null = null
  #seen = 0
  /** How often nothing was found since something was. */
  #inVain = mostSoon

  constructor(runtime: Runtime, version: (() => number) | null) {
    this.#runtime = runtime
    this.#version = version
  }

  subscribe(listener: (signal: Signal) => void): () => void {
    // Each subscription is its own, also of the same function.
    const own = (signal: Signal): void => listener(signal)
    this.#listeners.add(own)
    if (this.#timer === null && this.#version !== null) {
      this.#seen = this.#version()
      this.#poll()
    }
    return () => {
      this.#listeners.delete(own)
      if (this.#listeners.size === 0) this.stop()
    }
  }

  tell(signal: Signal): void {
    if (!signal.queued && !signal.changed && !signal.cancel) return
    for (const listener of this.#listeners) listener(signal)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  #poll(): void {
    this.#timer = this.#runtime.after(
      this.#inVain < mostSoon ? pollSoon : pollEvery,
      () => {
        const now = this.#version?.() ?? 0
        const isNew = now !== this.#seen
        this.#seen = now
        this.#inVain = isNew ? 0 : this.#inVain + 1
        this.#poll()
        if (isNew) this.tell(anything)
      },
      { unref: true },
    )
  }
}
