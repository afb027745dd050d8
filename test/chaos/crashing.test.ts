import { test } from 'vitest'
import { describeEngines } from '../fixtures/store.ts'
import { dieAtEach } from './crashing.ts'

describeEngines((engine) => {
  for (const fault of ['before', 'after'] as const)
    test.concurrent(`the process dies at any of its calls, ${fault} it is done`, async () => {
      await dieAtEach(engine, fault, Math.round(2 / engine.pace))
    })
})
