import { expect, test } from 'vitest'
import { partsOf } from '../../src/app/parts.ts'
import type { Tally } from '../../src/engine/work.ts'
import { describeEngines } from '../fixtures/store.ts'
import { openApiOn } from './api.ts'
import { hand } from '../fixtures/hand.ts'

const minute = 60_000

describeEngines((engine) => {
  test('many tasks over many minutes come by pages, each of whole minutes and bounded, and nothing is left out', async () => {
    const { app, ask } = await openApiOn(engine)
    const { engine: store, runtime } = await partsOf(app).connect()
    const last = Math.floor(runtime.now() / minute) * minute
    const tallies = Array.from({ length: 12_000 }, (_, n): Tally => ({
      task: `task-${String(n % 100).padStart(2, '0')}`,
      minute: last - (119 - Math.floor(n / 100)) * minute,
      ...{ succeeded: 1, failed: 0, retried: 0, cancelled: 0, ran: 10, longest: 10 },
    }))
    const worker = await hand(store)
    for (let from = 0; from < tallies.length; from += 2_000)
      await worker.beat({ tallies: tallies.slice(from, from + 2_000) })

    const sizes: number[] = []
    const told: string[] = []
    for (let query = ''; ;) {
      const { status, body } = await ask('GET', `/api/statistics?minutes=200${query}`)
      expect(status).toBe(200)
      sizes.push(body.items.length)
      told.push(...body.items.map((item: { minute: string; task: string }) => `${item.minute} ${item.task}`))
      if (body.next === undefined) break
      query = `&cursor=${body.next}`
    }
    expect(told).toEqual(tallies.map(({ minute, task }) => `${new Date(minute).toISOString()} ${task}`))
    expect(sizes.length).toBeGreaterThan(1)
    expect(Math.max(...sizes)).toBeLessThan(tallies.length)
    expect((await ask('GET', '/api/statistics?minutes=200&task=task-07')).body.items).toHaveLength(120)
    expect((await ask('GET', '/api/statistics?cursor=nonsense')).body).toMatchObject({ code: 'BAD_CURSOR' })
  })
})
