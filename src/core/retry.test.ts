import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Failure } from './failure.ts'
import { decideFailure, retryDelay } from './retry.ts'

const failure: Failure = { name: 'Error', message: 'no', attempt: 3, at: '2026-03-01T12:00:00.000Z' }
const policy = { limit: 3, base: 1000, factor: 2, max: 60_000, jitter: false }
const attempt = { reason: 'failed', failure, policy, failures: 0, random: 0.5 } as const

describe('retryDelay', () => {
  it('grows by the factor from the base to the most', () => {
    const delays = [1, 2, 3, 4, 5, 6, 7, 8, 5000].map((failures) => retryDelay(policy, failures, 0.9))
    expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000])
  })

  it('waits a tenth of a second from a base of nothing, after any number of failures', () => {
    expect([1, 2, 5000].map((failures) => retryDelay({ ...policy, base: 0 }, failures, 0.9))).toEqual([100, 100, 100])
    expect(retryDelay({ ...policy, base: 1, max: 20, jitter: true }, 9, 0.9)).toBe(100)
  })

  it('draws from the upper half with jitter', () => {
    const jittered = { ...policy, jitter: true }
    expect([0, 0.5, 0.999_999].map((random) => retryDelay(jittered, 2, random))).toEqual([1000, 1500, 2000])
  })

  it('is a whole number within its bounds for any policy', () => {
    const anyPolicy = fc.record({
      limit: fc.nat(),
      base: fc.nat(3_155_760_000_000),
      factor: fc.double({ min: 1, max: 1000, noNaN: true }),
      max: fc.nat(3_155_760_000_000),
      jitter: fc.boolean(),
    })
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(anyPolicy, fc.integer({ min: 1, max: 1_000_000 }), random, (any, failures, drawn) => {
        const delay = retryDelay(any, failures, drawn)
        expect(Number.isSafeInteger(delay)).toBe(true)
        expect(delay).toBeGreaterThanOrEqual(Math.floor(Math.min(any.base, any.max) / 2))
        expect(delay).toBeLessThanOrEqual(Math.max(100, any.max))
      }),
    )
  })
})

describe('decideFailure', () => {
  it('tries again as often as the limit says, and then fails for the reason', () => {
    const outcomes = [0, 1, 2, 3, 4].map((failures) => decideFailure({ ...attempt, reason: 'timeout', failures }))
    expect(outcomes.map(({ type }) => type)).toEqual(['retried', 'retried', 'retried', 'failed', 'failed'])
    expect(outcomes[1]).toEqual({ type: 'retried', failure, delay: 2000 })
    expect(outcomes[3]).toEqual({ type: 'failed', reason: 'timeout', failure })
  })

  it('does not try again without a policy', () => {
    expect(decideFailure({ ...attempt, policy: undefined })).toEqual({ type: 'failed', reason: 'failed', failure })
  })

  it('asks the task, while there is something to decide', () => {
    const asked: Failure[] = []
    const when = (told: Failure): boolean => asked.push(told) > 1
    expect(decideFailure({ ...attempt, when }).type).toBe('failed')
    expect(decideFailure({ ...attempt, when }).type).toBe('retried')
    expect(decideFailure({ ...attempt, failures: 3, when }).type).toBe('failed')
    expect(asked).toEqual([failure, failure])
  })

  it('takes a task that throws when asked for a no', () => {
    const when = (): boolean => {
      throw new Error('bad predicate')
    }
    expect(decideFailure({ ...attempt, when })).toEqual({ type: 'failed', reason: 'failed', failure })
  })
})
