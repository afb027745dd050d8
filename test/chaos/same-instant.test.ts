import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { untilAlone } from '../fixtures/monitored.ts'
import { describeEngines } from '../fixtures/store.ts'
import { hireFor } from './outage.ts'
import { crossOver, finishTogether } from './same-instant.ts'

describeEngines(({ name, mayStart, place: makePlace }) => {
  test('two workers finish the last two jobs before a barrier at the same instant, 500 times', async () => {
    const place = await makePlace()
    onTestFinished(() => place.remove())
    await finishTogether(place, 500)
  })

  test('batches that share barriers come in different orders, all at once', async () => {
    const place = await makePlace()
    onTestFinished(() => place.remove())
    await crossOver(place, 20)
  })

  test.skipIf(name !== 'postgres' || !mayStart)('and none of them stands in the way of another', async () => {
    const { url } = await hireFor('postgres')
    await crossOver(await makePlace(url), 40, 2)
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await untilAlone(client)
    const { rows } = await client.query(
      'select deadlocks::int from pg_stat_database where datname = current_database()',
    )
    await client.end()
    expect(rows).toEqual([{ deadlocks: 0 }])
  })
})
