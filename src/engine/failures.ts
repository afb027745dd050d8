import type { Failure, FailureReason } from '../core/failure.ts'
import { reasonName, state } from './codes.ts'
import { storedFailure } from './stored.ts'
import type { ReportRecord } from './work.ts'

/** What a store keeps of a job that failed or was cancelled. */
export interface StoredEnd {
  readonly id: string
  readonly task: string
  readonly state: number
  readonly reason: number | null
  /** Its own last failure, as JSON, if it had one. */
  readonly failure: string | null
  readonly attempt: number
  readonly finishedAt: number | null
}

export interface FoundFailure {
  readonly jobId: string
  readonly task: string
  readonly reason: FailureReason
  readonly failure: Failure
}

/** The failure of a job that failed or was cancelled, alike on every engine. */
export function failureIn(job: StoredEnd): FoundFailure {
  const why = (reasonName(job.reason) ?? 'failed') as string
  const isCancelled = why === 'fail-fast' || why === 'upstream' || why === 'not-needed'
  return {
    jobId: job.id,
    task: job.task,
    reason: isCancelled ? 'cancelled' : (why as FailureReason),
    failure: ownFailure(job, why),
  }
}

const sentences: Readonly<Record<string, string>> = {
  cancelled: 'It was cancelled.',
  expired: 'It expired before it could start.',
  'fail-fast': 'It was cancelled because another member of its group did not succeed.',
}

/** A job that was cancelled has no failure of its own to tell: it is put into words here. A retry's earlier one does not count. */
function ownFailure(job: StoredEnd, why: string): Failure {
  const said = sentences[why]
  const own = said === undefined || job.state !== state.cancelled ? storedFailure(job.failure) : null
  if (own !== null) return own
  const at = new Date(job.finishedAt ?? 0).toISOString()
  const name =
    why === 'expired' ? 'JobExpired' : why === 'cancelled' || why === 'fail-fast' ? 'JobCancelled' : 'JobFailed'
  return { name, message: said ?? 'It failed.', attempt: job.attempt, at }
}

/** What a side job for a failure is told: of whose it is, where that job is still stored. */
export function reportOf(found: FoundFailure | null, collection: string, now: number): ReportRecord {
  if (found !== null) {
    const { jobId, task, reason, failure } = found
    return { job: jobId, task, collection, reason, failure }
  }
  const message = 'The job that failed is no longer stored.'
  const failure = { name: 'JobFailed', message, attempt: 0, at: new Date(now).toISOString() }
  return { job: '', task: '', collection: '', reason: 'failed', failure }
}
