import { expect, it } from 'vitest'
import { formatAge } from './age.ts'

it.each([
  [-5, '0s'],
  [59_999, '59s'],
  [60_000, '1m'],
  [7_199_999, '1h'],
  [86_400_000 * 14, '14d'],
])('%d ms ago is %s', (ms, text) => {
  expect(formatAge(ms)).toBe(text)
})
