import { expect, test } from 'vitest'
import type { Failure } from '../core/failure.ts'
import { type Circumstances, decideOutcome, type Ending } from './outcome.ts'

const failure: Failure = { name: 'Error', message: 'Expected', attempt: 1, at: '2026-01-01T00:00:00.000Z' }
const plain: Circumstances = { policy: undefined, when: undefined, failures: 0, abortedFor: null, random: 0 }
const policy = { limit: 2, base: 100, factor: 3, max: 500, jitter: false }
const threw: Ending = { type: 'threw', failure }

test('what was returned is stored, nothing as null', () => {
  expect(decideOutcome({ type: 'returned', result: '4' }, plain)).toEqual({ type: 'succeeded', result: '4' })
  expect(decideOutcome({ type: 'returned', result: null }, plain)).toEqual({ type: 'succeeded', result: null })
})

test('without a policy what threw is not tried again', () => {
  expect(decideOutcome(threw, plain)).toEqual({ type: 'failed', reason: 'failed', failure })
})

test('a policy tries again up to its limit, later each time', () => {
  const outcomes = [0, 1, 2].map((failures) => decideOutcome(threw, { ...plain, policy, failures }))
  expect(outcomes).toEqual([
    { type: 'retried', failure, delay: 100 },
    { type: 'retried', failure, delay: 300 },
    { type: 'failed', reason: 'failed', failure },
  ])
})

test('a failure that the task does not want tried again is final', () => {
  const when = ({ message }: Failure): boolean => message !== 'Expected'
  expect(decideOutcome(threw, { ...plain, policy, when })).toMatchObject({ type: 'failed' })
})

test('what another attempt would meet again is final, whatever the policy', () => {
  expect(decideOutcome({ type: 'unusable', failure }, { ...plain, policy })).toMatchObject({ type: 'failed' })
})

test('a time-out is told as one, and tried again by the policy', () => {
  const ending: Ending = { type: 'timed-out', failure }
  expect(decideOutcome(ending, { ...plain, abortedFor: 'timeout' })).toMatchObject({
    type: 'failed',
    reason: 'timeout',
  })
  expect(decideOutcome(ending, { ...plain, policy, abortedFor: 'timeout' })).toMatchObject({ type: 'retried' })
})

test('retry() without a policy is granted three times', () => {
  const types = [0, 1, 2, 3].map(
    (failures) => decideOutcome({ type: 'retry', failure, delay: 7 }, { ...plain, failures }).type,
  )
  expect(types).toEqual(['retried', 'retried', 'retried', 'failed'])
})

test("retry() goes by the limit and the backoff of the job's policy, and does not ask when", () => {
  const circumstances = { ...plain, policy, when: () => false }
  const ask = (failures: number, delay: number | null): unknown =>
    decideOutcome({ type: 'retry', failure, delay }, { ...circumstances, failures })
  expect(ask(1, null)).toEqual({ type: 'retried', failure, delay: 300 })
  expect(ask(1, 7)).toEqual({ type: 'retried', failure, delay: 7 })
  expect(ask(2, 7)).toMatchObject({ type: 'failed' })
})

test('snooze() puts off however many failures there were', () => {
  expect(decideOutcome({ type: 'snooze', delay: 9 }, { ...plain, failures: 99 })).toEqual({ type: 'snoozed', delay: 9 })
})

test('a job that was not begun is given back with its attempt', () => {
  expect(decideOutcome({ type: 'put-back', delay: 5 }, plain)).toEqual({ type: 'released', started: false, delay: 5 })
})

test('whatever comes after a cancel is a cancel', () => {
  const circumstances: Circumstances = { ...plain, policy, abortedFor: 'cancel' }
  const endings: Ending[] = [threw, { type: 'returned', result: '1' }, { type: 'snooze', delay: 1 }]
  expect(endings.map((ending) => decideOutcome(ending, circumstances).type)).toEqual(Array(3).fill('cancelled'))
})

test('a handler that stops because the worker does has not failed, one that still returns has succeeded', () => {
  const circumstances: Circumstances = { ...plain, policy, abortedFor: 'stop' }
  expect(decideOutcome(threw, circumstances)).toEqual({ type: 'released', started: true, delay: 0 })
  expect(decideOutcome({ type: 'returned', result: '1' }, circumstances)).toMatchObject({ type: 'succeeded' })
})
