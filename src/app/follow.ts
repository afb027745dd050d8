import type { Change } from '../core/event.ts'
import { CeleriacError, type ErrorCode } from '../core/errors.ts'
import type { Runtime, Timer } from '../core/runtime.ts'
import type { Feed } from '../engine/feed.ts'
import type { Inspection } from '../engine/inspect.ts'
import { advance, positionAt, type Position } from './position.ts'

/** Somebody who follows one collection, or (null) everything. Called in the order of the feed; must neither wait nor throw. */
export interface Follower {
  readonly collectionId: string | null
  /** `position` stands behind the change. A change from before the follower's snapshot may come too. */
  changed(change: Change, position: Position): void
  /** Changes are gone unread: look at a snapshot. */
  missed(): void
  /** The collection is not stored any more: look once all that was told is read. */
  gone(): void
  /** Nothing more will come. */
  failed(error: unknown): void
}

/** How many changes are asked for at once. */
const pageSize = 500
/** From this many collections on the whole feed is read and picked from: cheaper for the store than a long list. */
const mostNamed = 200
/** Signals are hints: without any, the feed is looked at this often. The timer also keeps the process alive. */
const lookEvery = 2000
/**
 * Removal leaves no event, and takes along those not read yet: the store is asked at this interval, in milliseconds, which
 * collections are still there.
 */
const presenceEvery = 10_000
/** Maximum number of collections asked about at once. */
const mostAsked = 1_000
const firstWait = 50
const longestWait = 5000
/** The store is away, and will be back. */
const passing: readonly ErrorCode[] = ['STORE_BUSY', 'STORE_UNREACHABLE']

type Source = Feed & Pick<Inspection, 'actorsOf'>

/**
 * The one reader of the feed in this process, however many handles are followed. It reads while anybody follows
 * anything, only what is followed, and leaves the store alone otherwise.
 *
 * Nothing is missed because of one rule: a follower is in the set before its snapshot is read, and no read of the feed
 * that began without it is still under way. What it is told twice for that, it drops by version.
 */
export class FeedReader {
  readonly #feed: Source
  readonly #runtime: Runtime
  readonly #followers = new Map<string | null, Set<Follower>>()
  #run: Run | undefined

  constructor(feed: Source, runtime: Runtime) {
    this.#feed = feed
    this.#runtime = runtime
  }

  /**
   * Looks, and from then on tells the follower all that changes. It is not joined if what was found needs no following.
   * Costs one look where the reader rests or stands at the same cursor, as it does for many that begin together.
   */
  async follow<Found extends { readonly cursor: string }>(
    follower: Follower,
    look: () => Promise<Found>,
    isWorthIt: (found: Found) => boolean,
  ): Promise<Found> {
    if (!this.#run) {
      const found = await look()
      if (!isWorthIt(found) || this.#joinAt(follower, found.cursor)) return found
    }
    await this.#join(follower)
    return look()
  }

  /** Everything that happens after the promise resolves will be told; the snapshot is read then. */
  async #join(follower: Follower): Promise<void> {
    this.#add(follower)
    const run = this.#run ?? this.#start(null)
    await run.page
  }

  /** Joins behind `cursor`, that of a snapshot just read. False, and not joined, if the reader stands somewhere else. */
  #joinAt(follower: Follower, cursor: string): boolean {
    const run = this.#run ?? this.#start(cursor)
    if (run.cursor !== cursor || run.page) return false
    this.#add(follower)
    return true
  }

  leave(follower: Follower): void {
    const others = this.#followers.get(follower.collectionId)
    if (!others?.delete(follower) || others.size > 0) return
    this.#followers.delete(follower.collectionId)
    if (this.#followers.size === 0) this.#stop()
  }

  /** Ends it for everybody. */
  close(error: unknown): void {
    const everybody = this.#everybody()
    this.#followers.clear()
    this.#stop()
    for (const follower of everybody) follower.failed(error)
  }

  #everybody(): Follower[] {
    return [...this.#followers.values()].flatMap((followers) => [...followers])
  }

  #add(follower: Follower): void {
    const others = this.#followers.get(follower.collectionId)
    if (others) others.add(follower)
    else this.#followers.set(follower.collectionId, new Set([follower]))
  }

  #start(cursor: string | null): Run {
    const run: Run = {
      cursor,
      page: null,
      isDue: false,
      isLate: false,
      wait: firstWait,
      timer: undefined,
      unasked: [],
      askAt: this.#runtime.elapsed() + presenceEvery,
      gone: [],
      unsubscribe: () => {},
    }
    this.#run = run
    run.unsubscribe = this.#feed.subscribe((signal) => {
      if (signal.changed) this.#wake(run)
    })
    // Something may have happened between the snapshot and the subscription.
    if (cursor === null) this.#read(run)
    else this.#wake(run)
    return run
  }

  #stop(): void {
    this.#run?.unsubscribe()
    this.#run?.timer?.cancel()
    this.#run = undefined
  }

  /** Reads soon: all signals of one turn of the event loop make one read. */
  #wake(run: Run): void {
    if (run.isDue) return
    run.isDue = true
    this.#runtime.soon(() => this.#read(run))
  }

  #read(run: Run): void {
    if (run.page || this.#run !== run) return
    run.isDue = false
    run.timer?.cancel()
    run.page = this.#readPage(run).then(
      (more) => this.#rest(run, more),
      (error: unknown) => this.#recover(run, error),
    )
  }

  /** Reads one page and tells of it; says whether there is more at once. */
  async #readPage(run: Run): Promise<boolean> {
    if (run.cursor === null) {
      run.cursor = await this.#feed.cursor()
      if (run.isLate) for (const follower of this.#everybody()) follower.missed()
      return false
    }
    await this.#lookForGone(run)
    const page = await this.#feed.events({ after: run.cursor, collections: this.#named(), limit: pageSize })
    if (this.#run !== run) return false
    if (page.gap) {
      run.cursor = await this.#feed.cursor()
      for (const follower of this.#everybody()) follower.missed()
    } else {
      this.#tell(page.changes, run.cursor)
      run.cursor = page.cursor
    }
    if (!page.more) this.#tellGone(run)
    return page.more
  }

  /** Asks before a page is read, so that what is there of the time before a removal is told first. */
  async #lookForGone(run: Run): Promise<void> {
    if (this.#runtime.elapsed() >= run.askAt) {
      run.askAt = this.#runtime.elapsed() + presenceEvery
      run.unasked = [...this.#followers.keys()].filter((id) => id !== null)
    }
    const asked = run.unasked.slice(0, mostAsked)
    if (asked.length === 0) return
    const there = await this.#feed.actorsOf(asked)
    run.unasked = run.unasked.slice(mostAsked)
    run.gone.push(...asked.filter((id) => !there.has(id)))
  }

  #tellGone(run: Run): void {
    for (const id of run.gone) for (const follower of this.#followers.get(id) ?? []) follower.gone()
    run.gone = []
  }

  /** The collections to ask for; null: everything. */
  #named(): readonly string[] | null {
    const followed = [...this.#followers.keys()]
    return followed.length > mostNamed || followed.includes(null) ? null : (followed as string[])
  }

  #tell(changes: readonly Change[], cursor: string): void {
    const positions = new Map<string | null, Position>()
    const tell = (collectionId: string | null, change: Change): void => {
      const followers = this.#followers.get(collectionId)
      if (!followers) return
      const position = advance(positions.get(collectionId) ?? positionAt(cursor), change)
      positions.set(collectionId, position)
      for (const follower of followers) follower.changed(change, position)
    }
    for (const change of changes) {
      tell(change.collectionId, change)
      tell(null, change)
    }
  }

  #rest(run: Run, more: boolean): void {
    run.page = null
    run.wait = firstWait
    if (this.#run !== run) return
    // The next page waits for the next turn, so that followers get to read this one.
    if (more || run.isDue) this.#again(run)
    else run.timer = this.#runtime.after(lookEvery, () => this.#read(run))
  }

  #again(run: Run): void {
    run.isDue = false
    this.#wake(run)
  }

  #recover(run: Run, error: unknown): void {
    run.page = null
    if (this.#run !== run) return
    const code = error instanceof CeleriacError ? error.code : 'STORE_FAILED'
    const isLasting = code === 'CLOSED' || (!passing.includes(code) && run.wait > longestWait)
    if (isLasting) return this.close(error)
    // Followers that look before there is a first cursor may miss what comes in between.
    run.isLate = true
    run.timer = this.#runtime.after(Math.min(run.wait, longestWait), () => this.#read(run))
    run.wait *= 2
  }
}

/** From the first follower to the last. */
interface Run {
  cursor: string | null
  /** The read under way. */
  page: Promise<void> | null
  /** A read is to come. */
  isDue: boolean
  /** The first read failed. */
  isLate: boolean
  wait: number
  timer: Timer | undefined
  /** Collections still to be asked about, of those that were followed at the last look. */
  unasked: string[]
  askAt: number
  /** Collections that are not stored any more; their followers are told when the feed is read to its end. */
  gone: string[]
  unsubscribe: () => void
}
