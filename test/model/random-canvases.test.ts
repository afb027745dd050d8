import { test } from 'vitest'
import { describeEngines } from '../fixtures/store.ts'
import { checkRandomCanvases } from './random-canvases.ts'

describeEngines(({ place, pace }) => {
  // B19. Twenty thousand of them run under `npm run test:long`.
  test(
    `${500 * pace} random canvases, with whatever may go wrong, come to what a naive evaluator says`,
    { timeout: 120_000 },
    async () => {
      await checkRandomCanvases(place, 500 * pace)
    },
  )
})
