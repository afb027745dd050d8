import { onTestFinished, test } from 'vitest'
import { crossOver, finishTogether } from '../chaos/same-instant.ts'
import { describeEngines } from '../fixtures/store.ts'

describeEngines(({ place: makePlace }) => {
  test('two workers finish the last two jobs before a barrier at the same instant, 10,000 times', async () => {
    const place = await makePlace()
    onTestFinished(() => place.remove())
    await finishTogether(place, 10_000)
  })

  test('batches that share barriers come in different orders, all at once, 500 times', async () => {
    const place = await makePlace()
    onTestFinished(() => place.remove())
    await crossOver(place, 500)
  })
})
