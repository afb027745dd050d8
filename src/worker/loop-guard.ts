import type { Runtime, Timer } from '../core/runtime.ts'
import { type BlockedAnswer, LoopState, publish } from './blocked-answer.ts'

export interface LoopGuardParts {
  readonly runtime: Runtime
  readonly session: string
  /** Decides about the jobs of the session, on the blocked loop. */
  readonly look: () => BlockedAnswer
  /** The latest deadline of what runs, by the measuring clock; null if nothing that runs has one. */
  readonly latestDeadline: () => number | null
  /** The loop turns again, after it was asked. */
  readonly onTurn: () => void
  /**
   * null: signals stay as they are. Else, from so many milliseconds of a block on, or past the deadline of what blocks, SIGTERM
   * and SIGINT end the process at once: who listens to them would never hear of it.
   */
  readonly freesSignalsAfter: number | null
}

const turnEvery = 250
const signals = ['SIGTERM', 'SIGINT'] as const

/** The main thread's half of the watch over its event loop (see loop-watch). */
export class LoopGuard {
  readonly state = new LoopState()
  readonly #parts: LoopGuardParts
  #timer: Timer | null = null
  #unpublish: (() => void) | null = null
  #turnedAt = 0
  #wasAsked = false
  #freed: (readonly [NodeJS.Signals, NodeJS.SignalsListener[]])[] = []

  constructor(parts: LoopGuardParts) {
    this.#parts = parts
  }

  start(): void {
    this.#unpublish = publish(this.#parts.session, (question) => this.#answer(question))
    this.#turn()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#unpublish?.()
    this.#restoreSignals()
  }

  /** An attempt with this deadline, by the measuring clock, begins. */
  noteDeadline(at: number): void {
    this.state.latestDeadline = Math.max(this.state.latestDeadline ?? 0, at - this.#turnedAt)
  }

  #turn(): void {
    const { runtime, latestDeadline, onTurn } = this.#parts
    this.#turnedAt = runtime.elapsed()
    const deadline = latestDeadline()
    this.state.latestDeadline = deadline === null ? null : deadline - this.#turnedAt
    this.state.turn()
    if (this.#wasAsked) {
      this.#wasAsked = false
      this.#restoreSignals()
      onTurn()
    }
    this.#timer = runtime.after(turnEvery, () => this.#turn(), { unref: true })
  }

  /** Runs in the middle of whatever blocks the loop. */
  #answer(question: number): BlockedAnswer | null {
    // Whoever debugs stops the loop for as long as they please.
    if (isDebugged() || !this.state.begin(question)) return null
    this.#wasAsked = true
    const answer = this.#parts.look()
    const { freesSignalsAfter, runtime } = this.#parts
    const blockedFor = runtime.elapsed() - this.#turnedAt
    if (freesSignalsAfter !== null && (answer.isOverdue || blockedFor >= freesSignalsAfter)) this.#freeSignals()
    return answer
  }

  #freeSignals(): void {
    if (this.#freed.length > 0) return
    this.#freed = signals.map((signal) => [signal, process.listeners(signal)])
    for (const signal of signals) process.removeAllListeners(signal)
  }

  #restoreSignals(): void {
    for (const [signal, listeners] of this.#freed) for (const listener of listeners) process.on(signal, listener)
    this.#freed = []
  }
}

const isDebugged = (): boolean => process.getBuiltinModule('node:inspector')?.url() !== undefined
