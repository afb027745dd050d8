import type { CollectionState } from '../core/collection.ts'
import { collectionStates } from '../core/collection.ts'
import type { When } from '../core/graph.ts'
import type { AttemptOutcome, JobState, Reason, Role } from '../core/job.ts'
import { attemptOutcomes, jobStates } from '../core/job.ts'

/** How words are stored: as small whole numbers, for ever the same. */
export const state = {
  waiting: 0,
  scheduled: 1,
  queued: 2,
  running: 3,
  succeeded: 4,
  failed: 5,
  cancelled: 6,
  skipped: 7,
} as const
export const stateName = (code: number): JobState => jobStates[code] as JobState

export const collectionState = { running: 0, succeeded: 1, failed: 2, cancelled: 3 } as const
export const collectionStateName = (code: number): CollectionState => collectionStates[code] as CollectionState

/** What a collection settles as when the job that it consists of ends in this state. */
export const settling = (code: number): number => Math.min(code - 3, collectionState.cancelled)

export const decided = { no: 0, success: 1, failure: 2 } as const

const roles: readonly Role[] = ['main', 'side', 'callback']
export const role = { main: 0, side: 1, callback: 2 } as const
export const roleCode = (name: Role): number => roles.indexOf(name)
export const roleName = (code: number): Role => roles[code] as Role

const whens: readonly When[] = ['success', 'failure', 'always']
export const when = { success: 0, failure: 1, always: 2 } as const
export const whenCode = (name: When): number => whens.indexOf(name)

const reasons: readonly Reason[] = [
  'failed',
  'timeout',
  'poisoned',
  'cancelled',
  'expired',
  'fail-fast',
  'upstream',
  'not-needed',
]
export const reason = {
  failed: 0,
  timeout: 1,
  poisoned: 2,
  cancelled: 3,
  expired: 4,
  failFast: 5,
  upstream: 6,
  notNeeded: 7,
} as const
export const reasonCode = (name: Reason): number => reasons.indexOf(name)
export const reasonName = (code: number | null): Reason | null => (code === null ? null : (reasons[code] as Reason))

// Stored by their places: what is added is added at the end.
export const attemptOutcomeCode = (name: AttemptOutcome): number => attemptOutcomes.indexOf(name)
export const attemptOutcomeName = (code: number): AttemptOutcome => attemptOutcomes[code] as AttemptOutcome

/** Parts of a large change that are done later, from the persisted list. */
export const work = {
  release: 0,
  cancel: 1,
  cancelScope: 2,
  cancelInside: 3,
  reset: 4,
  restart: 5,
  remove: 6,
  /** A collection that did not succeed: whether a job of it failed. */
  settle: 7,
  /** All barriers of a collection count from the beginning. */
  reopen: 8,
  /** Those that nothing feeds decide. */
  decide: 9,
  /** A barrier that failed: the cause is looked for among its inputs, and then it decides. */
  cause: 10,
} as const
