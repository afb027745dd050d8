import { test } from 'vitest'
import { describeEngines } from '../fixtures/store.ts'
import { checkRandomOperations } from '../model/random-operations.ts'

describeEngines(({ place }) => {
  test('10,000 sequences of any operations in any order', { timeout: 1_200_000 }, async () => {
    await checkRandomOperations(place, 10_000)
  })
})
