import type { Runtime, Timer } from '../core/runtime.ts'
import type { Signal } from '../engine/feed.ts'
import type { ClaimedJob, Heartbeat as Beat, HeartbeatAnswer, SessionRecord, Tally, Work } from '../engine/work.ts'
import type { Attempt } from './attempt.ts'
import { carried, halvesOfNews, type NewsPart, partsOfNews } from './news-parts.ts'
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
  /** When the jobs held were last listed. */
  #lastListAt = -Infinity
  /** The beat under way carries progress or log lines. */
  #isSendingNews = false
  /** The next beat lists the jobs held. */
  #isListWanted = false
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

  /** Sends a beat that began after this call, with a list of the jobs held. @throws what the store answers */
  beat(): Promise<void> {
    this.#isListWanted = true
    return this.#next()
  }

  #next(): Promise<void> {
    // A beat behind the last one would bring the session back to life.
    if (this.#isStopped) return Promise.resolve()
    if (this.#beating === null) {
      this.#beating = this.#send().finally(() => (this.#beating = null))
      return this.#beating
    }
    const again = (): Promise<void> => {
      this.#following = null
      return this.#next()
    }
    return (this.#following ??= this.#beating.then(again, again))
  }

  /** A beat without news. @throws what the store answers */
  async probe(): Promise<void> {
    await this.#request([], [], true)
  }

  /** This attempt has progress or log lines to tell. */
  note(attempt: Attempt): void {
    this.#tellers.add(attempt)
    if (this.#newsTimer !== null || this.#isStopped) return
    this.#newsTimer = this.#in(this.#lastBeatAt + newsEvery - this.#parts.runtime.elapsed(), () => {
      this.#newsTimer = null
      if (this.#tellers.size > 0) this.#next().catch(() => this.#scheduleTick(beatAgainIn(this.#parts.lease)))
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

  /** Sends what is not stored yet; null when there is nothing. No outcome may overtake the lines of its job. */
  sendNews(): Promise<void> | null {
    if (this.#tellers.size > 0) return this.#next()
    return this.#isSendingNews ? this.#beating : null
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
      const isRecent = runtime.elapsed() - this.#lastListAt < lease
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
    const { reporter, runtime, tallies } = this.#parts
    this.#lastBeatAt = runtime.elapsed()
    const isListed = this.#isListWanted
    this.#isListWanted = false
    if (isListed) this.#lastListAt = this.#lastBeatAt
    const unsent = partsOfNews(this.#tellers)
    this.#tellers.clear()
    this.#isSendingNews = unsent.length > 0
    const taken = this.#takeTallies()
    try {
      await this.#sendFirst(unsent, taken, isListed)
      if (taken.length > 0) tallies.forgetOver()
      while (unsent.length > 0) await this.#sendFirst(unsent, [], false)
      reporter.over('heartbeat', 'Heartbeats work again.')
    } catch (error) {
      this.#isListWanted ||= isListed
      for (const { attempt, ...news } of unsent.flat().reverse()) {
        attempt.giveBackNews(news)
        this.#tellers.add(attempt)
      }
      tallies.giveBack(taken)
      if (!this.#isStopped) reporter.trouble('heartbeat', 'A heartbeat failed', error)
      throw error
    } finally {
      this.#isSendingNews = false
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

  /** News that the store does not take is halved, and what it does not take alone is dropped: a session must not die of it. */
  async #sendFirst(unsent: (readonly NewsPart[])[], tallies: readonly Tally[], isListed: boolean): Promise<void> {
    const news = unsent[0] ?? []
    try {
      await this.#request(news, tallies, isListed)
      unsent.shift()
    } catch (error) {
      if (news.length === 0) throw error
      await this.#request([], tallies, isListed)
      const halves = halvesOfNews(news)
      unsent.splice(0, 1, ...halves)
      if (halves.length > 0) return
      this.#parts.reporter.warn('news', 'The store refused progress or a log line; it is left out.')
    }
  }

  /** News alone goes without the list: only whoever lists the jobs held is told which of them are lost or to be cancelled. */
  async #request(news: readonly NewsPart[], tallies: readonly Tally[], isListed: boolean): Promise<void> {
    const { store, session, lease, held } = this.#parts
    const beat = { session, lease, held: isListed ? held() : null, ...carried(news), ...told(tallies) }
    this.#heed(await store.heartbeat(beat))
  }

  #heed({ lost, toCancel }: HeartbeatAnswer): void {
    if (lost.length + toCancel.length > 0) this.#quiet = firstQuiet
    for (const { id, token } of lost) this.#parts.onLost(id, token)
    for (const { id, token } of toCancel) this.#parts.onCancel(id, token)
  }
}

/** A beat without them costs what it did before there were any. */
const told = (tallies: readonly Tally[]): Pick<Beat, 'tallies'> => (tallies.length === 0 ? {} : { tallies })
