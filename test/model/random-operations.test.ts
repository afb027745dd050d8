import { describe, test } from 'vitest'
import { engines } from '../engines.ts'
import { checkRandomOperations } from './random-operations.ts'

describe.each(engines)('engine $name', ({ place }) => {
  test('any operations in any order leave a history that keeps to the rules', { timeout: 120_000 }, async () => {
    await checkRandomOperations(place, 300)
  })
})
