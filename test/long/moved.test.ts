import { describe, test } from 'vitest'
import { engines } from '../engines.ts'
import { describeEngines } from '../fixtures/store.ts'
import { checkMoved } from '../model/moved.ts'

describeEngines((from) => {
  for (const to of engines) {
    describe.skipIf(to.missing !== null)(`to ${to.name}`, () => {
      test('200 stores that are copied half-way go on as such that stayed', { timeout: 1_200_000 }, async () => {
        await checkMoved(from, to, 200)
      })
    })
  }
})
