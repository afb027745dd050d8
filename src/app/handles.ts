import type { CollectionDetail } from '../core/collection.ts'
import { type CeleriacError, NotFound } from '../core/errors.ts'
import type {
  CollectionEvent,
  CollectionHandle,
  CollectionSnapshot,
  FollowOptions,
  JobEvent,
  JobHandle,
  JobSnapshot,
  WaitOptions,
} from '../core/handle.ts'
import { readable } from '../core/option.ts'
import { isId } from '../core/id.ts'
import { kind, type Marked } from '../core/kind.ts'
import type { Runtime } from '../core/runtime.ts'
import { isFinal } from '../core/transitions.ts'
import type { Duration } from '../core/time.ts'
import type { Selection } from '../engine/control.ts'
import { collectionEvents, lookAtCollection } from './collection-events.ts'
import type { Connection } from './events.ts'
import { type FoundJob, jobEvents, lookAtJob } from './job-events.ts'
import { resultOfCollection, resultOfJob } from './results.ts'
import type { Registry } from './registry.ts'
import { retryJob, retrySelection } from './retry.ts'
import { signRunToken } from './run-token.ts'
import { snapshotOfCollection, snapshotOfJob } from './snapshots.ts'
import { steadily } from './store-away.ts'
import { waitUntilOver, type Watched } from './wait.ts'

/** What a handle needs of its app. One object shared by all, so that a thousand handles are a thousand short rows. */
export interface Access {
  readonly runtime: Runtime
  readonly registry: Registry
  connect(): Promise<Connection>
}

export function jobHandle<R>(access: Access, id: string, collectionId: string): JobHandle<R> {
  return new JobHandleValue<R>(access, id, collectionId) as unknown as JobHandle<R>
}

export function collectionHandle<R>(access: Access, id: string): CollectionHandle<R> {
  return new CollectionHandleValue<R>(access, id) as unknown as CollectionHandle<R>
}

/** A handle to a job that is stored. Throws NotFound. */
export async function findJob(access: Access, id: string): Promise<JobHandle<unknown>> {
  checkId(id, 'job')
  const { collectionId } = await lookAtJob(await access.connect(), id, { history: false })
  return jobHandle(access, id, collectionId)
}

/** A handle to a collection that is stored. Throws NotFound. */
export async function findCollection(access: Access, id: string): Promise<CollectionHandle<unknown>> {
  checkId(id, 'collection')
  await lookAtCollection(await access.connect(), id, false)
  return collectionHandle(access, id)
}

/** Tells a text that cannot be an id from one that nothing has. */
function checkId(id: unknown, what: string): void {
  if (typeof id === 'string' && isId(id)) return
  const shown = typeof id === 'string' ? `"${id.slice(0, 60)}"` : String(id)
  const example = '0198c0de-0001-7000-8000-000000000001'
  throw new NotFound(`${shown} is not the id of a ${what}: one looks like ${example}.`)
}

class JobHandleValue<R> implements Omit<JobHandle<R>, ' handle'>, Marked {
  readonly id: string
  readonly #access: Access
  readonly #collectionId: string

  constructor(access: Access, id: string, collectionId: string) {
    this.id = id
    this.#access = access
    this.#collectionId = collectionId
  }

  get [kind](): 'handle' {
    return 'handle'
  }

  async result(options: WaitOptions = {}): Promise<R> {
    const connection = await this.#access.connect()
    const watched: Watched<FoundJob> = {
      what: `job ${this.id}`,
      collectionId: this.#collectionId,
      look: () => lookAtJob(connection, this.id, { history: false }),
      isOver: ({ state }) => isFinal(state),
      // A retry of everything ends what ran in a canvas that a handler had returned without an event of the job.
      endsWith: (change) =>
        change.type === 'collection'
          ? change.state !== 'running'
          : change.type === 'job' && change.jobId === this.id && isFinal(change.state),
    }
    const found = await waitUntilOver(connection, watched, options)
    return (await steadily(this.#access.runtime, () => resultOfJob(connection.engine, found))) as R
  }

  async snapshot(): Promise<JobSnapshot<R>> {
    const connection = await this.#access.connect()
    return snapshotOfJob<R>(connection.engine, await lookAtJob(connection, this.id))
  }

  async cancel(): Promise<void> {
    await cancelSelection(await this.#access.connect(), { jobId: this.id }, `job ${this.id}`)
  }

  async retry(options: { readonly args?: readonly unknown[] | undefined } = {}): Promise<void> {
    await retryJob(this.#access, this, this.#collectionId, options)
  }

  events(options?: FollowOptions): AsyncIterable<JobEvent<R>> {
    const job = { id: this.id, collectionId: this.#collectionId }
    return jobEvents<R>(() => this.#access.connect(), job, followTerms(options))
  }
}

class CollectionHandleValue<R> implements Omit<CollectionHandle<R>, ' handle'>, Marked {
  readonly id: string
  readonly #access: Access

  constructor(access: Access, id: string) {
    this.id = id
    this.#access = access
  }

  get [kind](): 'handle' {
    return 'handle'
  }

  async result(options: WaitOptions = {}): Promise<R> {
    const connection = await this.#access.connect()
    const watched: Watched<CollectionDetail> = {
      what: `collection ${this.id}`,
      collectionId: this.id,
      look: () => lookAtCollection(connection, this.id, false),
      isOver: ({ state }) => state !== 'running',
      endsWith: (change) => change.type === 'collection' && change.state !== 'running',
    }
    const found = await waitUntilOver(connection, watched, options)
    return (await steadily(this.#access.runtime, () => resultOfCollection(connection.engine, found))) as R
  }

  async snapshot(): Promise<CollectionSnapshot<R>> {
    const connection = await this.#access.connect()
    return snapshotOfCollection<R>(connection, await lookAtCollection(connection, this.id))
  }

  async cancel(): Promise<void> {
    await cancelSelection(await this.#access.connect(), { collectionId: this.id }, `collection ${this.id}`)
  }

  async retry(options: RetryCollection = {}): Promise<void> {
    const { mode = 'failed', now = false } = readable('retry', () => ({ mode: options.mode, now: options.now }))
    const connection = await this.#access.connect()
    const about = { selection: { collectionId: this.id }, mode, now }
    await retrySelection(connection, about, this.id, `Collection ${this.id}`)
  }

  async token(options: { readonly expiresIn?: Duration | undefined } = {}): Promise<string> {
    const lifetime = readable('token', () => options.expiresIn)
    return signRunToken(await this.#access.connect(), this.id, { lifetime })
  }

  events(options?: FollowOptions): AsyncIterable<CollectionEvent<R>> {
    return collectionEvents<R>(() => this.#access.connect(), this.id, followTerms(options))
  }
}

/** Copied, so that nothing is read of the given object later. */
const followTerms = (options: FollowOptions = {}): FollowOptions =>
  readable('events', () => ({ after: options.after, live: options.live, signal: options.signal }))

interface RetryCollection {
  readonly mode?: 'failed' | 'all' | undefined
  readonly now?: boolean | undefined
}

async function cancelSelection({ engine }: Connection, selection: Selection, what: string): Promise<void> {
  const answer = await engine.cancel(selection)
  if (answer === 'not-found') throw notFound(what)
}

const notFound = (what: string): CeleriacError =>
  new NotFound(`There is no ${what} any more: it was removed when its retention ended.`)
