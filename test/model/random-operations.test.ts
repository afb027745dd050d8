import { test } from 'vitest'
import { describeEngines } from '../fixtures/store.ts'
import { checkRandomOperations } from './random-operations.ts'

describeEngines(({ place, pace }) => {
  test('any operations in any order leave a history that keeps to the rules', { timeout: 120_000 }, async () => {
    await checkRandomOperations(place, 300 * pace)
  })
})
