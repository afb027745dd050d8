import { describe, test } from 'vitest'
import { engines } from '../engines.ts'
import { describeEngines } from '../fixtures/store.ts'
import { checkMoved } from './moved.ts'

describeEngines((from) => {
  for (const to of engines) {
    describe.skipIf(to.missing !== null)(`to ${to.name}`, () => {
      test('what is copied half-way goes on as what stayed', { timeout: 120_000 }, async () => {
        await checkMoved(from, to, from.name === 'sqlite' && to.name === 'sqlite' ? 40 : 5)
      })
    })
  }
})
