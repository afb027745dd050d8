import { describe, expect, it } from 'vitest'
import { didYouMean } from './misspelling.ts'

const known = ['queue', 'priority', 'startIn', 'startAt', 'expires', 'retry', 'timeout', 'tags']

describe('didYouMean', () => {
  it.each([
    ['priorty', 'priority'],
    ['pirority', 'priority'],
    ['Priority', 'priority'],
    ['timeOut', 'timeout'],
    ['timout', 'timeout'],
    ['startat', 'startAt'],
    ['startIm', 'startIn'],
    ['queu', 'queue'],
    ['qeuue', 'queue'],
    ['tag', 'tags'],
    ['expire', 'expires'],
  ])('takes %s for %s', (word, meant) => {
    expect(didYouMean(word, known)).toBe(`: did you mean "${meant}"?`)
  })

  it.each(['', 'x', 'attempts', 'delay', 'constructor', 'x'.repeat(100_000)])('makes nothing of %.10s', (word) => {
    expect(didYouMean(word, known)).toBe('')
  })

  it('takes the nearest of several, and the first of those equally near', () => {
    expect(didYouMean('math.ad', ['math.mul', 'math.adds', 'math.add'])).toBe(': did you mean "math.add"?')
    expect(didYouMean('startI', ['startIn', 'startIt'])).toBe(': did you mean "startIn"?')
  })
})
