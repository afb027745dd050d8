import type { CollectionDetail } from '../core/collection.ts'
import { type CeleriacError, JobCancelled, JobFailed, JobSkipped } from '../core/errors.ts'
import type { Failure, FailureReason } from '../core/failure.ts'
import type { JobDetail, JobRecord } from '../core/job.ts'
import type { Inspection } from '../engine/inspect.ts'
import { valueOf } from './snapshots.ts'

type Store = Pick<Inspection, 'resolve' | 'job'>

/** What `result()` of a job that is final gives. Throws JobFailed, JobCancelled or JobSkipped. */
export async function resultOfJob(store: Store, job: JobDetail): Promise<unknown> {
  if (job.state === 'succeeded') return valueOf(store, job.result)
  const first = await findFirst(store, job.failedJobId, job)
  const about = { failure: job.failure ?? undefined, jobId: first?.id ?? job.id, reason: reasonOf(first ?? job) }
  if (job.state === 'skipped') throw new JobSkipped(skippedMessage(job, first), about)
  throw first && first.id !== job.id
    ? endError(job, about, `${named(job)} ${verb(job)}: ${told(first)}`)
    : endError(job, about, told(job))
}

/** What `result()` of a collection that has settled gives. Throws JobFailed or JobCancelled. */
export async function resultOfCollection(store: Store, collection: CollectionDetail): Promise<unknown> {
  if (collection.state === 'succeeded') return valueOf(store, collection.result)
  const first = await findFirst(store, collection.failedJobId)
  const failure = collection.failure ?? undefined
  const about = { failure, jobId: first?.id ?? collection.id, reason: first ? reasonOf(first) : 'cancelled' } as const
  const isPlain = !first || (collection.state === 'cancelled' && !failure)
  throw endError(collection, about, isPlain ? `Collection ${collection.id} was cancelled.` : told(first))
}

interface About {
  readonly failure: Failure | undefined
  readonly jobId: string
  readonly reason: FailureReason
}

function endError(ended: { readonly state: string }, { failure, ...about }: About, message: string): CeleriacError {
  return ended.state === 'failed' && failure
    ? new JobFailed(message, { ...about, failure })
    : new JobCancelled(message, { ...about, failure })
}

/** The job whose failure it is. It may be gone: a retry of everything removes what continued before. */
async function findFirst(store: Store, id: string | null, known?: JobRecord): Promise<JobRecord | undefined> {
  if (id === null || id === known?.id) return known
  return (await store.job(id)) ?? undefined
}

function reasonOf({ reason }: JobRecord): FailureReason {
  if (reason === 'timeout' || reason === 'poisoned' || reason === 'expired') return reason
  return reason === 'cancelled' || reason === 'fail-fast' ? 'cancelled' : 'failed'
}

function skippedMessage(job: JobRecord, first: JobRecord | undefined): string {
  if (job.reason === 'not-needed') return `${named(job)} was not needed, so it never ran.`
  return first && first.id !== job.id ? `${named(job)} was skipped: ${told(first)}` : `${named(job)} was skipped.`
}

const named = (job: JobRecord): string => `Job ${job.task} (${job.id})`

function verb({ state, reason }: JobRecord): string {
  if (reason === 'timeout') return 'timed out'
  if (reason === 'expired') return 'expired before it started'
  if (reason === 'fail-fast') return 'was cancelled, because another job of its group failed'
  return state === 'cancelled' ? 'was cancelled' : 'failed'
}

/** `Job images.resize (0198…) failed: Error: no such file`. The failure of a cancelled job says no more than the verb. */
function told(job: JobRecord): string {
  return job.failure && job.state !== 'cancelled'
    ? `${named(job)} ${verb(job)}: ${job.failure.name}: ${job.failure.message}`
    : `${named(job)} ${verb(job)}.`
}
