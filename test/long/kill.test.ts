import { expect, test } from 'vitest'
import { killWhileTheyRun } from '../chaos/killing.ts'
import { describeEngines } from '../fixtures/store.ts'

describeEngines(({ place: makePlace }) => {
  test('20,000 jobs in chains and chords on four processes that are killed at random', async () => {
    const place = await makePlace()
    try {
      const about = { canvases: 1_300, processes: 4, lease: 3_000, pause: [500, 1_500] } as const
      const { killed, jobs } = await killWhileTheyRun(place, about)
      expect(jobs).toBeGreaterThan(20_000)
      expect(killed).toBeGreaterThan(20)
    } finally {
      await place.remove()
    }
  })
})
