import type { Failure } from './failure.ts'
import type { RetryPolicy } from './job.ts'
import type { Outcome } from './outcome.ts'

/** An attempt that failed, and what decides whether the job is tried again. */
export interface FailedAttempt {
  readonly reason: 'failed' | 'timeout'
  readonly failure: Failure
  /** The job's policy; without one it is not tried again. */
  readonly policy: RetryPolicy | undefined
  /** Failures counted before this attempt, in this round. */
  readonly failures: number
  /** A number from 0 up to, not including, 1, for the jitter. */
  readonly random: number
  /** The task's own say, asked only while the limit allows another attempt. Only a worker has it. */
  readonly when?: ((failure: Failure) => boolean) | undefined
}

/** What a failed attempt comes to: tried again after a delay, or failed for good. A `when` that throws says no. */
export function decideFailure(attempt: FailedAttempt): Extract<Outcome, { type: 'retried' | 'failed' }> {
  const { policy, failures, failure, reason, random } = attempt
  if (policy && failures < policy.limit && isWanted(attempt)) {
    return { type: 'retried', failure, delay: retryDelay(policy, failures + 1, random) }
  }
  return { type: 'failed', reason, failure }
}

/** The shortest wait before a retry, in milliseconds: a job that fails at once must not take a worker for itself. */
export const shortestRetryDelay = 100

/**
 * The wait, in whole milliseconds, before the attempt that follows failure number `failures` (1, 2, 3 …):
 * `base · factor^(failures−1)`, at most `max`, and never less than `shortestRetryDelay`; with jitter drawn from its upper half
 * by `random` (0 up to 1).
 */
export function retryDelay(policy: RetryPolicy, failures: number, random: number): number {
  const full = policy.base === 0 ? 0 : Math.min(policy.max, policy.base * policy.factor ** (failures - 1))
  return Math.max(shortestRetryDelay, Math.round(policy.jitter ? full / 2 + (full / 2) * random : full))
}

function isWanted({ when, failure }: FailedAttempt): boolean {
  try {
    return when === undefined || when(failure)
  } catch {
    return false
  }
}
