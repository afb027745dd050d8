import { expect, onTestFinished, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import type { Tally } from '../../src/engine/work.ts'
import { manualRuntime } from '../fixtures/clock.ts'
import { alone, submission } from '../fixtures/graphs.ts'
import { hand } from '../fixtures/hand.ts'
import { redelivering } from '../fixtures/redelivery.ts'
import { describeEngines, onEveryEngine } from '../fixtures/store.ts'

const minute = 60_000
const hour = 60 * minute

const tally = (task: string, at: number, change: Partial<Tally> = {}): Tally => ({
  task,
  minute: at - (at % minute),
  succeeded: 1,
  failed: 0,
  retried: 0,
  cancelled: 0,
  ran: 10,
  longest: 10,
  ...change,
})

onEveryEngine((open) => {
  const all = (engine: Engine, task?: string): Promise<readonly Tally[]> =>
    engine.statistics({ from: 0, to: Number.MAX_SAFE_INTEGER, ...(task !== undefined && { task }) })

  test('what sessions told is added up, by minute and then by task', async () => {
    const { engine, second, clock } = await open()
    expect(await all(engine)).toEqual([])
    const now = clock.now()
    const [one, other] = [await hand(engine), await hand(second())]
    await one.beat({
      tallies: [
        tally('b', now, { failed: 2, retried: 3, cancelled: 4, ran: 500, longest: 300 }),
        tally('a,c', now - minute),
        tally('é"\n', now),
      ],
    })
    await other.beat({ tallies: [tally('b', now, { succeeded: 5, ran: 70, longest: 400 }), tally('b', now + minute)] })
    expect(await all(engine)).toEqual([
      tally('a,c', now - minute),
      tally('b', now, { succeeded: 6, failed: 2, retried: 3, cancelled: 4, ran: 570, longest: 400 }),
      tally('é"\n', now),
      tally('b', now + minute),
    ])
  })

  test('totals take the place of those before, also where the older ones come last', async () => {
    const { engine, clock } = await open()
    const worker = await hand(engine)
    const older = tally('a', clock.now(), { succeeded: 3, ran: 30, longest: 15 })
    const newer = tally('a', clock.now(), { succeeded: 7, failed: 1, ran: 90, longest: 20 })
    for (const told of [older, newer, older]) await worker.beat({ tallies: [told] })
    expect(await all(engine)).toEqual([newer])
    await worker.beat()
    await worker.beat({ tallies: [] })
    expect(await all(engine)).toEqual([newer])
  })

  test('a beat that is sent again counts once, the last one too', async () => {
    const { engine, clock } = await open()
    const worker = await hand(redelivering(engine))
    await worker.beat({ tallies: [tally('a', clock.now())] })
    await worker.beat({ tallies: [tally('b', clock.now())], ended: true })
    expect(await all(engine)).toEqual([tally('a', clock.now()), tally('b', clock.now())])
  })

  test('tells the minutes from one instant up to another, and one task', async () => {
    const { engine, clock } = await open()
    const now = clock.now()
    const worker = await hand(engine)
    const told = [-61, -60, -2, -1, 0].map((at) => tally('a', now + at * minute))
    await worker.beat({ tallies: [...told, tally('b', now)] })
    const between = async (from: number, to: number): Promise<number[]> =>
      (await engine.statistics({ from: now + from, to: now + to, task: 'a' })).map(
        (each) => (each.minute - now) / minute,
      )
    expect(await between(-2 * minute, 0)).toEqual([-2, -1])
    expect(await between(-2 * minute + 1, 1)).toEqual([-1, 0])
    expect(await between(-hour, -2 * minute)).toEqual([-60])
    expect(await between(0, 0)).toEqual([])
    expect(await between(minute, -minute)).toEqual([])
    expect(await all(engine, 'b')).toEqual([tally('b', now)])
    expect(await all(engine, 'c')).toEqual([])
  })

  test('what is older than two days is told no more', async () => {
    const { engine, clock } = await open()
    const worker = await hand(engine)
    await worker.beat({ tallies: [tally('old', clock.now())] })
    clock.pass(47 * hour)
    await worker.beat({ tallies: [tally('new', clock.now())] })
    expect((await all(engine)).map(({ task }) => task)).toEqual(['old', 'new'])
    clock.pass(hour + 1)
    expect((await all(engine)).map(({ task }) => task)).toEqual(['new'])
  })

  test('large numbers, and many tasks in one hour', async () => {
    const { engine, clock } = await open()
    const worker = await hand(engine)
    const large = { succeeded: 4_000_000_000, ran: 123_456_789_012_345, longest: 3_600_000 }
    const tallies = Array.from({ length: 1_500 }, (_, at) =>
      tally(`t${String(at).padStart(4, '0')}`, clock.now(), large),
    )
    await worker.beat({ tallies })
    expect(await all(engine)).toEqual(tallies)
  })

  test('a beat does all else besides', async () => {
    const { engine, clock } = await open()
    await engine.submit([submission(alone())])
    const worker = await hand(engine)
    const job = await worker.take()
    await engine.cancel({ jobId: job.id })
    const answer = await worker.beat({
      tallies: [tally('a', clock.now())],
      progress: [{ ref: job.ref, token: job.token, progress: { done: 1 } }],
    })
    expect(answer.toCancel).toEqual([{ id: job.id, token: job.token }])
    expect((await engine.job(job.id))?.progress).toEqual({ done: 1 })
    await worker.beat({ tallies: [tally('a', clock.now(), { succeeded: 2 })], ended: true })
    expect((await engine.job(job.id))?.state).toBe('cancelled')
    expect((await engine.workers())[0]?.state).toBe('ended')
    expect(await all(engine)).toEqual([tally('a', clock.now(), { succeeded: 2 })])
  })
})

// Redis forgets by itself: see engines/redis/statistics.test.ts.
describeEngines(
  ({ place: makePlace }) => {
    test('what is older than two days is swept away, more than goes in one sweep as well', async () => {
      const place = await makePlace()
      onTestFinished(() => place.remove())
      const clock = manualRuntime()
      const engine = place.connect(clock)
      // For this one it is still kept.
      const before = place.connect({ ...clock, now: () => clock.now() - 10 * hour })
      onTestFinished(async () => void (await Promise.all([engine.close(), before.close()])))
      const worker = await hand(engine)
      const count = async (): Promise<number> =>
        (await before.statistics({ from: 0, to: Number.MAX_SAFE_INTEGER })).length
      const old = Array.from({ length: 11_000 }, (_, at) => tally(`t${at}`, clock.now()))
      await worker.beat({ tallies: old })
      clock.pass(48 * hour + minute)
      await worker.beat({ tallies: [tally('new', clock.now())] })
      expect(await count()).toBe(11_001)
      await engine.sweep()
      expect(await count()).toBe(1_001)
      clock.pass(minute)
      await engine.sweep()
      expect(await count()).toBe(1)
    })
  },
  ['sqlite', 'postgres'],
)
