import { StoreUnavailable } from '../core/errors.ts'
import type { Change } from '../core/event.ts'
import type { FollowOptions } from '../core/handle.ts'
import { hash53 } from '../core/hash.ts'
import type { JobRecord, Progress } from '../core/job.ts'
import type { Runtime } from '../core/runtime.ts'
import type { Engine } from '../engine/engine.ts'
import type { FeedReader } from './follow.ts'
import { Inbox, type News } from './inbox.ts'
import type { Looks } from './looks.ts'
import { advance, parsePosition, positionAt, type Position } from './position.ts'
import { persistentReads } from './while-followed.ts'

/** What one stream of events makes of what it finds and of the changes it is told, and what it remembers for that. */
export interface View<Found, Event> {
  look(): Promise<Found>
  concerns(change: Change): boolean
  /** Is there nothing to follow after this? Never true of a live stream. */
  isEnd(found: Found): boolean
  /** Begins (again) with a snapshot. */
  show(found: Found): AsyncIterable<Event>
  /** Begins behind an event seen before, in that round, with no snapshot. */
  resume(found: Found, round: number): void
  /** All changes up to what was found have been told. */
  caughtUp(found: Found): void
  /** What `tell` will need of several changes, read at once. */
  prepare?(changes: readonly Change[]): Promise<void>
  /** The events of a change: none where it was known already. */
  tell(change: Change, position: Position): AsyncIterable<Event>
  /** What ends the stream has been told, or will never be. Never true of a live one. */
  readonly isOver: boolean
}

export interface FollowTerms extends FollowOptions {
  /**
   * Waits until a snapshot may be read, and returns what is called when the reader has taken it: so somebody bounds how many
   * are in memory.
   */
  readonly turn?: () => Promise<() => void>
  /** Begins to count what this stream remembers: so somebody bounds that for many streams together. */
  readonly hold?: () => Holding
}

/** What one stream remembers until it ends. */
export interface Holding {
  /**
   * It remembers, or is about to, so many jobs, or as much as so many.
   *
   * @throws CeleriacError where that is too much: the stream ends with it
   */
  weigh(jobs: number): void
  /** It remembers nothing any more. */
  end(): void
}

export interface Connection {
  readonly engine: Engine
  readonly feed: FeedReader
  readonly looks: Looks
  readonly runtime: Runtime
}

/** Largest page of old changes read at once. */
const pageSize = 500

/**
 * A stream of events: begins with a snapshot, or behind `after`; then every change, once, in order for each job. Where
 * changes were lost it goes on with a fresh snapshot. Nothing is held before the first `next` or after the end.
 */
export function eventStream<Found extends { readonly cursor: string }, Event>(
  connect: () => Promise<Connection>,
  collectionId: string | null,
  makeView: (connection: Connection, holding: Holding) => View<Found, Event>,
  options: FollowTerms = {},
): AsyncIterable<Event> {
  return {
    [Symbol.asyncIterator]() {
      const inbox = new Inbox(collectionId, (change) => view?.concerns(change) ?? false)
      let view: View<Found, Event> | undefined
      const events = follow(connect, (...given) => (view = makeView(...given)), inbox, options)
      return {
        next: () => events.next(),
        // A generator would answer only after the `next` that waits for an event, which may never come.
        return(): Promise<IteratorResult<Event, undefined>> {
          inbox.stop()
          return events.return(undefined)
        },
      }
    },
  }
}

async function* follow<Found extends { readonly cursor: string }, Event>(
  connect: () => Promise<Connection>,
  makeView: (connection: Connection, holding: Holding) => View<Found, Event>,
  inbox: Inbox,
  { after, signal, turn = noTurn, hold = noHolding }: FollowTerms,
): AsyncGenerator<Event, undefined> {
  const { engine, ...connection } = await connect()
  let hasBegun = false
  const persistent = persistentReads(engine, connection.runtime, inbox, () => hasBegun)
  const stop = (): void => inbox.stop()
  if (signal?.aborted) return
  const holding = hold()
  const view = makeView({ ...connection, engine: persistent }, holding)
  signal?.addEventListener('abort', stop)
  // Each part is a generator of its own, so that nothing holds a snapshot or an event while the next change is awaited, maybe for hours.
  async function* open(): AsyncGenerator<Event> {
    const isWorthIt = (found: Found): boolean => after !== undefined || !view.isEnd(found)
    const endTurn = await turn()
    try {
      if (inbox.isStopped) return
      const found = await connection.feed.follow(inbox, () => view.look(), isWorthIt)
      hasBegun = true
      yield* begin(persistent, view, found, inbox.collectionId, after)
    } finally {
      endTurn()
    }
  }
  try {
    yield* untilStopped(open(), inbox)
    while (!view.isOver && !inbox.isStopped) yield* untilStopped(take(view, inbox, turn), inbox)
    // Throws if it was ended from outside while an event was being read.
    if (!view.isOver) await inbox.take()
  } catch (error) {
    // Who no longer follows need not hear that the store was away.
    if (!(inbox.isStopped && error instanceof StoreUnavailable)) throw error
  } finally {
    signal?.removeEventListener('abort', stop)
    connection.feed.leave(inbox)
    holding.end()
  }
}

async function* untilStopped<Event>(events: AsyncIterable<Event>, inbox: Inbox): AsyncGenerator<Event> {
  for await (const event of events) {
    yield event
    if (inbox.isStopped) return
  }
}

const noTurn: NonNullable<FollowTerms['turn']> = async () => () => {}

const noHolding = (): Holding => ({ weigh() {}, end() {} })

async function* begin<Found extends { readonly cursor: string }, Event>(
  engine: Engine,
  view: View<Found, Event>,
  found: Found,
  collectionId: string | null,
  after: string | undefined,
): AsyncGenerator<Event> {
  if (after === undefined) return yield* view.show(found)
  const { position, round } = parsePosition(after)
  view.resume(found, round)
  for await (const page of changesSince(engine, collectionId, position)) {
    if (page === 'gap') return yield* view.show(await view.look())
    await view.prepare?.(page.map(({ change }) => change))
    for (const { change, position } of page) {
      if (view.concerns(change)) yield* view.tell(change, position)
      if (view.isOver) return
    }
  }
  view.caughtUp(found)
}

/**
 * What a collection, or (null) everything, went through since a position: page by page, read for this reader alone. The changes that
 * the position counts are passed over page by page as well, since a cursor is anybody's text and may count more than there are. If
 * others were counted, all are told again rather than missed.
 */
async function* changesSince(
  engine: Engine,
  collectionId: string | null,
  from: Position,
): AsyncGenerator<readonly News[] | 'gap'> {
  const collections = collectionId === null ? null : [collectionId]
  let position = positionAt(from.cursor)
  let isPassing = from.count > 0
  for (let after = from.cursor, more = true; more;) {
    const page = await engine.events({ after, collections, limit: pageSize })
    if (page.gap) return yield 'gap'
    const passed = isPassing ? page.changes.slice(0, from.count - position.count) : []
    position = passed.reduce(advance, position)
    if (isPassing && position.count < from.count && page.more) {
      after = page.cursor
      continue
    }
    if (isPassing && (position.count !== from.count || position.hash !== from.hash)) {
      position = positionAt((after = from.cursor))
      isPassing = false
      continue
    }
    isPassing = false
    yield page.changes
      .slice(passed.length)
      .map((change) => ({ change, position: (position = advance(position, change)) }))
    after = page.cursor
    position = positionAt(after)
    more = page.more
  }
}

async function* take<Found, Event>(
  view: View<Found, Event>,
  inbox: Inbox,
  turn: NonNullable<FollowTerms['turn']>,
): AsyncGenerator<Event> {
  const news = await inbox.take()
  if (news === 'stopped') return
  if (news === 'missed') return yield* showAgain(view, inbox, turn)
  await view.prepare?.(news.map(({ change }) => change))
  for (const { change, position } of news) {
    if (!view.isOver) yield* view.tell(change, position)
  }
}

async function* showAgain<Found, Event>(
  view: View<Found, Event>,
  inbox: Inbox,
  turn: NonNullable<FollowTerms['turn']>,
): AsyncGenerator<Event> {
  const endTurn = await turn()
  try {
    if (!inbox.isStopped) yield* view.show(await view.look())
  } finally {
    endTurn()
  }
}

/** What was told of every job so far: a change may come again, by another way. */
export class Told {
  readonly #versions = new Map<string, number>()
  /** A number for each text: a message may have 8 KiB, and this is held for every job of every following. */
  readonly #progress = new Map<string, number>()

  has(jobId: string): boolean {
    return this.#versions.has(jobId)
  }

  get size(): number {
    return this.#versions.size
  }

  get jobIds(): Iterable<string> {
    return this.#versions.keys()
  }

  clear(): void {
    this.#versions.clear()
    this.#progress.clear()
  }

  /** The job was told as this record says, or is known to have been. */
  note({ id, version, attempt, progress }: JobRecord): void {
    if (version >= (this.#versions.get(id) ?? 0)) this.#versions.set(id, version)
    if (progress) this.#progress.set(id, progressMark(attempt, progress))
  }

  /** Is this change news? Then it is noted. Progress carries no version: what says the same as the last is no news. */
  isNews(change: Exclude<Change, { type: 'collection' }>): boolean {
    if (change.type === 'job') {
      if (change.version <= (this.#versions.get(change.jobId) ?? 0)) return false
      this.#versions.set(change.jobId, change.version)
      return true
    }
    const mark = progressMark(change.attempt, change.progress)
    if (this.#progress.get(change.jobId) === mark) return false
    this.#progress.set(change.jobId, mark)
    return true
  }
}

/** Of 53 bits: that two texts of one job, one after the other, have the same is as good as impossible. */
const progressMark = (attempt: number, { done, total, message }: Progress): number =>
  hash53(`${attempt}/${done}/${total}/${message}`)
