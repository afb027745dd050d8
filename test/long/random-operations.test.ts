import { test } from 'vitest'
import { describeEngines } from '../fixtures/store.ts'
import { checkRandomOperations } from '../model/random-operations.ts'

describeEngines(({ place, pace }) => {
  test(`${10_000 * pace} sequences of any operations in any order`, { timeout: 1_200_000 }, async () => {
    await checkRandomOperations(place, 10_000 * pace)
  })
})
