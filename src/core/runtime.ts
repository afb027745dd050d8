/**
 * Time and randomness, injected everywhere. Nothing else in the package reads a clock, draws a random number or sets
 * a timer, so a whole system can be run in a seeded simulation.
 */
export interface Runtime {
  /** Milliseconds since 1970. */
  now(): number
  /** Milliseconds from an arbitrary start, never going back; for measuring. */
  elapsed(): number
  /** A number from 0 up to, not including, 1. */
  random(): number
  /** Fills the list with random bytes fit for identifiers. */
  randomBytes(into: Uint8Array): void
  /** Calls once after `ms` milliseconds. The timer keeps the process alive unless `unref`. */
  after(ms: number, call: () => void, options?: { readonly unref?: boolean }): Timer
  /** Calls once when the work already under way in this turn of the event loop is done. */
  soon(call: () => void): void
}

export interface Timer {
  cancel(): void
}

export const systemRuntime: Runtime = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  random: () => Math.random(),
  // As the types of browsers have it, memory may be shared, which this never is.
  randomBytes: (into) => void crypto.getRandomValues(into as Uint8Array<ArrayBuffer>),
  after(ms, call, options) {
    // Node fires a longer timer at once; whoever waits that long looks again when it wakes.
    const timer = setTimeout(call, Math.min(ms, 2_147_483_647))
    if (options?.unref) timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
  soon: (call) => void setImmediate(call),
}
