import { afterEach, expect, test } from 'vitest'
import type { Engine } from '../../engine/engine.ts'
import { manualRuntime } from '../../../test/fixtures/clock.ts'
import { alone, chainOf, submission } from '../../../test/fixtures/graphs.ts'
import { hand } from '../../../test/fixtures/hand.ts'
import { sqlite } from './sqlite.ts'

const day = 24 * 60 * 60_000
let closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing) await close()
  closing = []
})

async function countAll(engine: Engine): Promise<number> {
  let count = 0
  let cursor: string | null | undefined
  while (cursor !== null) {
    const page = await engine.collections({ limit: 200, ...(cursor !== undefined && { cursor }) })
    count += page.items.length
    cursor = page.next
  }
  return count
}

test('retention comes to everything that is due in one sweep, far behind much that is not, and lets others have their turn', async () => {
  const clock = manualRuntime()
  const engine = sqlite({ path: ':memory:' })(clock)
  closing.push(() => engine.close())
  // A chain of waiting jobs that takes more numbers than one call looks at, then jobs and chains that are done.
  const running = Array.from({ length: 3 }, () => chainOf(...Array.from({ length: 900 }, () => 'link')))
  await engine.submit(running.map((graph) => submission(graph)))
  await engine.putQueues([{ name: 'default', paused: true }])
  const done = Array.from({ length: 500 }, (_, n) => (n % 5 === 0 ? chainOf('a') : alone('b')))
  await engine.submit(done.map((graph) => submission(graph, { retention: day })))
  const worker = await hand(engine)
  for (const graph of done) await engine.cancel({ collectionId: graph.id })
  expect(await worker.claim(10)).toEqual([])
  expect(await countAll(engine)).toBe(503)
  clock.pass(2 * day)
  await engine.sweep()
  expect(await countAll(engine)).toBe(3)
})
