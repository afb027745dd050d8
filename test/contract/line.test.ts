import { expect, onTestFinished, test } from 'vitest'
import { alone, chainOf, submission } from '../fixtures/graphs.ts'
import { goOn, hand, succeeded } from '../fixtures/hand.ts'
import { openOwn } from '../fixtures/own-transaction.ts'
import { onEveryEngine } from '../fixtures/store.ts'

// A claim may remember how far the line has been worked off, and go on from there. What comes to stand before that place
// is next all the same, whoever put it there.
const six = ['1', '2', '3', '4', '5', '6'].map((task) => submission(alone(task)))

onEveryEngine((open) => {
  test('what is given back before what others have taken since is next', async () => {
    const { engine, second } = await open()
    await engine.submit(six)
    const [one, other] = [await hand(engine), await hand(second())]
    const first = await one.take('1')
    await other.take('2')
    await other.take('3')
    await one.settle(first, { type: 'released', started: false, delay: 0 })
    await other.take('1')
    await other.take('4')
  })

  test('what another connection lets go before what was taken since is next', async () => {
    const { engine, second } = await open()
    await engine.submit([submission(chainOf('a', 'b', 'c')), ...six])
    const [one, other] = [await hand(engine), await hand(second())]
    const a = await one.take('a')
    await other.take('1')
    await one.succeed(a)
    const b = await other.take('b')
    await other.take('2')
    await other.succeed(b)
    await one.take('c')
    await one.take('3')
  })

  test('a job whose worker died comes before what is more urgent', async () => {
    const store = await open()
    const { engine } = store
    const dead = await hand(engine)
    await engine.submit([submission(alone('suspect'))])
    await dead.take('suspect')
    const worker = await hand(engine)
    await goOn(store, 60_000, worker)
    await engine.submit([submission(alone('urgent', { priority: 3 }))])
    expect((await worker.claim(10)).map(({ task }) => task)).toEqual(['suspect', 'urgent'])
  })

  test('so does one that was given back for a while, with the claim that finds it due', async () => {
    const store = await open()
    const { engine, clock } = store
    const dead = await hand(engine)
    await engine.submit([submission(alone('suspect'))])
    await dead.take('suspect')
    const worker = await hand(engine)
    await goOn(store, 60_000, worker)
    await worker.settle(await worker.take('suspect'), { type: 'released', started: false, delay: 100 })
    await engine.submit([submission(alone('urgent', { priority: 3 }))])
    clock.pass(500)
    expect((await worker.claim(10)).map(({ task }) => task)).toEqual(['suspect', 'urgent'])
  })

  test('what is more urgent, or comes due, is next', async () => {
    const { engine, second, clock } = await open()
    await engine.submit([submission(alone('later', { startIn: 50 })), ...six])
    const other = await hand(second())
    await other.take('1')
    await engine.submit([submission(alone('urgent', { priority: 5 })), submission(alone('idle', { priority: -5 }))])
    await other.take('urgent')
    await other.take('2')
    clock.pass(50)
    await other.take('later')
    await other.take('3')
  })

  test('what came in bulk keeps its order around one that is cancelled, and one that is given back', async () => {
    const { engine, second } = await open()
    const bulk = Array.from({ length: 6 }, () => submission(alone('same')))
    await engine.submit(bulk)
    await engine.submit([submission(alone('after'))])
    const [a, b, c, d, e, f] = bulk.map(({ graph }) => graph.id)
    const [one, other] = [await hand(engine), await hand(second())]
    for (const jobId of [c, f]) await second().cancel({ jobId: jobId as string })
    expect((await engine.queues())[0]?.counts).toMatchObject({ queued: 5, running: 0 })
    const first = await one.take()
    expect(first.id).toBe(a)
    await one.settle(first, { type: 'released', started: false, delay: 0 })
    expect((await other.claim(2)).map(({ id }) => id)).toEqual([a, b])
    expect((await one.claim(10)).map(({ id, task }) => (task === 'same' ? id : task))).toEqual([d, e, 'after'])
    expect(await other.claim(10)).toEqual([])
  })

  test('what is let go together was claimed apart: each counts once as no longer waiting', async () => {
    const { engine } = await open()
    await engine.submit([1, 2, 3].map(() => submission(chainOf('a', 'b', 'c'))))
    const one = await hand(engine)
    const claimed = [await one.take('a'), await one.take('a'), await one.take('a')]
    await engine.settle(claimed.map(({ ref, token }) => ({ ref, token, outcome: succeeded('a') })))
    expect((await engine.queues())[0]?.counts).toMatchObject({ waiting: 3, queued: 3, running: 0 })
  })

  test('a line that was empty is looked at again', async () => {
    const { engine, second } = await open()
    const other = await hand(second())
    expect(await other.claim(10)).toEqual([])
    await engine.submit([submission(alone('a', { queue: 'elsewhere' }))])
    await other.take('a')
    expect(await other.claim(10)).toEqual([])
    await engine.submit([submission(alone('b', { queue: 'elsewhere' }))])
    await other.take('b')
  })
})

onEveryEngine(
  (open) => {
    test('what took its number before and is committed after is next', async () => {
      const { engine, second } = await open()
      const own = await openOwn(engine)
      onTestFinished(() => own.close())
      const other = await hand(second())
      await own.begin()
      await engine.submit([submission(alone('committed late'))], own.client)
      await engine.submit(six)
      await other.take('1')
      await other.take('2')
      await own.commit()
      await other.take('committed late')
      await other.take('3')
    })
  },
  ['postgres'],
)
