import type { Runtime, Timer } from '../core/runtime.ts'
import type { Heartbeat, SessionRecord, Work } from '../engine/work.ts'
import type { BlockedAnswer } from './blocked-answer.ts'

export interface LoopWatchParts {
  readonly store: Pick<Work, 'heartbeat' | 'settle' | 'sweep'>
  readonly runtime: Runtime
  readonly session: SessionRecord
  /** In milliseconds. */
  readonly lease: number
  /** Counts turns of the loop, so that it is seen to stand still. */
  readonly turns: () => number
  /** The latest deadline of what runs, in milliseconds after the last turn; null if nothing that runs has one. */
  readonly latestDeadline: () => number | null
  /** Asks the blocked loop; null where it does not answer because the block is no JavaScript. */
  readonly ask: () => Promise<BlockedAnswer | 'nothing' | null>
  /** For people, at once, though the loop that usually prints is blocked. */
  readonly say: (message: string) => void
  /** Ends the process; null: it is left alone. */
  readonly exit: (() => void) | null
}

const lookEvery = 250
/** Looks without a turn after which a loop counts as blocked. */
const looksUntilBlocked = 4
/** A handler blocks the loop longer than this: said once, deadline or not. In milliseconds. */
const longBlock = 10_000
/** How long past the deadline of what blocks it a loop may stay blocked, and how long if it cannot be asked. */
const patience = 2_000
const patienceUnasked = 4_000

/** Watches the main loop from the heartbeat thread, and acts for a worker whose loop is blocked. */
export class LoopWatch {
  readonly #parts: LoopWatchParts
  #timer: Timer | null = null
  #turns = -1
  #looks = 0
  #lookedAt = 0
  /** When the loop was last seen to turn. Looks are not counted for it: one takes as long as its question does. */
  #turnedAt = 0
  #overdueSince: number | null = null
  #owed: BlockedAnswer[] = []
  #isSaid = false
  #isStopped = false
  #looking: Promise<void> | null = null

  constructor(parts: LoopWatchParts) {
    this.#parts = parts
  }

  start(): void {
    this.#lookedAt = this.#turnedAt = this.#parts.runtime.elapsed()
    this.#schedule()
  }

  /** Resolves when the look under way is over. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#timer?.cancel()
    await this.#looking
  }

  async #look(): Promise<void> {
    const { runtime, turns } = this.#parts
    const now = runtime.elapsed()
    const hasTurned = turns() !== this.#turns
    // If this thread stood still too, the whole process did.
    const wasAsleep = now - this.#lookedAt > 4 * lookEvery
    this.#turns = turns()
    this.#lookedAt = now
    if (hasTurned || wasAsleep) this.#forget(now)
    else if (++this.#looks >= looksUntilBlocked) await this.#act(now)
    await this.#pay()
    this.#lookedAt = runtime.elapsed()
    if (!this.#isStopped) this.#schedule()
  }

  #schedule(): void {
    this.#timer = this.#parts.runtime.after(lookEvery, () => {
      this.#looking = this.#look()
    })
  }

  #forget(now: number): void {
    this.#looks = 0
    this.#turnedAt = now
    this.#overdueSince = null
    this.#isSaid = false
  }

  async #act(now: number): Promise<void> {
    const answer = await this.#parts.ask().catch(() => null)
    if (answer === 'nothing') return this.#forget(now)
    if (answer === null) return this.#actUnasked(now)
    if (answer.settlements.length > 0) this.#owed.push(answer)
    const isLong = now - this.#turnedAt >= longBlock
    if (answer.guilty !== null && (answer.isOverdue || isLong)) this.#sayOnce(told(answer.guilty, answer.isOverdue))
    if (!answer.isOverdue) return
    this.#overdueSince ??= now
    if (now - this.#overdueSince >= patience) await this.#exit()
  }

  /** Nobody can say which job it is: the store decides about those whose time is up. */
  async #actUnasked(now: number): Promise<void> {
    const deadline = this.#parts.latestDeadline()
    if (deadline === null) return
    const overdueFor = now - this.#turnedAt - deadline
    if (overdueFor < patience) return
    this.#sayOnce('The event loop is blocked by a call outside JavaScript, longer than the deadlines of what runs.')
    await this.#try(() => this.#parts.store.sweep())
    if (overdueFor >= patienceUnasked) await this.#exit()
  }

  #sayOnce(message: string): void {
    if (this.#isSaid) return
    this.#isSaid = true
    this.#parts.say(message)
  }

  /** Stores what the blocked loop gave away; what the store does not take now is tried again. */
  async #pay(): Promise<void> {
    const { store, session, lease } = this.#parts
    const beat = { session, lease, held: null }
    while (this.#owed.length > 0) {
      const { news, settlements } = this.#owed[0] as BlockedAnswer
      const isPaid = await this.#try(async () => {
        if (hasNews(news)) await store.heartbeat({ ...beat, ...news })
        await store.settle(settlements)
      })
      if (!isPaid) return
      this.#owed.shift()
    }
  }

  async #exit(): Promise<void> {
    const { store, session, lease, exit, say } = this.#parts
    if (exit === null || this.#isStopped) return
    await this.#pay()
    // What the store does not know yet would be given back with the session: then it is left to the lease.
    if (this.#owed.length === 0) {
      await this.#try(() => store.heartbeat({ session, lease, held: [], progress: [], log: [], ended: true }))
    }
    this.#isStopped = true
    say('The event loop stays blocked, so this process ends now. Its other jobs were released.')
    exit()
  }

  async #try(call: () => Promise<unknown>): Promise<boolean> {
    try {
      await call()
      return true
    } catch {
      return false
    }
  }
}

const hasNews = ({ progress, log, notes = [] }: Pick<Heartbeat, 'progress' | 'log' | 'notes'>): boolean =>
  progress.length + log.length + notes.length > 0

function told({ task, id, where }: NonNullable<BlockedAnswer['guilty']>, isOverdue: boolean): string {
  const since = isOverdue ? 'longer than its timeout allows' : 'for a long time'
  return `Job ${task} (${id}) blocks the event loop ${since}, ${where}.`
}
