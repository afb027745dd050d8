import { expect, test } from 'vitest'
import type { Settlement } from '../../src/engine/work.ts'
import { alone, submission } from '../fixtures/graphs.ts'
import { hand, succeeded } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

/**
 * The largest that a user can make anything, played on every engine: what is bounded, what is refused, and that nothing else waits
 * for it. What needs a worker is in test/scenario/sizes.test.ts.
 */
const mebibyte = 1024 * 1024

onEveryEngine(
  (open) => {
    test('a request that fits into no command of Redis is refused as too large, not taken for a server that is away', async () => {
      const { engine } = await open()
      await engine.submit([submission(alone())])
      const worker = await hand(engine)
      const { ref, token } = await worker.take()
      const outcome = succeeded('x'.repeat(mebibyte - 2))
      const settlements = Array.from({ length: 520 }, (): Settlement => ({ ref, token, outcome }))
      await expect(engine.settle(settlements)).rejects.toMatchObject({ code: 'TOO_LARGE' })
      expect(await engine.settle([{ ref, token, outcome }])).toEqual(['accepted'])
    })
  },
  ['redis'],
)
