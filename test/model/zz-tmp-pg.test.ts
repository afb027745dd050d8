import { test } from 'vitest'
import { describeEngines } from '../fixtures/store.ts'
import { checkRandomCanvases } from './random-canvases.ts'
import { checkRandomOperations } from './random-operations.ts'
describeEngines(({ place }) => {
  test('canvases', { timeout: 500_000 }, async () => { await checkRandomCanvases(place, 120) })
  test('operations', { timeout: 500_000 }, async () => { await checkRandomOperations(place, 60) })
})
