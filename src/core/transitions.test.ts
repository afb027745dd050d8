import { describe, expect, it } from 'vitest'
import { type JobState, jobStates } from './job.ts'
import { finalStates, firstStates, isFinal, isLegal, transitions } from './transitions.ts'

/** The arrows of the picture, each with what makes a job take it. */
const arrows: readonly (readonly [from: JobState, to: JobState, why: string])[] = [
  ['waiting', 'queued', 'the barrier decided'],
  ['waiting', 'scheduled', 'the barrier decided, and the job is not due'],
  ['waiting', 'skipped', 'the barrier decided otherwise'],
  ['waiting', 'cancelled', 'it was marked, or the parked job was cancelled'],
  ['waiting', 'succeeded', 'parked: its canvas succeeded'],
  ['waiting', 'failed', 'parked: its canvas failed'],
  ['scheduled', 'queued', 'due'],
  ['scheduled', 'running', 'due and claimed at once'],
  ['queued', 'running', 'claim'],
  ['running', 'succeeded', 'settled'],
  ['running', 'failed', 'settled, timed out or poisoned'],
  ['running', 'cancelled', 'settled after a cancel'],
  ['running', 'waiting', 'continued as a canvas'],
  ['running', 'scheduled', 'retry, snooze'],
  ['running', 'queued', 'released, session lost'],
  ['queued', 'cancelled', 'cancel, expiry'],
  ['scheduled', 'cancelled', 'cancel, expiry'],
  ['queued', 'waiting', 'a side job, behind what is retried'],
  ['scheduled', 'waiting', 'a side job, behind what is retried'],
  ...finalStates.flatMap((state) => [
    [state, 'queued', 'retry'] as const,
    [state, 'waiting', 'retry, behind something that runs again'] as const,
  ]),
]

describe('the table of transitions', () => {
  it('has the arrows of the picture and no others', () => {
    const drawn = new Set(arrows.map(([from, to]) => `${from} → ${to}`))
    const tabled = jobStates.flatMap((from) => transitions[from].map((to) => `${from} → ${to}`))
    expect(new Set(tabled)).toEqual(drawn)
    expect(tabled).toHaveLength(drawn.size)
  })

  it('answers for every pair of states', () => {
    for (const from of jobStates) {
      for (const to of jobStates) {
        expect(isLegal(from, to)).toBe(arrows.some((arrow) => arrow[0] === from && arrow[1] === to))
      }
    }
  })

  it('lets only a retry lead out of a final state', () => {
    expect(jobStates.filter(isFinal)).toEqual(finalStates)
    for (const state of finalStates) expect(transitions[state]).toEqual(['queued', 'waiting'])
  })

  it('leads to every state from those a job begins in, without a retry', () => {
    const reached = new Set<JobState>(firstStates)
    for (const state of reached) if (!isFinal(state)) for (const next of transitions[state]) reached.add(next)
    expect(reached).toEqual(new Set(jobStates))
  })
})
