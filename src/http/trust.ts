import type { Runtime, Timer } from '../core/runtime.ts'
import type { Identity } from './identity.ts'

/** The longest that a follower may continue before it has to authenticate again, in milliseconds. */
const longestTrust = 3_600_000
/** How often the keys behind open streams are looked up again, in milliseconds. */
const lookEvery = 5_000

/** Ends streams and WebSockets when the token that opened them ends, when its key is revoked, and after an hour. */
export class Trust {
  readonly #runtime: Runtime
  readonly #stillHolds: (keyId: string) => Promise<boolean>
  readonly #watched = new Map<string, Set<() => void>>()
  #look: Timer | undefined

  /** @param stillHolds whether a key is in the store now */
  constructor(runtime: Runtime, stillHolds: (keyId: string) => Promise<boolean>) {
    this.#runtime = runtime
    this.#stillHolds = stillHolds
  }

  /** Calls `end` once this identity is trusted no more. The timer returned cancels that. */
  hold({ until = Infinity, keyId }: Identity, end: () => void): Timer {
    const left = Math.max(0, Math.min(longestTrust, until - this.#runtime.now()))
    const clock = this.#runtime.after(left, end, { unref: true })
    if (keyId === undefined) return clock
    const ends = this.#watched.get(keyId) ?? new Set()
    this.#watched.set(keyId, ends.add(end))
    this.#startLooking()
    return {
      cancel: () => {
        clock.cancel()
        ends.delete(end)
        if (ends.size === 0 && this.#watched.get(keyId) === ends) this.#watched.delete(keyId)
      },
    }
  }

  #startLooking(): void {
    this.#look ??= this.#runtime.after(lookEvery, () => void this.#lookAtAll(), { unref: true })
  }

  async #lookAtAll(): Promise<void> {
    await Promise.all([...this.#watched.keys()].map((keyId) => this.#lookAt(keyId)))
    this.#look = undefined
    if (this.#watched.size > 0) this.#startLooking()
  }

  async #lookAt(keyId: string): Promise<void> {
    // While the store is away nobody can tell, and nothing is read from it either.
    if (await this.#stillHolds(keyId).catch(() => true)) return
    for (const end of [...(this.#watched.get(keyId) ?? [])]) end()
  }
}
