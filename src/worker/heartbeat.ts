import type { Runtime, Timer } from '../core/runtime.ts'
import type { Signal } from '../engine/feed.ts'
import type { ClaimedJob, Heartbeat as Beat, HeartbeatAnswer, SessionRecord, Tally, Work } from '../engine/work.ts'
import type { Attempt, News } from './attempt.ts'
import type { Reporter } from './report.ts'
import type { Tallies } from './tallies.ts'

export interface HeartbeatParts {
  readonly store: Pick<Work, 'heartbeat'>
  readonly runtime: Runtime
  readonly reporter: Reporter
  /** The jobs in this worker's hands, begun or not, up to the store's answer for what they came to. */
  readonly held: () => readonly ClaimedJob[]
  readonly isHolding: () => boolean
  readonly tallies: Pick<Tallies, 'hasChanged' | 'take' | 'giveBack' | 'forgetOver'>
  readonly session: SessionRecord
  /** How long the session lives without a beat, in milliseconds. */
  readonly lease: number
  /** A job of this worker that somebody wants cancelled. */
  readonly onCancel: (id: string, token: number) => void
  /** A job that is no longer this worker's. */
  readonly onLost: (id: string, token: number) => void
}

/** Progress and log lines are sent at most so often, in milliseconds. */
const newsEvery = 50
/** What attempts came to is told after so long, or by a beat that goes before; but not by every one of many. */
const talliesAfter = 5_000
const talliesEvery = 1_000
/** Nudges from other processes may come for nothing, and beats nudge the others in turn: in between, wait so long. */
const firstQuiet = 50
const longestQuiet = 500

/** How long after a beat the next one goes, in milliseconds: two may be lost before the lease ends. */
export const beatEvery = (lease: number): number => Math.floor(lease / 3)

/** How long after a beat that failed. */
export const beatAgainIn = (lease: number): number => Math.min(1_000, Math.floor(lease / 10))

/**
 * The beats of the main loop: they name the jobs held, carry progress and log lines, and bring back which jobs are
 * lost or to be cancelled. The session itself may be kept alive by a thread besides (see session-thread).
 */
export class Heartbeat {
  readonly #parts: HeartbeatParts
  readonly #tellers = new Set<Attempt>()
  #beating: Promise<void> | null = null
  #following: Promise<void> | null = null
  #tick: Timer | null = null
  #newsTimer: Timer | null = null
  #nudgeTimer: Timer | null = null
  #talliesTimer: Timer | null = null
  #lastBeatAt = -Infinity
  #lastTalliesAt = -Infinity
  #lastNudgeAt = -Infinity
  #quiet = firstQuiet
  #isStopped = false
  /** Does somebody else keep the session alive? Then an idle worker beats once in a lease only. */
  isRelieved = false

  constructor(parts: HeartbeatParts) {
    this.#parts = parts
  }

  /** Opens the session. @throws what the store answers */
  async start(): Promise<void> {
    await this.beat()
    this.#scheduleTick(beatEvery(this.#parts.lease))
  }

  /** Sends a beat that began after this call. @throws what the store answers */
  beat(): Promise<void> {
    // A beat behind the last one would bring the session back to life.
    if (this.#isStopped) return Promise.resolve()
    if (this.#beating === null) {
      this.#beating = this.#send().finally(() => (this.#beating = null))
      return this.#beating
    }
    const again = (): Promise<void> => {
      this.#following = null
      return this.beat()
    }
    return (this.#following ??= this.#beating.then(again, again))
  }

  /** A beat without news. @throws what the store answers */
  async probe(): Promise<void> {
    await this.#request([])
  }

  /** This attempt has progress or log lines to tell. */
  note(attempt: Attempt): void {
    this.#tellers.add(attempt)
    if (this.#newsTimer !== null || this.#isStopped) return
    this.#newsTimer = this.#in(this.#lastBeatAt + newsEvery - this.#parts.runtime.elapsed(), () => {
      this.#newsTimer = null
      if (this.#tellers.size > 0) this.#beatAnyhow()
    })
  }

  /** There are tallies to tell, where there were none. */
  noteTallies(): void {
    if (this.#talliesTimer !== null || this.#isStopped) return
    this.#talliesTimer = this.#in(talliesAfter, () => {
      this.#talliesTimer = null
      if (this.#parts.tallies.hasChanged) this.#beatAnyhow()
    })
  }

  /** Sends what is not sent yet; null when there is nothing. No outcome may overtake the lines of its job. */
  sendNews(): Promise<void> | null {
    return this.#tellers.size > 0 ? this.beat() : null
  }

  /** Somebody may want a running job cancelled. */
  nudge(signal: Signal): void {
    if (!signal.cancel || this.#isStopped || !this.#parts.isHolding()) return
    // A signal for everything comes from another process, and may be about anything.
    const wait = signal.queued ? this.#quietLeft() : 0
    if (this.#nudgeTimer !== null && wait > 0) return
    this.#nudgeTimer?.cancel()
    this.#nudgeTimer = this.#in(wait, () => {
      this.#nudgeTimer = null
      this.#beatAnyhow()
    })
  }

  /** How long a vague nudge has to wait: longer each time, as long as they do not end. */
  #quietLeft(): number {
    const now = this.#parts.runtime.elapsed()
    const since = now - this.#lastNudgeAt
    if (since > 2 * longestQuiet) this.#quiet = firstQuiet
    if (this.#nudgeTimer !== null) return this.#quiet
    const left = this.#quiet - since
    this.#lastNudgeAt = now + Math.max(0, left)
    this.#quiet = Math.min(longestQuiet, this.#quiet * 2)
    return left
  }

  /** Ends the session: what it still holds is released. @throws what the store answers */
  async end(): Promise<void> {
    this.stop()
    await this.#beating?.catch(() => {})
    const { store, session, lease, tallies } = this.#parts
    await store.heartbeat({ session, lease, held: [], progress: [], log: [], ...told(tallies.take()), ended: true })
  }

  /** Beats no more. */
  stop(): void {
    this.#isStopped = true
    const timers = [this.#tick, this.#newsTimer, this.#nudgeTimer, this.#talliesTimer]
    for (const timer of timers) timer?.cancel()
  }

  /** At the end of this turn of the event loop where there is nothing to wait for. */
  #in(wait: number, call: () => void): Timer {
    const { runtime } = this.#parts
    if (wait > 0) return runtime.after(wait, call)
    let isCancelled = false
    runtime.soon(() => {
      if (!isCancelled) call()
    })
    return { cancel: () => void (isCancelled = true) }
  }

  #scheduleTick(wait: number): void {
    if (this.#isStopped) return
    this.#tick?.cancel()
    this.#tick = this.#parts.runtime.after(wait, () => {
      const { lease, runtime, isHolding, tallies } = this.#parts
      // Not for ever: of a claim whose answer was lost the store knows only from what is not in the list.
      const isRecent = runtime.elapsed() - this.#lastBeatAt < lease
      if (this.isRelieved && !isHolding() && !tallies.hasChanged && isRecent) this.#scheduleTick(beatEvery(lease))
      else this.#beatAnyhow()
    })
  }

  /** A beat that fails is tried again soon; it was reported. */
  #beatAnyhow(): void {
    const { lease } = this.#parts
    this.beat().then(
      () => this.#scheduleTick(beatEvery(lease)),
      () => this.#scheduleTick(beatAgainIn(lease)),
    )
  }

  async #send(): Promise<void> {
    const { reporter, tallies } = this.#parts
    this.#lastBeatAt = this.#parts.runtime.elapsed()
    const news = [...this.#tellers].map((attempt) => ({ attempt, ...attempt.takeNews() }))
    this.#tellers.clear()
    const taken = this.#takeTallies()
    try {
      await this.#sendWith(news, taken)
      if (taken.length > 0) tallies.forgetOver()
      reporter.over('heartbeat', 'Heartbeats work again.')
    } catch (error) {
      for (const { attempt, ...unsent } of news) {
        attempt.giveBackNews(unsent)
        this.#tellers.add(attempt)
      }
      tallies.giveBack(taken)
      if (!this.#isStopped) reporter.trouble('heartbeat', 'A heartbeat failed', error)
      throw error
    }
  }

  #takeTallies(): readonly Tally[] {
    const { runtime, tallies } = this.#parts
    if (!tallies.hasChanged || runtime.elapsed() - this.#lastTalliesAt < talliesEvery) return []
    this.#lastTalliesAt = runtime.elapsed()
    this.#talliesTimer?.cancel()
    this.#talliesTimer = null
    return tallies.take()
  }

  /** News that the store does not take is dropped: better than a session that dies of it. */
  async #sendWith(news: readonly AttemptNews[], tallies: readonly Tally[]): Promise<void> {
    try {
      await this.#request(news, tallies)
    } catch (error) {
      if (news.length === 0) throw error
      await this.#request([], tallies)
      this.#parts.reporter.warn('news', 'The store refused progress or log lines; they are left out.')
    }
  }

  async #request(news: readonly AttemptNews[], tallies: readonly Tally[] = []): Promise<void> {
    const { store, session, lease, held } = this.#parts
    this.#heed(await store.heartbeat({ session, lease, held: held(), ...carried(news), ...told(tallies) }))
  }

  #heed({ lost, toCancel }: HeartbeatAnswer): void {
    if (lost.length + toCancel.length > 0) this.#quiet = firstQuiet
    for (const { id, token } of lost) this.#parts.onLost(id, token)
    for (const { id, token } of toCancel) this.#parts.onCancel(id, token)
  }
}

/** A beat without them costs what it did before there were any. */
const told = (tallies: readonly Tally[]): Pick<Beat, 'tallies'> => (tallies.length === 0 ? {} : { tallies })

type AttemptNews = News & { readonly attempt: Attempt }

function carried(news: readonly AttemptNews[]): Pick<Beat, 'progress' | 'log' | 'notes'> {
  return {
    progress: news.flatMap(({ attempt: { job }, progress }) =>
      progress === null ? [] : [{ ref: job.ref, token: job.token, progress }],
    ),
    log: news.flatMap(({ attempt: { job }, lines }) => lines.map((line) => ({ ref: job.ref, token: job.token, line }))),
    notes: news.flatMap(({ attempt: { job }, notes }) =>
      notes.map((note) => ({ ref: job.ref, token: job.token, note })),
    ),
  }
}
