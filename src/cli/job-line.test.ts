import { describe, expect, it } from 'vitest'
import { jobSummary, later } from '../../test/fixtures/snapshots.ts'
import { durationOf } from './job-line.ts'

describe('durationOf', () => {
  const startedAt = later(0)
  it.each([
    ['running', undefined, 5_000],
    ['succeeded', later(40), 40],
    // It was given back, or waits for another attempt: nothing takes any time now.
    ['queued', undefined, null],
    ['scheduled', undefined, null],
  ] as const)('of a job that is %s', (state, finishedAt, took) => {
    const job = jobSummary({ id: 'x', state, startedAt, ...(finishedAt && { finishedAt }) })
    expect(durationOf(job, later(5_000).getTime())).toBe(took)
  })
})
