import { test } from 'vitest'
import { describeEngines } from '../fixtures/store.ts'
import { failAtEach, scenarios } from './crash-points.ts'

describeEngines((engine) => {
  for (const name of Object.keys(scenarios)) {
    for (const fault of ['before', 'after'] as const) {
      test(`${name}: any call fails ${fault === 'before' ? 'before it arrives' : 'after it was done'}`, async () => {
        await failAtEach(engine, name, fault, Math.round(2 / engine.pace))
      })
    }
  }
})
