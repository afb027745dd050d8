import type {
  CollectionEvent as CoreCollectionEvent,
  CollectionSnapshot,
  CollectionSummary as CoreCollectionSummary,
  FeedEvent as CoreFeedEvent,
  JobEvent as CoreJobEvent,
  JobSnapshot,
  JobSummary as CoreJobSummary,
} from '../core/handle.ts'
import type { CollectionState } from '../core/collection.ts'
import type { JobState } from '../core/job.ts'
import type { SubmitOptions as CoreSubmitOptions } from '../core/options.ts'
import { type Runtime, systemRuntime } from '../core/runtime.ts'
import type { Snake } from '../core/snake.ts'
import { follow } from './follow.ts'
import type { FollowOptions } from './inbox.ts'
import { Line } from './line.ts'
import { NoResult } from './no-result.ts'
import { isNamed, isPage, isWhole } from './received.ts'
import { Requests, type Token } from './requests.ts'

export type { Connection, FollowOptions } from './inbox.ts'
export { NoResult } from './no-result.ts'
export { ApiProblem, type Problem } from './problem.ts'
export type { Token } from './requests.ts'

// Everything as the HTTP API has it: names in snake_case, instants as ISO 8601 text. What you give and get passes as it is.

export type Collection<R = unknown> = Snake<CollectionSnapshot<R>>
export type CollectionSummary = Snake<CoreCollectionSummary>
export type Job<R = unknown> = Snake<JobSnapshot<R>>
export type JobSummary = Snake<CoreJobSummary>
export type CollectionEvent<R = unknown> = Snake<CoreCollectionEvent<R>>
export type JobEvent<R = unknown> = Snake<CoreJobEvent<R>>
export type FeedEvent = Snake<CoreFeedEvent>

export interface ClientOptions {
  /** Where the API is: what stands before `/api`. In a page it may be relative. */
  readonly url: string | URL
  /** A key or token; or a function that gives one, asked before every request. Default none, as where a cookie tells who asks. */
  readonly token?: Token | undefined
}

interface Asking {
  readonly signal?: AbortSignal | undefined
}

export type SubmitOptions = Asking &
  Snake<Omit<CoreSubmitOptions, 'startAt' | 'within' | 'concurrency'>> & {
    /** An instant as ISO 8601 text. */
    readonly start_at?: string | Date | undefined
  }

interface ListQuery extends Asking {
  readonly actor?: string | undefined
  readonly tag?: string | undefined
  /** Sent at or after this instant; `-1h` is an hour ago. */
  readonly after?: string | undefined
  readonly before?: string | undefined
  readonly limit?: number | undefined
  /** The `next` of the page before. */
  readonly cursor?: string | undefined
}
export interface CollectionQuery extends ListQuery {
  readonly state?: CollectionState | undefined
}
export interface JobQuery extends ListQuery {
  readonly state?: JobState | readonly JobState[] | undefined
  /** `*` stands for any characters. */
  readonly task?: string | undefined
  readonly queue?: string | undefined
  readonly collection?: string | undefined
  /** What stands in the task, description, tags, arguments or failure. */
  readonly text?: string | undefined
}
export interface Page<Item> {
  readonly items: readonly Item[]
  readonly next?: string
}

/** A submission, seen from afar. */
export interface ClientCollection<R = unknown> {
  readonly id: string
  read(options?: Asking): Promise<Collection<R>>
  cancel(options?: Asking): Promise<Collection<R>>
  /** Runs again what failed, was cancelled or skipped (`failed`, the default), or everything (`all`); `now`: what had not begun is not held any more. */
  retry(
    options?: Asking & { readonly mode?: 'failed' | 'all' | undefined; readonly now?: boolean | undefined },
  ): Promise<Collection<R>>
  /** The snapshot first, then every change, once and in order; ends with `settled`, unless `live`. */
  follow(options?: FollowOptions): AsyncIterable<CollectionEvent<R>>
  /** Waits for it. @throws NoResult, ApiProblem */
  result(options?: Asking): Promise<R>
}

/** A job, seen from afar. */
export interface ClientJob<R = unknown> {
  readonly id: string
  read(options?: Asking): Promise<Job<R>>
  cancel(options?: Asking): Promise<Job<R>>
  /** With other arguments than it was sent with: for the scope `admin`. `now`: if it had not begun, it is not held any more. */
  retry(
    options?: Asking & { readonly args?: readonly unknown[] | undefined; readonly now?: boolean | undefined },
  ): Promise<Job<R>>
  /** The snapshot first, then every change, once and in order; ends when the job is final, unless `live`. */
  follow(options?: FollowOptions): AsyncIterable<JobEvent<R>>
}

export interface Client {
  /** Sends a task. Resolves once it is stored; safe through a lost reply. */
  submit<R = unknown>(task: string, args?: readonly unknown[], options?: SubmitOptions): Promise<ClientCollection<R>>
  /** Sends a canvas, or what `JSON.stringify` makes of one. */
  submitCanvas<R = unknown>(canvas: object, options?: SubmitOptions): Promise<ClientCollection<R>>
  collection<R = unknown>(id: string): ClientCollection<R>
  job<R = unknown>(id: string): ClientJob<R>
  readonly collections: { list(query?: CollectionQuery): Promise<Page<CollectionSummary>> }
  readonly jobs: { list(query?: JobQuery): Promise<Page<JobSummary>> }
  /** Whatever happens to what one may see. Begins with `start`, and never ends by itself. */
  followAll(options?: Omit<FollowOptions, 'live'>): AsyncIterable<FeedEvent>
}

/**
 * A client of the HTTP API, for browsers and for Node.
 *
 * @example
 * const client = createClient({ url: 'https://jobs.example.com', token })
 * const collection = await client.submit('tables.buy', ['oak & co'])
 * for await (const event of collection.follow()) console.log(event.type)
 */
export function createClient({ url, token }: ClientOptions): Client {
  return clientWith(new Requests(url, token, systemRuntime))
}

/** @internal For tests, which bring a runtime of their own. */
export function clientWith(requests: Requests): Client {
  const line = new Line(requests)
  const submit = async (path: string, body: object, options: SubmitOptions = {}) => {
    const { signal, callback_url, callback, idempotency_key = drawKey(requests.runtime), ...rest } = options
    const { id } = await requests.json<{ id: string }>('POST', path, isNamed, {
      headers: { 'idempotency-key': idempotency_key },
      body: { ...body, options: rest, callback_url, callback },
      signal,
      isRepeatable: true,
    })
    return collectionOf<never>(requests, line, id)
  }
  const list =
    <Item>(path: string) =>
    ({ signal, ...query }: ListQuery = {}): Promise<Page<Item>> =>
      requests.json('GET', path, isPage, { query, signal, isRepeatable: true })
  return {
    submit: (task, args = [], options) => submit(`/api/tasks/${encodeURIComponent(task)}`, { args }, options),
    submitCanvas: (canvas, options) => submit('/api/collections', { canvas }, options),
    collection: (id) => collectionOf(requests, line, id),
    job: (id) => jobOf(requests, line, id),
    collections: { list: list('/api/collections') },
    jobs: { list: list('/api/jobs') },
    followAll: (options) => follow(line, { all: true }, options),
  }
}

function collectionOf<R>(requests: Requests, line: Line, id: string): ClientCollection<R> {
  const actions = actionsOf<Collection<R>>(requests, `/api/collections/${encodeURIComponent(id)}`)
  const events: ClientCollection<R>['follow'] = (options) => follow(line, { collection: id }, options)
  return {
    id,
    ...actions,
    follow: events,
    async result({ signal } = {}) {
      for (;;) {
        const found = await actions.read({ signal })
        if (found.state === 'succeeded') return found.result
        if (found.state !== 'running') throw new NoResult(found)
        // Where somebody retries it meanwhile, it is waited for again.
        for await (const _ of events({ signal }));
        signal?.throwIfAborted()
      }
    },
  }
}

function jobOf<R>(requests: Requests, line: Line, id: string): ClientJob<R> {
  return {
    id,
    ...actionsOf<Job<R>>(requests, `/api/jobs/${encodeURIComponent(id)}`),
    follow: (options) => follow(line, { job: id }, options),
  }
}

function actionsOf<Whole>(requests: Requests, path: string) {
  return {
    read: ({ signal }: Asking = {}) => requests.json<Whole>('GET', path, isWhole, { signal, isRepeatable: true }),
    cancel: ({ signal }: Asking = {}) =>
      requests.json<Whole>('POST', `${path}/cancel`, isWhole, { signal, isRepeatable: true }),
    // A second one would begin another round, or be told that it runs already: it is for whoever asks to say it again.
    retry: ({ signal, ...body }: Asking & object = {}) =>
      requests.json<Whole>('POST', `${path}/retry`, isWhole, { body, signal }),
  }
}

/** By hand: `crypto.randomUUID` is there only on pages that came by https. */
function drawKey(runtime: Runtime): string {
  const bytes = new Uint8Array(16)
  runtime.randomBytes(bytes)
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
