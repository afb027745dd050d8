import type { Failure } from '../core/failure.ts'
import type { Graph } from '../core/graph.ts'
import type { RetryPolicy } from '../core/job.ts'
import type { Outcome } from '../core/outcome.ts'
import { decideFailure, retryDelay } from '../core/retry.ts'
import type { AbortCause } from './attempt.ts'

/** How an attempt ended in the worker, before anything is decided. */
export type Ending =
  | { readonly type: 'returned'; readonly result: string | null }
  | { readonly type: 'continued'; readonly graph: Graph }
  | { readonly type: 'threw'; readonly failure: Failure }
  /** Another attempt would end the same way: a result that JSON cannot carry, an input that does not fit. */
  | { readonly type: 'unusable'; readonly failure: Failure }
  | { readonly type: 'timed-out'; readonly failure: Failure }
  /** `throw currentJob().retry(…)`; a delay of null leaves it to the policy. */
  | { readonly type: 'retry'; readonly failure: Failure; readonly delay: number | null }
  | { readonly type: 'snooze'; readonly delay: number }
  /** The handler was not called: the task is not known here, or its input could not be read now. */
  | { readonly type: 'put-back'; readonly delay: number }

export interface Circumstances {
  readonly policy: RetryPolicy | undefined
  readonly when: ((failure: Failure) => boolean) | undefined
  /** Failures counted before this attempt, in this round. */
  readonly failures: number
  readonly abortedFor: AbortCause | null
  /** A number from 0 up to, not including, 1. */
  readonly random: number
}

/** What `retry()` goes by in a job without a policy of its own. */
export const policyOfRequest: RetryPolicy = { limit: 3, base: 1_000, factor: 2, max: 3_600_000, jitter: true }

/** What an attempt comes to. */
export function decideOutcome(ending: Ending, circumstances: Circumstances): Outcome {
  // Whatever came of it, it was cancelled: the store would say so too.
  if (circumstances.abortedFor === 'cancel') return { type: 'cancelled' }
  switch (ending.type) {
    case 'returned':
      return { type: 'succeeded', result: ending.result }
    case 'continued':
      return { type: 'continued', graph: ending.graph }
    case 'threw':
      // It was told to stop and did: that is no failure.
      if (circumstances.abortedFor === 'stop') return { type: 'released', started: true, delay: 0 }
      return decideFailure({ ...circumstances, reason: 'failed', failure: ending.failure })
    case 'timed-out':
      return decideFailure({ ...circumstances, reason: 'timeout', failure: ending.failure })
    case 'unusable':
      return { type: 'failed', reason: 'failed', failure: ending.failure }
    case 'retry':
      return decideRequest(ending.failure, ending.delay, circumstances)
    case 'snooze':
      return { type: 'snoozed', delay: ending.delay }
    case 'put-back':
      return { type: 'released', started: false, delay: ending.delay }
  }
}

/** The handler asked for it, so `when` is not consulted; the limit stands. */
function decideRequest(failure: Failure, delay: number | null, { policy, failures, random }: Circumstances): Outcome {
  const terms = policy ?? policyOfRequest
  if (failures >= terms.limit) return { type: 'failed', reason: 'failed', failure }
  return { type: 'retried', failure, delay: delay ?? retryDelay(terms, failures + 1, random) }
}
