import { describe, test } from 'vitest'
import { engines } from '../engines.ts'
import { checkRandomCanvases } from '../model/random-canvases.ts'

describe.each(engines)('engine $name', ({ place }) => {
  test.each([1, 2, 3, 4])(
    '5,000 random canvases, with whatever may go wrong: part %i of 4',
    { timeout: 1_200_000 },
    async () => {
      await checkRandomCanvases(place, 5_000)
    },
  )
})
