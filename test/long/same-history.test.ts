import { test } from 'vitest'
import { engines, type EngineUnderTest } from '../engines.ts'
import { describeEngines } from '../fixtures/store.ts'
import { checkSameHistory } from '../model/same-history.ts'

const [first] = engines as [EngineUnderTest]

describeEngines(
  ({ place }) => {
    test(`1,000 sequences of operations get the same answers as on ${first.name}`, { timeout: 1_200_000 }, async () => {
      await checkSameHistory(first.place, place, 1_000)
    })
  },
  ['postgres', 'redis'],
)
