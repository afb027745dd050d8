import type { Change } from '../core/event.ts'
import type { Follower } from './follow.ts'
import type { Position } from './position.ts'

export interface News {
  readonly change: Change
  readonly position: Position
}

/** More than this, unread, and a snapshot is the shorter way to know. */
const mostHeld = 10_000

/** What one follower has been told and not yet read. Bounded: a slow reader is told that it missed something. */
export class Inbox implements Follower {
  readonly collectionId: string | null
  readonly #concerns: (change: Change) => boolean
  #news: News[] = []
  #hasMissed = false
  #isGone = false
  #end: { readonly error?: unknown } | undefined
  #wake: (() => void) | undefined
  #stopped: PromiseWithResolvers<void> | undefined

  /** @param concerns which changes of the collection, or (null) of everything, are kept */
  constructor(collectionId: string | null, concerns: (change: Change) => boolean) {
    this.collectionId = collectionId
    this.#concerns = concerns
  }

  /** Waits for something to read: what came since the last time, or that only a look can tell more, or that it is over. */
  async take(): Promise<readonly News[] | 'missed' | 'stopped'> {
    if (this.#news.length === 0 && !this.#hasMissed && !this.#isGone && !this.#end) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    if (this.#end && 'error' in this.#end) throw this.#end.error
    if (this.#end) return 'stopped'
    const news = this.#hasMissed || this.#news.length === 0 ? 'missed' : this.#news
    if (news === 'missed') this.#isGone = false
    this.#news = []
    this.#hasMissed = false
    return news
  }

  get isStopped(): boolean {
    return this.#end !== undefined
  }

  /** Resolves when it has ended, from outside or inside. */
  whenStopped(): Promise<void> {
    this.#stopped ??= Promise.withResolvers<void>()
    if (this.#end) this.#stopped.resolve()
    return this.#stopped.promise
  }

  changed(change: Change, position: Position): void {
    if (this.#hasMissed || !this.#concerns(change)) return
    if (this.#news.length === mostHeld) return this.missed()
    this.#news.push({ change, position })
    this.#wake?.()
  }

  missed(): void {
    this.#news = []
    this.#hasMissed = true
    this.#wake?.()
  }

  gone(): void {
    this.#isGone = true
    this.#wake?.()
  }

  /** Ends it from outside: `take` throws. */
  failed(error: unknown): void {
    this.#end ??= { error }
    this.#wake?.()
    this.#stopped?.resolve()
  }

  /** Ends it from inside: `take` answers `stopped`. */
  stop(): void {
    this.#end ??= {}
    this.#wake?.()
    this.#stopped?.resolve()
  }
}
