import { test } from 'vitest'
import { engines, type EngineUnderTest } from '../engines.ts'
import { describeEngines } from '../fixtures/store.ts'
import { checkSameHistory } from './same-history.ts'

const [first] = engines as [EngineUnderTest]

describeEngines((engine) => {
  test(
    `the same operations get the same answers and leave the same history as on ${first.name}`,
    {
      timeout: 120_000,
    },
    async () => {
      await checkSameHistory(first.place, engine.place, 100 * engine.pace)
    },
  )
})
