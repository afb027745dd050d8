import { expect, it } from 'vitest'
import { formatAge, formatDuration } from './duration.ts'

it.each([
  [-5, '0ms'],
  [12.4, '12ms'],
  [999, '999ms'],
  [1_340, '1.3s'],
  [9_990, '9.9s'],
  [10_000, '10s'],
  [59_900, '59s'],
  [60_000, '1m 00s'],
  [192_000, '3m 12s'],
  [3_599_700, '59m 59s'],
  [7_500_000, '2h 05m'],
  [86_399_999, '23h 59m'],
  [273_600_000, '3d 4h'],
  [86_400_000 * 400, '400d'],
])('%d ms took %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})

it.each([
  [-5, '0s'],
  [59_999, '59s'],
  [60_000, '1m'],
  [7_199_999, '1h'],
  [86_400_000 * 14, '14d'],
])('%d ms ago is %s', (ms, text) => {
  expect(formatAge(ms)).toBe(text)
})
