import type { FinalState, JobState } from './job.ts'

/** The states a job may be stored in at first: `skipped` and `cancelled` where what it stands behind is already decided. */
export const firstStates: readonly JobState[] = ['waiting', 'scheduled', 'queued', 'skipped', 'cancelled']

export const finalStates: readonly FinalState[] = ['succeeded', 'failed', 'cancelled', 'skipped']

/**
 * From each state, the states that a job may be in next.
 *
 * ```
 * waiting ──barrier decides──▶ queued | scheduled | skipped | cancelled (marked)
 * queued ──claim──▶ running ──▶ succeeded | failed | cancelled
 *                      ├── continued as a canvas ──▶ waiting (parked) ──▶ succeeded | failed | cancelled
 *                      ├── retry, snooze ──▶ scheduled ──due──▶ queued, or claimed at once
 *                      └── released, session lost ──▶ queued
 * queued, scheduled ──cancel, expiry──▶ cancelled          any final state ──retry──▶ queued | waiting
 * queued, scheduled, running ──a side job, and what it hangs on is retried──▶ waiting
 * ```
 */
export const transitions: Readonly<Record<JobState, readonly JobState[]>> = {
  waiting: ['queued', 'scheduled', 'skipped', 'succeeded', 'failed', 'cancelled'],
  scheduled: ['queued', 'running', 'cancelled', 'waiting'],
  queued: ['running', 'cancelled', 'waiting'],
  running: ['succeeded', 'failed', 'cancelled', 'waiting', 'scheduled', 'queued'],
  succeeded: ['queued', 'waiting'],
  failed: ['queued', 'waiting'],
  cancelled: ['queued', 'waiting'],
  skipped: ['queued', 'waiting'],
}

/** May a job in state `from` be in state `to` next? A job that stays where it is makes no transition. */
export function isLegal(from: JobState, to: JobState): boolean {
  return transitions[from].includes(to)
}

/** Is this a state that only a retry leads out of? */
export function isFinal(state: JobState): state is FinalState {
  return (finalStates as readonly JobState[]).includes(state)
}
