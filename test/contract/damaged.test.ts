import { afterEach, expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { manualRuntime, type ManualRuntime } from '../fixtures/clock.ts'
import { alone, chainOf, graphOf, jobId, submission } from '../fixtures/graphs.ts'
import { goOn, hand } from '../fixtures/hand.ts'
import { type RawStore, rawStore } from '../fixtures/raw.ts'
import { describeEngines } from '../fixtures/store.ts'

type Open = () => Promise<{ engine: Engine; clock: ManualRuntime; raw: RawStore }>

/** A damaged row fails for itself: whatever has to do with others goes on. */
function onDamaged(names: readonly string[], body: (open: Open) => void): void {
  describeEngines(({ place: makePlace }) => {
    const closing: (() => unknown)[] = []
    afterEach(async () => {
      for (const close of closing.splice(0).reverse()) await close()
    })

    const open: Open = async () => {
      const place = await makePlace()
      closing.push(() => place.remove())
      const clock = manualRuntime()
      const engine = place.connect(clock)
      closing.push(() => engine.close())
      await engine.sweep()
      const raw = await rawStore(place.url)
      closing.push(() => raw.close())
      clock.pass(1_000)
      return { engine, clock, raw }
    }
    body(open)
  }, names)
}

onDamaged(['sqlite', 'postgres', 'redis'], (open) => {
  test('an input that nobody understands holds up no other job of the claim', async () => {
    const { engine, raw } = await open()
    const [bad, good] = [chainOf('first', 'second'), alone('good')]
    await engine.submit([submission(bad)])
    const worker = await hand(engine)
    await worker.succeed(await worker.take('first'))
    await raw.spoilInput(jobId(bad, 'second'))
    await engine.submit([submission(good)])
    const jobs = await worker.claim(10)
    expect(jobs.map(({ task }) => task)).toContain('good')
    for (const job of jobs) expect(await worker.fail(job)).toBe('accepted')
    expect((await engine.collection(bad.id))?.state).toBe('failed')
  })
})

onDamaged(['sqlite', 'postgres', 'redis'], (open) => {
  test('an expired job whose barrier is damaged holds up no claim, no recovery and no other that has expired', async () => {
    const { engine, clock, raw } = await open()
    const soon = { expires: 5_000, startIn: 3_600_000 }
    const bad = graphOf({ bad: { feeds: 0, options: soon }, behind: { behind: 0, feeds: 1 } }, [{}, {}])
    const [expired, lost, good] = [alone('expired', soon), alone('lost'), alone('good', { startIn: 30_000 })]
    await engine.submit([submission(bad), submission(expired), submission(lost), submission(good)])
    await (await hand(engine)).take('lost')
    await raw.spoilBarrier(jobId(bad, 'bad'))
    const worker = await hand(engine)
    await goOn({ engine, clock }, 40_000, worker)
    expect(await engine.job(expired.id)).toMatchObject({ state: 'cancelled', reason: 'expired' })
    expect((await worker.claim(10)).map(({ task }) => task).sort()).toEqual(['good', 'lost'])
  })
})

onDamaged(['sqlite', 'redis'], (open) => {
  test('what is left of a large change and cannot be done holds up no write, no retention and no other large change', async () => {
    const { engine, clock, raw } = await open()
    await raw.leaveWork()
    const brief = alone('brief')
    const large = graphOf(Object.fromEntries(Array.from({ length: 900 }, (_, n) => [`job-${n}`, { feeds: 0 }])), [{}])
    await engine.submit([submission(brief, { retention: 1_000 }), submission(large)])
    const worker = await hand(engine)
    await worker.succeed(await worker.take('brief'))
    await engine.cancel({ collectionId: large.id })
    await goOn({ engine, clock }, 30_000, worker)
    expect(await engine.job(brief.id)).toBeNull()
    expect((await engine.collection(large.id, { jobs: false }))?.state).toBe('cancelled')
    expect((await engine.diagnose()).find(({ check }) => check === 'upkeep')?.level).toBe('warning')
  })
})
