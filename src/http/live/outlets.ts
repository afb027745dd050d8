import type { Duplex } from 'node:stream'
import type { Runtime } from '../../core/runtime.ts'

/**
 * Where messages go out. All that is written to one in a turn of the event loop leaves together: a write to the network costs as
 * much as making ten messages, and a page of the feed has several for each who follows.
 */
export class Outlets {
  readonly #runtime: Pick<Runtime, 'soon'>
  readonly #held = new Set<Duplex>()

  constructor(runtime: Pick<Runtime, 'soon'>) {
    this.#runtime = runtime
  }

  /** Until this turn is over: to be called before something is written. */
  hold(outlet: Duplex): void {
    if (this.#held.has(outlet)) return
    if (this.#held.size === 0) this.#runtime.soon(() => this.#letGo())
    this.#held.add(outlet)
    outlet.cork()
  }

  #letGo(): void {
    for (const outlet of this.#held) outlet.uncork()
    this.#held.clear()
  }
}
