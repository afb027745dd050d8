import type { CollectionDetail, CollectionRecord } from '../core/collection.ts'
import type {
  Attempt,
  CollectionSnapshot,
  CollectionSummary,
  JobLogLine,
  JobSnapshot,
  JobSummary,
} from '../core/handle.ts'
import { mapByPages } from '../core/by-pages.ts'
import type { Runtime } from '../core/runtime.ts'
import type { AttemptRecord, JobDetail, JobRecord, LogLine, StoredResult } from '../core/job.ts'
import { assemble } from '../core/shape.ts'
import type { Inspection } from '../engine/inspect.ts'
import { readStored } from '../engine/stored.ts'

type Resolver = Pick<Inspection, 'resolve'>

/** As much of a collection as is told of it. */
export type ToldCollection = Omit<CollectionDetail, 'cursor' | 'shape'>

/** A job with its result, its history and its log. */
export async function snapshotOfJob<R>(store: Resolver, job: JobDetail): Promise<JobSnapshot<R>> {
  const result = job.state === 'succeeded' ? { result: await valueOf(store, job.result) } : {}
  const history = {
    attempts: job.attempts.map(attemptOf),
    log: job.log.map(logLineOf),
    ...present('omitted', job.omitted),
  }
  return { ...summaryOfJob(job), ...history, ...result } as JobSnapshot<R>
}

/** A collection with its jobs, in the order of the graph, and its result. Of many jobs some are told in each turn of the event loop. */
export async function snapshotOfCollection<R>(
  { engine, runtime }: { readonly engine: Resolver; readonly runtime: Runtime },
  collection: ToldCollection,
): Promise<CollectionSnapshot<R>> {
  const result = collection.state === 'succeeded' ? { result: await valueOf(engine, collection.result) } : {}
  const jobs = await mapByPages(runtime, collection.jobs, summaryOfJob)
  return {
    ...summaryOfCollection(collection),
    jobs,
    ...result,
  } as CollectionSnapshot<R>
}

/** A stored result as a value; undefined where the handler returned nothing. */
export async function valueOf(store: Resolver, stored: StoredResult | null): Promise<unknown> {
  if (!stored) return undefined
  const whole = isWhole(stored) ? stored : await store.resolve(stored)
  const text = 'json' in whole ? whole.json : assemble(whole.shape, whole.results ?? [])
  return text === null ? undefined : JSON.parse(text)
}

/** Did everything that this result refers to come along? */
export function isWhole(stored: StoredResult): boolean {
  return 'json' in stored || (stored.results !== null && stored.results.every(isWhole))
}

export function summaryOfJob(job: JobRecord): JobSummary {
  return {
    id: job.id,
    task: job.task,
    collectionId: job.collectionId,
    state: job.state,
    ...present('reason', job.reason),
    role: job.role,
    queue: job.queue,
    priority: job.priority,
    args: readStored<unknown[]>(job.args, []),
    ...present('parentId', job.parentId),
    after: job.after,
    ...present('afterCount', job.afterCount ?? null),
    attempt: job.attempt,
    failures: job.failures,
    round: job.round,
    ...present('progress', job.progress),
    ...present('failure', job.failure),
    ...present('failedJobId', job.failedJobId),
    ...present('shortened', job.shortened ?? null),
    ...present('actor', job.actor),
    ...present('description', job.description),
    tags: job.tags,
    ...present('worker', job.worker),
    createdAt: new Date(job.createdAt),
    ...presentDate('dueAt', job.dueAt),
    ...presentDate('startedAt', job.startedAt),
    ...presentDate('finishedAt', job.finishedAt),
    cancelling: job.cancelling,
    continued: job.continued,
  }
}

export function summaryOfCollection(collection: CollectionRecord): CollectionSummary {
  return {
    id: collection.id,
    state: collection.state,
    round: collection.round,
    ...present('description', collection.description),
    ...present('actor', collection.actor),
    tags: collection.tags,
    ...present('callbackUrl', collection.callback?.url ?? null),
    counts: collection.counts,
    progress: collection.progress,
    createdAt: new Date(collection.createdAt),
    ...presentDate('settledAt', collection.settledAt),
    cancelling: collection.cancelling,
    ...present('failure', collection.failure),
    ...present('failedJobId', collection.failedJobId),
  }
}

function attemptOf({ attempt, round, worker, startedAt, finishedAt, outcome, failure }: AttemptRecord): Attempt {
  return {
    attempt,
    round,
    ...present('worker', worker),
    startedAt: new Date(startedAt),
    ...presentDate('finishedAt', finishedAt),
    outcome,
    ...present('failure', failure),
  }
}

function logLineOf({ at, attempt, level, message, data }: LogLine): JobLogLine {
  return {
    at: new Date(at),
    attempt,
    level,
    message,
    ...(data === null ? {} : { data: readStored<unknown>(data, null) }),
  }
}

/** The property, or none of it: what is not there is absent from a snapshot rather than null. */
function present<K extends string, V>(key: K, value: V | null): { [key in K]?: V } {
  return (value === null ? {} : { [key]: value }) as { [key in K]?: V }
}

function presentDate<K extends string>(key: K, at: number | null): { [key in K]?: Date } {
  return present(key, at === null ? null : new Date(at))
}
