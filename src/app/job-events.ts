import type { Change, ChangeOfCollection, ChangeOfJob } from '../core/event.ts'
import { NotFound } from '../core/errors.ts'
import type { JobEvent } from '../core/handle.ts'
import type { JobDetail } from '../core/job.ts'
import { isFinal } from '../core/transitions.ts'
import { type Connection, eventStream, type FollowTerms, Told, type View } from './events.ts'
import { formatPosition, type Position, positionAt } from './position.ts'
import { snapshotOfJob } from './snapshots.ts'

export type FoundJob = JobDetail & { readonly cursor: string }

/** The events of one job: its snapshot, its states, its progress; the last one is a final state. */
export function jobEvents<R>(
  connect: () => Promise<Connection>,
  job: { readonly id: string; readonly collectionId: string },
  options?: FollowTerms,
): AsyncIterable<JobEvent<R>> {
  const isLive = options?.live ?? false
  return eventStream(connect, job.collectionId, (connection) => new JobView<R>(connection, job.id, isLive), options)
}

/** `history: false` leaves out its attempts and log lines: enough to tell how it ended. */
export async function lookAtJob(
  { engine }: Connection,
  id: string,
  options?: { readonly history: boolean },
): Promise<FoundJob> {
  const found = await engine.job(id, options)
  if (!found) throw new NotFound(`There is no job ${id}: the id is wrong, or it was removed when its retention ended.`)
  return found
}

class JobView<R> implements View<FoundJob, JobEvent<R>> {
  isOver = false
  readonly #connection: Connection
  readonly #id: string
  readonly #isLive: boolean
  readonly #told = new Told()
  #hasEnded = false

  constructor(connection: Connection, id: string, isLive: boolean) {
    this.#connection = connection
    this.#id = id
    this.#isLive = isLive
  }

  look(): Promise<FoundJob> {
    return lookAtJob(this.#connection, this.#id)
  }

  concerns(change: Change): boolean {
    return change.type === 'collection' ? change.state !== 'running' : change.jobId === this.#id
  }

  isEnd(found: FoundJob): boolean {
    return !this.#isLive && isFinal(found.state)
  }

  async *show(found: FoundJob): AsyncGenerator<JobEvent<R>> {
    this.caughtUp(found)
    const cursor = formatPosition(positionAt(found.cursor), 0)
    yield { type: 'snapshot', cursor, job: await snapshotOfJob<R>(this.#connection.engine, found) }
  }

  resume(): void {}

  caughtUp(found: FoundJob): void {
    this.#told.note(found)
    this.#hasEnded = isFinal(found.state)
    this.isOver ||= this.isEnd(found)
  }

  async *tell(change: Change, position: Position): AsyncGenerator<JobEvent<R>> {
    const news = change.type === 'collection' ? await this.#leftBehind(change) : change
    if (!news || !this.#told.isNews(news)) return
    const { type, jobId } = news
    const at = { cursor: formatPosition(position, 0), at: new Date(news.at), jobId }
    if (type === 'progress') return yield { type, ...at, ...news.progress }
    this.#hasEnded = isFinal(news.state)
    this.isOver = !this.#isLive && this.#hasEnded
    yield { type: 'state', ...at, state: news.state, attempt: news.attempt }
  }

  /**
   * A retry of everything ends what ran in a canvas that a handler had returned, without an event: seen at the latest when the
   * next round settles.
   */
  async #leftBehind({ at, round }: ChangeOfCollection): Promise<ChangeOfJob | null> {
    if (this.#hasEnded) return null
    const found = await lookAtJob(this.#connection, this.#id, { history: false })
    const isLeft = found.round < round && isFinal(found.state)
    return isLeft ? { ...found, type: 'job', jobId: found.id, at: found.finishedAt ?? at } : null
  }
}
