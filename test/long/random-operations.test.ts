import { describe, test } from 'vitest'
import { engines } from '../engines.ts'
import { checkRandomOperations } from '../model/random-operations.ts'

describe.each(engines)('engine $name', ({ place }) => {
  test('10,000 sequences of any operations in any order', { timeout: 1_200_000 }, async () => {
    await checkRandomOperations(place, 10_000)
  })
})
