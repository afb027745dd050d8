import type { Outcome } from '../core/outcome.ts'
import type { SettleAnswer, Tally } from '../engine/work.ts'

type Word = 'succeeded' | 'failed' | 'retried' | 'cancelled'

/** What an attempt counts as; a job that goes on as a canvas did what it was to do. What was given back or put off is not counted. */
const words: Partial<Record<Outcome['type'], Word>> = {
  succeeded: 'succeeded',
  continued: 'succeeded',
  failed: 'failed',
  retried: 'retried',
  cancelled: 'cancelled',
}

/** An attempt that the store answered for. Times in milliseconds. */
export interface CountedAttempt {
  readonly task: string
  readonly outcome: Outcome['type']
  readonly answer: SettleAnswer
  readonly endedAt: number
  readonly ran: number
}

export interface TalliesParts {
  /** When the first of the attempts ended that the store has yet to answer for; null when there is none. */
  readonly unsettledSince: () => number | null
  readonly now: () => number
  /** There is something to tell, where there was nothing. */
  readonly onChange: () => void
}

interface Minute {
  readonly begin: number
  readonly tasks: Map<string, Totals>
}

const noMinute: Minute = { begin: -1, tasks: new Map() }

type Totals = { -readonly [K in keyof Tally]: Tally[K] }

const minuteLength = 60_000

/** What the attempts of this worker came to: totals by task and minute, for the heartbeat to tell. */
export class Tallies {
  readonly #parts: TalliesParts
  readonly #minutes = new Map<number, Minute>()
  /** Mostly the one that comes next. */
  #latest: Minute = noMinute
  readonly #changed = new Set<Totals>()

  constructor(parts: TalliesParts) {
    this.#parts = parts
  }

  get hasChanged(): boolean {
    return this.#changed.size > 0
  }

  count({ task, outcome, answer, endedAt, ran }: CountedAttempt): void {
    const word = answer === 'cancelled' ? 'cancelled' : answer === 'accepted' ? words[outcome] : undefined
    if (word === undefined) return
    const totals = this.#totalsOf(task, Math.floor(endedAt / minuteLength) * minuteLength)
    totals[word]++
    totals.ran += ran
    if (ran > totals.longest) totals.longest = ran
    const isFirst = this.#changed.size === 0
    this.#changed.add(totals)
    if (isFirst) this.#parts.onChange()
  }

  /** What changed since it was taken last. Where the store does not answer it is given back. */
  take(): readonly Tally[] {
    const taken = [...this.#changed].map((totals) => ({
      ...totals,
      ran: Math.round(totals.ran),
      longest: Math.round(totals.longest),
    }))
    this.#changed.clear()
    return taken
  }

  giveBack(taken: readonly Tally[]): void {
    for (const { task, minute } of taken) this.#changed.add(this.#totalsOf(task, minute))
    if (taken.length > 0) this.#parts.onChange()
  }

  /** The store knows what was taken. Of a minute in which nothing can end any more it need not be told again. */
  forgetOver(): void {
    const since = this.#parts.unsettledSince() ?? this.#parts.now()
    for (const { begin, tasks } of this.#minutes.values()) {
      const isTold = ![...tasks.values()].some((totals) => this.#changed.has(totals))
      if (begin + minuteLength > since || !isTold) continue
      this.#minutes.delete(begin)
      if (this.#latest.begin === begin) this.#latest = noMinute
    }
  }

  #totalsOf(task: string, minute: number): Totals {
    if (this.#latest.begin !== minute) this.#latest = this.#minuteAt(minute)
    const { tasks } = this.#latest
    let totals = tasks.get(task)
    if (totals === undefined) {
      totals = { task, minute, succeeded: 0, failed: 0, retried: 0, cancelled: 0, ran: 0, longest: 0 }
      tasks.set(task, totals)
    }
    return totals
  }

  #minuteAt(begin: number): Minute {
    let minute = this.#minutes.get(begin)
    if (minute === undefined) this.#minutes.set(begin, (minute = { begin, tasks: new Map() }))
    return minute
  }
}
