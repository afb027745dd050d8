import type { Heartbeat, Settlement } from '../engine/work.ts'

/**
 * What the heartbeat thread learns in the middle of whatever blocks the event loop. `settlements`: what jobs of this worker
 * come to because of it. The thread stores them, after `news`.
 */
export interface BlockedAnswer {
  /** The job whose handler blocks the loop; null if it is no job's. */
  readonly guilty: { readonly task: string; readonly id: string; readonly where: string } | null
  /** Its deadline has passed: waiting longer is of no use. */
  readonly isOverdue: boolean
  readonly news: Pick<Heartbeat, 'progress' | 'log' | 'notes'>
  readonly settlements: readonly Settlement[]
}

/** What the heartbeat thread stores for a process that dies. */
export interface Dying {
  readonly news: {
    readonly progress: Heartbeat['progress']
    readonly log: Heartbeat['log']
    readonly notes: NonNullable<Heartbeat['notes']>[number][]
  }
  readonly settlements: readonly Settlement[]
}

// ── how it is asked ──────────────────────────────────────────────────────────────────────────────────────────────

const name = Symbol.for('celeriac.blocked')
type Asked = Map<string, (question: number) => string>

/** Makes `answer` reachable for an inspector, which sees the globals of this realm and nothing else. */
export function publish(session: string, answer: (question: number) => BlockedAnswer | null): () => void {
  const realm = globalThis as typeof globalThis & { [name]?: Asked }
  const asked = (realm[name] ??= new Map())
  asked.set(session, (question) => JSON.stringify(answer(question)))
  return () => void asked.delete(session)
}

/** The expression to evaluate on the blocked loop: a `BlockedAnswer` as JSON text, `null` if there is nothing to do. */
export const expressionFor = (session: string, question: number): string =>
  `globalThis[Symbol.for('${name.description}')]?.get(${JSON.stringify(session)})?.(${question}) ?? 'null'`

// ── what both threads see ────────────────────────────────────────────────────────────────────────────────────────

const [turns, asked, told] = [0, 1, 2]

/** Memory that the main thread and the heartbeat thread share. */
export class LoopState {
  readonly buffer: SharedArrayBuffer
  readonly #counts: Int32Array
  readonly #times: Float64Array

  constructor(buffer = new SharedArrayBuffer(24)) {
    this.buffer = buffer
    this.#counts = new Int32Array(buffer, 0, 4)
    this.#times = new Float64Array(buffer, 16, 1)
  }

  get turns(): number {
    return Atomics.load(this.#counts, turns)
  }

  /** The latest deadline of what runs, in milliseconds after the last turn; null if nothing that runs has one. */
  get latestDeadline(): number | null {
    return this.#times[0] || null
  }

  set latestDeadline(time: number | null) {
    this.#times[0] = time === null ? 0 : Math.max(1, time)
  }

  turn(): void {
    Atomics.add(this.#counts, turns, 1)
  }

  /** Opens a question: an even number. While it is answered it is odd. */
  ask(): number {
    const question = (Atomics.load(this.#counts, asked) + 2) & ~1
    Atomics.store(this.#counts, asked, question)
    return question
  }

  /** Is this the open question still? Then whoever asked waits for the answer: an answer has effects, so none may be lost. */
  begin(question: number): boolean {
    return Atomics.compareExchange(this.#counts, asked, question, question + 1) === question
  }

  /** Takes a question back; false if it is being answered. */
  withdraw(question: number): boolean {
    return Atomics.compareExchange(this.#counts, asked, question, question + 2) === question
  }

  /** Blocks this thread until `noteTold`, and so many milliseconds at most. */
  waitUntilTold(ms: number): void {
    Atomics.wait(this.#counts, told, 0, ms)
  }

  noteTold(): void {
    Atomics.store(this.#counts, told, 1)
    Atomics.notify(this.#counts, told)
  }
}
