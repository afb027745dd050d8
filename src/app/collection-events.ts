import type { CollectionDetail, SettledState } from '../core/collection.ts'
import { NotFound } from '../core/errors.ts'
import type { Change, ChangeOfCollection, ChangeOfJob, ChangeOfProgress } from '../core/event.ts'
import type { CollectionEvent, JobProgressEvent, JobStateEvent } from '../core/handle.ts'
import { sizeOfFailure } from '../core/failure.ts'
import type { JobRecord } from '../core/job.ts'
import { type Connection, eventStream, type FollowTerms, type Holding, Told, type View } from './events.ts'
import { formatPosition, type Position, positionAt } from './position.ts'
import { snapshotOfCollection, summaryOfJob } from './snapshots.ts'

/** The events of a collection: its snapshot, every change of its jobs, what joins it, its rounds; the last one is `settled`. */
export function collectionEvents<R>(
  connect: () => Promise<Connection>,
  id: string,
  options?: FollowTerms,
): AsyncIterable<CollectionEvent<R>> {
  const isLive = options?.live ?? false
  return eventStream(connect, id, (...given) => new CollectionView<R>(id, isLive, ...given), options)
}

/** Without its jobs, what it came to is told, and not how many of them did. */
export async function lookAtCollection({ engine }: Connection, id: string, jobs = true): Promise<CollectionDetail> {
  const found = await engine.collection(id, { jobs, counts: jobs })
  if (!found) {
    throw new NotFound(`There is no collection ${id}: the id is wrong, or it was removed when its retention ended.`)
  }
  return found
}

/** Those who follow a collection share the positions, and so the events: hundreds may watch. */
const shared = new WeakMap<Position, { readonly round: number; readonly event: JobStateEvent | JobProgressEvent }>()

/** Jobs that joined are told of in one event up to about so many bytes; a snapshot, which is bounded by itself, tells of more. */
const joinedBytes = 1024 * 1024
const sizeOf = ({ args, after, failure, progress }: JobRecord): number =>
  300 +
  args.length +
  39 * after.length +
  (progress?.message?.length ?? 0) +
  (failure === null ? 0 : sizeOfFailure(failure))

class CollectionView<R> implements View<CollectionDetail, CollectionEvent<R>> {
  isOver = false
  readonly #id: string
  readonly #isLive: boolean
  readonly #connection: Connection
  readonly #holding: Holding
  readonly #told = new Told()
  #round = 1
  #hasSettled = false
  /** Jobs may have joined, or left, that the reader was not told of. */
  #hasContinuations = false
  #isCatchingUp = false

  constructor(id: string, isLive: boolean, connection: Connection, holding: Holding) {
    this.#id = id
    this.#isLive = isLive
    this.#connection = connection
    this.#holding = holding
  }

  async look(): Promise<CollectionDetail> {
    // Who may not hold it is told before it is read, where it is known how much it is.
    this.#holding.weigh(this.#connection.looks.sizeOf(this.#id) ?? 0)
    const found = await lookAtCollection(this.#connection, this.#id)
    this.#holding.weigh(found.jobs.length)
    return found
  }

  concerns(): boolean {
    return true
  }

  isEnd(found: CollectionDetail): boolean {
    return !this.#isLive && found.state !== 'running'
  }

  async *show(found: CollectionDetail): AsyncGenerator<CollectionEvent<R>> {
    this.#told.clear()
    // Not the later of the two: a cursor of a store that was since restored may come from a round yet to be.
    this.#round = found.round
    this.caughtUp(found)
    const cursor = formatPosition(positionAt(found.cursor), found.round)
    yield { type: 'snapshot', cursor, collection: await snapshotOfCollection<R>(this.#connection, found) }
    if (this.isOver) yield this.#settled(found.state as SettledState, found.settledAt ?? found.createdAt, cursor)
  }

  resume(_found: CollectionDetail, round: number): void {
    this.#round = round
    this.#isCatchingUp = true
  }

  caughtUp(found: CollectionDetail): void {
    this.#isCatchingUp = false
    this.#round = Math.max(this.#round, found.round)
    this.#hasSettled = found.state !== 'running'
    this.#note(found.jobs)
    this.isOver ||= this.isEnd(found)
  }

  async *tell(change: Change, position: Position): AsyncGenerator<CollectionEvent<R>> {
    if (change.type === 'collection') return yield* this.#tellOfCollection(change, position)
    const isUnknown = !this.#isCatchingUp && !this.#told.has(change.jobId)
    if (isUnknown) yield* this.#tellOfJoined(position)
    if (!this.#told.isNews(change)) return
    yield this.#tellOfJob(change, position)
  }

  #tellOfJob(change: ChangeOfJob | ChangeOfProgress, position: Position): JobStateEvent | JobProgressEvent {
    const known = shared.get(position)
    if (known?.round === this.#round) return known.event
    const about = { cursor: formatPosition(position, this.#round), at: new Date(change.at), jobId: change.jobId }
    const event: JobStateEvent | JobProgressEvent =
      change.type === 'progress'
        ? { type: 'progress', ...about, ...change.progress }
        : { type: 'state', ...about, state: change.state, attempt: change.attempt }
    shared.set(position, { round: this.#round, event })
    return event
  }

  async *#tellOfCollection(change: ChangeOfCollection, position: Position): AsyncGenerator<CollectionEvent<R>> {
    const { state, round } = change
    if (round < this.#round) return
    if (state === 'running')
      return yield* round > this.#round ? this.#tellOfRound(round, position) : this.#tellOfJoined(position)
    if (round === this.#round && this.#hasSettled) return
    if (round > this.#round) yield* this.#tellOfRound(round, position)
    this.#hasSettled = true
    this.isOver = !this.#isLive
    yield this.#settled(state, change.at, formatPosition(position, round))
  }

  #settled(state: SettledState, at: number, cursor: string): CollectionEvent<R> {
    return { type: 'settled', cursor, at: new Date(at), state, round: this.#round }
  }

  async *#tellOfRound(round: number, position: Position): AsyncGenerator<CollectionEvent<R>> {
    this.#round = round
    this.#hasSettled = false
    yield { type: 'round', cursor: formatPosition(position, round), round }
    // A retry of everything moves what continued into history: only a snapshot tells that jobs are gone.
    if (!this.#hasContinuations) return
    const found = await this.look()
    const present = new Set(found.jobs.map(({ id }) => id))
    if ([...this.#told.jobIds].some((id) => !present.has(id))) yield* this.show(found)
  }

  /** Tells of the jobs that are in the collection and were not told of: where that is too much for one event, by a snapshot. */
  async *#tellOfJoined(position: Position): AsyncGenerator<CollectionEvent<R>> {
    const joined = await this.#readJoined()
    if (joined === null) return yield* this.show(await this.look())
    if (joined.length === 0) return
    this.#note(joined)
    this.#holding.weigh(this.#told.size)
    yield { type: 'jobs', cursor: formatPosition(position, this.#round), jobs: joined.map(summaryOfJob) }
  }

  /**
   * The newest jobs, back to the first that is known. One who comes back knows none here: all that ever joined. Null where they are
   * larger than one event may be.
   */
  async #readJoined(): Promise<JobRecord[] | null> {
    const joined: JobRecord[] = []
    let left = joinedBytes
    let cursor: string | undefined
    do {
      const query = { collectionId: this.#id, limit: 200, ...(cursor === undefined ? {} : { cursor }) }
      const page = await this.#connection.engine.jobs(query)
      const unknown = page.items.filter(
        (job) => !this.#told.has(job.id) && (job.parentId !== null || !this.#isCatchingUp),
      )
      joined.push(...unknown)
      for (const job of unknown) left -= sizeOf(job)
      if (left < 0) return null
      cursor = unknown.length < page.items.length ? undefined : (page.next ?? undefined)
    } while (cursor !== undefined)
    return joined.reverse()
  }

  #note(jobs: readonly JobRecord[]): void {
    for (const job of jobs) {
      this.#told.note(job)
      this.#hasContinuations ||= job.parentId !== null
    }
  }
}
