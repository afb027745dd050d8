import { expect, test } from 'vitest'
import { alone, groupOf, submission } from '../fixtures/graphs.ts'
import { collectionState, hand, statesOf, succeeded } from '../fixtures/hand.ts'
import { monitorOf } from '../fixtures/monitored.ts'
import { onEveryEngine, type OpenStore } from '../fixtures/store.ts'

const count = 200

/** Settles many jobs alone and a group, while keys are held and a collection is being cancelled, or not. */
async function settleMany(open: OpenStore, isBeside: boolean) {
  const { engine } = await open()
  const unique = { key: 'k', until: 'settled', onConflict: 'reject' } as const
  const [holder, cancelled] = [alone('holder', { queue: 'beside' }), groupOf('one', 'other')]
  if (isBeside) {
    await engine.submit([submission(holder, { unique }), submission(cancelled)])
    const worker = await hand(engine)
    await worker.claim(3)
    await engine.cancel({ collectionId: cancelled.id })
  }
  const group = groupOf(...Array.from({ length: count }, (_, n) => `member-${n}`))
  const jobs = Array.from({ length: count }, () => submission(alone('alone')))
  await engine.submit([submission(group), ...jobs])
  const worker = await hand(engine)
  const claimed = await worker.claim(2 * count)
  const settlements = claimed.map(({ ref, token }) => ({ ref, token, outcome: succeeded(1) }))
  return { engine, settlements, group, holder, cancelled }
}

onEveryEngine((open) => {
  test('a held key and a collection that is being cancelled are nothing to all others', async () => {
    const { engine, settlements, group, holder, cancelled } = await settleMany(open, true)
    expect(new Set(await engine.settle(settlements))).toEqual(new Set(['accepted']))
    expect(await collectionState(engine, group)).toBe('succeeded')
    expect(await statesOf(engine, holder)).toEqual({ holder: 'running' })
    expect(await collectionState(engine, cancelled)).toBe('running')
  })

  test('in one batch each job has what is due to it: a key goes, a cancelled job is cancelled', async () => {
    const { engine } = await open()
    const unique = { key: 'k', until: 'settled', onConflict: 'reject' } as const
    const [holder, cancelled, plain] = [alone('holder'), groupOf('one', 'other'), alone('plain')]
    await engine.submit([submission(holder, { unique }), submission(cancelled), submission(plain)])
    const claimed = await (await hand(engine)).claim(10)
    await engine.cancel({ collectionId: cancelled.id })
    const settled = await engine.settle(claimed.map(({ ref, token }) => ({ ref, token, outcome: succeeded(1) })))
    expect(claimed.map(({ task }, at) => [task, settled[at]])).toEqual([
      ['holder', 'accepted'],
      ['one', 'cancelled'],
      ['other', 'cancelled'],
      ['plain', 'accepted'],
    ])
    expect(await engine.submit([submission(alone('next'), { unique })])).toMatchObject([{ type: 'created' }])
  })
})

onEveryEngine(
  (open) => {
    test('settlements ask the server no more for it', async () => {
      const commandsOf = async (isBeside: boolean): Promise<number> => {
        const { engine, settlements } = await settleMany(open, isBeside)
        const monitor = await monitorOf(engine)
        await engine.settle(settlements)
        const isOurs = (line: string): boolean => line.includes(' lua] ') && line.includes(`{${monitor.namespace}}:`)
        return (await monitor.take()).filter(isOurs).length
      }
      const [usual, beside] = [await commandsOf(false), await commandsOf(true)]
      expect(usual).toBeGreaterThan(5)
      expect(beside - usual).toBeLessThan(20)
    })
  },
  ['redis'],
)
