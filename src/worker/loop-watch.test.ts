import { expect, test } from 'vitest'
import { manualRuntime } from '../../test/fixtures/clock.ts'
import { LoopWatch } from './loop-watch.ts'

const session = { id: 's', name: 's', host: 'here', pid: 1, queues: null, concurrency: 1 }

test('how long a loop has been blocked is told by the clock, however long it takes to ask it', async () => {
  const runtime = manualRuntime()
  const sweptAt: number[] = []
  let exitedAt: number | null = null
  const watch = new LoopWatch({
    store: {
      heartbeat: () => Promise.resolve({ lost: [], toCancel: [] }),
      settle: () => Promise.resolve([]),
      sweep() {
        sweptAt.push(runtime.elapsed())
        return Promise.resolve({ released: 0, nextAt: null })
      },
    },
    runtime,
    session,
    lease: 12_000,
    turns: () => 1,
    latestDeadline: () => 1_000,
    async ask() {
      await Promise.resolve()
      runtime.pass(200)
      return null
    },
    say: () => {},
    exit: () => (exitedAt = runtime.elapsed()),
  })
  watch.start()
  while (exitedAt === null && runtime.elapsed() < 20_000) {
    runtime.pass(250)
    await new Promise(setImmediate)
  }
  // Deadline, 2 s or 4 s, and one look with its question, after a turn that was seen a look late.
  expect(sweptAt[0]).toBeLessThan(1_000 + 2_000 + 2 * 450)
  expect(exitedAt).toBeLessThan(1_000 + 4_000 + 2 * 450)
  await watch.stop()
})
