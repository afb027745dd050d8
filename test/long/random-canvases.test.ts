import { test } from 'vitest'
import { describeEngines } from '../fixtures/store.ts'
import { checkRandomCanvases } from '../model/random-canvases.ts'

describeEngines(({ place, pace }) => {
  test.each([1, 2, 3, 4])(
    `${5_000 * pace} random canvases, with whatever may go wrong: part %i of 4`,
    { timeout: 1_200_000 },
    async () => {
      await checkRandomCanvases(place, 5_000 * pace)
    },
  )
})
