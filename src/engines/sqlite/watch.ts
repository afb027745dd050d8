import type { Signal } from '../../engine/feed.ts'
import type { Runtime, Timer } from '../../core/runtime.ts'

/**
 * How often the store is asked whether another process has changed it, in milliseconds. Asking takes 2 µs, waking up to do
 * so much more: every 20 ms it was one percent of a core.
 */
const pollEvery = 40
/** And where another process changes it again and again: somebody may be watching what it does. */
const pollLively = 10
/** Changes that are further apart, in milliseconds, are heartbeats and the like. */
const livelyWithin = 300
const anything: Signal = { queued: true, changed: true, cancel: true }

/** Tells listeners what this process changed at once, and that another one changed something by asking again and again. */
export class Watch {
  readonly #runtime: Runtime
  /** Changes when another connection has written; null where there can be no other. */
  readonly #version: (() => number) | null
  readonly #listeners = new Set<(signal: Signal) => void>()
  #timer: Timer | null = null
  #seen = 0
  #changedAt = -Infinity
  #isLively = false

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
      this.#isLively ? pollLively : pollEvery,
      () => {
        const now = this.#version?.() ?? 0
        const isNew = now !== this.#seen
        this.#seen = now
        const at = this.#runtime.elapsed()
        const isSoon = at - this.#changedAt < livelyWithin
        if (isNew) this.#changedAt = at
        if (isNew || !isSoon) this.#isLively = isSoon
        this.#poll()
        if (isNew) this.tell(anything)
      },
      { unref: true },
    )
  }
}
