import type { Runtime, Timer } from '../../core/runtime.ts'
import type { Signal } from '../../engine/feed.ts'
import type { Connection } from './connection.ts'
import type { Database } from './database.ts'

/** What is told, as a number: the sum of these. */
export const signalBits = { queued: 1, changed: 2, cancel: 4 } as const
const everything = 7
const anything: Signal = { queued: true, changed: true, cancel: true }

/** A process says the same thing to the others once in so many milliseconds at most. */
const sayAgainAfter = 10
/**
 * How often the store is asked whether something has changed: while nobody is listened to, and, in case a message was lost,
 * while somebody is. And how often a silent connection is asked whether the other end is still there. With the sweeps, claims and
 * heartbeats of a worker that is idle they are less than two requests a second.
 */
const pollEvery = { deaf: 2_000, listening: 6_000 }
const pingEvery = 1_900

/**
 * Tells listeners what this process changed at once, and what other processes tell it. Messages may be lost: so the store is
 * asked now and then, and whoever has listened anew is told to look.
 */
export class Watch {
  readonly #db: Database
  readonly #runtime: Runtime
  readonly #channel: string
  /** Who says it, so that it does not hear itself. */
  readonly origin: string
  /** Changes with every change. */
  readonly #version: () => Promise<string>
  readonly #listeners = new Set<(signal: Signal) => void>()
  readonly #saidAt = new Map<number, number>()
  #unsaid = 0
  #saying: Timer | null = null
  #polling: Timer | null = null
  #pinging: Timer | null = null
  #connection: Connection | null = null
  #isListening = false
  /** Messages come in just now. */
  #isHearing = false
  #isStopped = false
  #seen: string | null = null

  /** @param origin no other process has it */
  constructor(db: Database, channel: string, origin: string, version: () => Promise<string>) {
    this.#db = db
    this.#runtime = db.runtime
    this.#channel = channel
    this.origin = origin
    this.#version = version
  }

  subscribe(listener: (signal: Signal) => void): () => void {
    // Each subscription is its own, also of the same function.
    const own = (signal: Signal): void => listener(signal)
    this.#listeners.add(own)
    if (this.#listeners.size === 1) this.#begin()
    return () => {
      this.#listeners.delete(own)
      if (this.#listeners.size === 0) this.#end()
    }
  }

  // ── saying ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What a call that begins now may tell the others by itself: the sum of what was not said a moment ago. */
  get mask(): number {
    const now = this.#runtime.elapsed()
    let mask = 0
    for (const bit of Object.values(signalBits)) {
      const saidAt = this.#saidAt.get(bit)
      if (saidAt === undefined || now - saidAt >= sayAgainAfter) mask += bit
    }
    return mask
  }

  /** Jobs are about to be queued: what is asked from now on may find them. */
  foretell(): void {
    this.#tell(signalBits.queued)
  }

  /**
   * A call changed something, and told some of it to the others by itself.
   *
   * @param isForetold whoever listens here knows of queued jobs
   */
  changed(bits: number, said: number, isForetold = false): void {
    if (bits === 0) return
    const now = this.#runtime.elapsed()
    for (const bit of Object.values(signalBits)) if (said & bit) this.#saidAt.set(bit, now)
    this.say(bits & ~said)
    this.#tell(isForetold ? bits & ~signalBits.queued : bits)
  }

  /** Tells the other processes, soon. */
  say(bits: number): void {
    this.#unsaid |= bits
    if (this.#unsaid === 0 || this.#saying !== null || this.#isStopped) return
    this.#saying = this.#runtime.after(sayAgainAfter, () => {
      this.#saying = null
      const said = this.#unsaid
      this.#unsaid = 0
      if (said === 0) return
      const now = this.#runtime.elapsed()
      for (const bit of Object.values(signalBits)) if (said & bit) this.#saidAt.set(bit, now)
      this.#db.send('PUBLISH', this.#channel, `${this.origin} ${said}`).catch(() => undefined)
    })
  }

  #tell(bits: number): void {
    if (bits === 0) return
    const signal: Signal = {
      queued: (bits & signalBits.queued) !== 0,
      changed: (bits & signalBits.changed) !== 0,
      cancel: (bits & signalBits.cancel) !== 0,
    }
    for (const listener of this.#listeners) listener(signal)
  }

  // ── listening ──────────────────────────────────────────────────────────────────────────────────────────────────

  stop(): void {
    this.#isStopped = true
    this.#saying?.cancel()
    this.#end()
  }

  #begin(): void {
    if (this.#isStopped) return
    this.#seen = null
    this.#poll()
    this.#ping()
    if (!this.#isListening) void this.#listen()
  }

  #end(): void {
    this.#polling?.cancel()
    this.#pinging?.cancel()
    this.#connection?.drop(new Error('Nobody listens any more.'))
  }

  get #isWanted(): boolean {
    return this.#listeners.size > 0 && !this.#isStopped
  }

  /** For as long as anybody listens, from one connection to the next. */
  async #listen(): Promise<void> {
    this.#isListening = true
    for (let failures = 0; this.#isWanted; failures++) {
      try {
        await this.#listenOnce(() => (failures = 0))
      } catch {
        // It will be there again some time; until then the poll does.
      }
      if (this.#isWanted) await this.#pause(Math.min(50 * 2 ** failures, 2_000))
    }
    this.#isListening = false
  }

  async #listenOnce(succeeded: () => void): Promise<void> {
    const connection = (this.#connection = await this.#db.connect())
    const lost = new Promise<void>((resolve) => connection.onLost(() => resolve()))
    if (!this.#isWanted) return connection.close()
    await connection.subscribe(this.#channel, (message) => this.#hear(message))
    succeeded()
    this.#isHearing = true
    connection.onLost(() => {
      this.#isHearing = false
      if (this.#isWanted) this.#poll()
    })
    // What was said while nobody here heard it is not said again.
    this.#tell(everything)
    await lost
  }

  #hear(message: string): void {
    const [origin, bits] = message.split(' ')
    if (origin !== this.origin) this.#tell(Number(bits) & everything)
  }

  /** Not awaited by anything that keeps a process alive. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) =>
      this.#runtime.after(ms * (0.5 + this.#runtime.random() / 2), resolve, { unref: true }),
    )
  }

  #poll(): void {
    this.#polling?.cancel()
    this.#polling = this.#runtime.after(
      this.#isHearing ? pollEvery.listening : pollEvery.deaf,
      () => {
        this.#look()
          .catch(() => undefined)
          .finally(() => this.#isWanted && this.#poll())
      },
      { unref: true },
    )
  }

  async #look(): Promise<void> {
    const now = await this.#version()
    const isNew = this.#seen !== null && now !== this.#seen
    this.#seen = now
    if (isNew) for (const listener of this.#listeners) listener(anything)
  }

  #ping(): void {
    const ping = (): void => {
      // Without an answer the connection is given up, and made anew.
      this.#connection?.send(['PING']).catch(() => undefined)
      this.#ping()
    }
    this.#pinging?.cancel()
    this.#pinging = this.#runtime.after(pingEvery, ping, { unref: true })
  }
}
