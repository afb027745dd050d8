import { describe, expect, it } from 'vitest'
import { readArguments } from './arguments.ts'

describe('readArguments', () => {
  it('reads JSON, and takes plain words as texts', () => {
    const texts = ['World', '2', '-1.5', 'true', 'null', '"2"', '{"a":[1]}', '[]', '', 'a b', '007', "it's"]
    const values = ['World', 2, -1.5, true, null, '2', { a: [1] }, [], '', 'a b', '007', "it's"]
    expect(readArguments(texts)).toEqual(values)
  })

  it.each(['{a:1}', '[1,', '"open', ' {'])('refuses %s, which is JSON with a mistake in it', (text) => {
    expect(() => readArguments(['1', text])).toThrow(/^Argument 2 is not JSON: /)
  })
})
