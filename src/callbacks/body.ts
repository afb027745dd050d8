import type { SettledState } from '../core/collection.ts'
import type { Failure } from '../core/failure.ts'
import type { CollectionSummary, JobSummary } from '../core/handle.ts'
import { type JobState, jobStates } from '../core/job.ts'
import { utf8Length } from '../core/text.ts'
import type { CallbackPayload, SentFailure, SettledCollection, SettledJob } from './payload.ts'

/** The most bytes of a body. */
export const bodyLimit = 1024 * 1024

/** Something that may be there, and is nothing where a handler returned nothing. */
interface Result {
  readonly value: unknown
}

/**
 * The body of a callback, filled up to a limit in the order of what is missed most: what became of the collection, its
 * result, its jobs, their results.
 */
export class Body {
  readonly #collection: Omit<SettledCollection, 'jobs'>
  readonly #jobs: SettledJob[] = []
  readonly #results = new Map<string, unknown>()
  #result: Result | null = null
  #left: number
  #isTruncated = false

  /** @param jobs all of the collection's, in order */
  constructor(collection: CollectionSummary, jobs: readonly JobSummary[], result: Result | null, limit = bodyLimit) {
    const told = jobs.filter(({ role }) => role !== 'callback')
    this.#collection = collectionFields(collection, told)
    this.#left = limit - sizeOf(payloadOf({ ...this.#collection, truncated: true, jobs: [] }))
    if (result !== null && this.#take(sizeOf({ result: result.value }))) this.#result = result
    for (const job of told) if (!this.#addJob(job)) break
  }

  /** The jobs whose results are still to be added, in order. */
  get awaiting(): readonly string[] {
    return this.#jobs.filter(({ state, id }) => state === 'succeeded' && !this.#results.has(id)).map(({ id }) => id)
  }

  /** False where it does not fit: then no other is to follow. */
  addResult(jobId: string, result: Result): boolean {
    if (!this.#take(sizeOf({ result: result.value }))) return false
    this.#results.set(jobId, result.value)
    return true
  }

  /** Says that something is left out. */
  truncate(): void {
    this.#isTruncated = true
  }

  toString(): string {
    const jobs = this.#jobs.map((job) => ({ ...job, ...withValue(this.#results.get(job.id)) }))
    const truncated = this.#isTruncated ? { truncated: true as const } : {}
    return JSON.stringify(payloadOf({ ...this.#collection, ...withValue(this.#result?.value), jobs, ...truncated }))
  }

  #addJob(job: JobSummary): boolean {
    const fields = jobFields(job)
    const fits = this.#take(sizeOf(fields) + 1)
    if (fits) this.#jobs.push(fields)
    return fits
  }

  #take(bytes: number): boolean {
    const fits = bytes <= this.#left
    if (fits) this.#left -= bytes
    else this.truncate()
    return fits
  }
}

const sizeOf = (value: unknown): number => utf8Length(JSON.stringify(value))

const withValue = (value: unknown): { readonly result?: unknown } => (value === undefined ? {} : { result: value })

function payloadOf(data: SettledCollection): CallbackPayload {
  return { type: 'collection.settled', timestamp: data.settled_at, data }
}

function collectionFields(
  collection: CollectionSummary,
  jobs: readonly JobSummary[],
): Omit<SettledCollection, 'jobs' | 'result' | 'truncated'> {
  const { id, state, round, description, actor, tags, progress, createdAt, settledAt, failure, failedJobId } =
    collection
  return {
    id,
    state: state as SettledState,
    round,
    ...(description !== undefined && { description }),
    ...(actor && { actor }),
    tags,
    counts: countsOf(jobs),
    progress,
    created_at: createdAt.toISOString(),
    settled_at: (settledAt ?? createdAt).toISOString(),
    ...(failure && { failure: failureFields(failure) }),
    ...(failedJobId !== undefined && { failed_job_id: failedJobId }),
  }
}

function jobFields(job: JobSummary): SettledJob {
  const { id, task, state, reason, role, queue, parentId, attempt, failures, round, failure, failedJobId } = job
  const { description, tags, createdAt, startedAt, finishedAt } = job
  return {
    id,
    task,
    state,
    ...(reason && { reason }),
    role,
    queue,
    ...(parentId !== undefined && { parent_id: parentId }),
    attempt,
    failures,
    round,
    ...(failure && { failure: failureFields(failure) }),
    ...(failedJobId !== undefined && { failed_job_id: failedJobId }),
    ...(description !== undefined && { description }),
    tags,
    created_at: createdAt.toISOString(),
    ...(startedAt && { started_at: startedAt.toISOString() }),
    ...(finishedAt && { finished_at: finishedAt.toISOString() }),
  }
}

function failureFields({ name, message, cause, attempt, at }: Failure): SentFailure {
  return { name, message, ...(cause && { cause: failureFields(cause) }), attempt, at }
}

/** Jobs not needed are left out, as everywhere. */
function countsOf(jobs: readonly JobSummary[]): SettledCollection['counts'] {
  const counts = Object.fromEntries(jobStates.map((state) => [state, 0])) as Record<JobState, number>
  for (const { state, reason } of jobs) if (reason !== 'not-needed') counts[state]++
  return counts
}
