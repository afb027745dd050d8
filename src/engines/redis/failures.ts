import type { Failure, FailureReason } from '../../core/failure.ts'
import { reasonName, state } from './codes.ts'
import type { JobRow, Standing } from './rows.ts'

export interface FoundFailure {
  readonly jobId: string
  readonly task: string
  readonly reason: FailureReason
  readonly failure: Failure
}

/**
 * The failure of a job that failed or was cancelled.
 *
 * @param text its own last failure (`f:<n>`), if it had one
 */
export function failureIn(job: JobRow, standing: Standing, text: string | null): FoundFailure {
  const why = (reasonName(standing.reason) ?? 'failed') as string
  const known: FailureReason =
    why === 'fail-fast' || why === 'upstream' || why === 'not-needed' ? 'cancelled' : (why as FailureReason)
  return { jobId: job.id, task: job.task, reason: known, failure: ownFailure(standing, text, why) }
}

const sentences: Readonly<Record<string, string>> = {
  cancelled: 'It was cancelled.',
  expired: 'It expired before it could start.',
  'fail-fast': 'It was cancelled because another member of its group did not succeed.',
}

/** A job that was cancelled has no failure of its own to tell: it is put into words here. A retry's earlier one does not count. */
function ownFailure(standing: Standing, text: string | null, why: string): Failure {
  const said = sentences[why]
  if (text !== null && (said === undefined || standing.state !== state.cancelled)) return JSON.parse(text) as Failure
  const at = new Date(standing.finishedAt ?? 0).toISOString()
  const name =
    why === 'expired' ? 'JobExpired' : why === 'cancelled' || why === 'fail-fast' ? 'JobCancelled' : 'JobFailed'
  return { name, message: said ?? 'It failed.', attempt: standing.attempt, at }
}
