import { expect, test } from 'vitest'
import { alone, chainOf, submission } from '../fixtures/graphs.ts'
import { hand } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

onEveryEngine((open) => {
  test('a paused queue hands nothing out, and keeps accepting', async () => {
    const { engine, second } = await open()
    await engine.putQueues([{ name: 'shop', paused: true }])
    await engine.submit([submission(alone('held', { queue: 'shop' })), submission(alone('free'))])
    const worker = await hand(second())
    expect((await worker.claim(10)).map((job) => job.task)).toEqual(['free'])
    await engine.putQueues([{ name: 'shop', paused: false }])
    expect((await worker.claim(10)).map((job) => job.task)).toEqual(['held'])
  })

  test('a queue named in the same turn as a call that fails is worked on all the same', async () => {
    const { engine } = await open()
    const notUploaded = chainOf(...Array.from({ length: engine.partSize + 1 }, () => 'link'))
    const calls = [submission(alone('kept', { queue: 'shop' })), submission(notUploaded)]
    const answers = await Promise.allSettled(calls.map((call) => engine.submit([call])))
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect((await (await hand(engine)).claim(10)).map((job) => job.task)).toEqual(['kept'])
  })

  test('pausing leaves what runs alone, and delayed jobs stay back when they are due', async () => {
    const { engine, clock } = await open()
    await engine.submit([submission(alone('running')), submission(alone('late', { startIn: 100 }))])
    const worker = await hand(engine)
    const job = await worker.take('running')
    await engine.putQueues([{ name: 'default', paused: true }])
    clock.pass(100)
    expect(await worker.claim(10)).toEqual([])
    await engine.sweep()
    expect(await worker.claim(10)).toEqual([])
    expect(await worker.succeed(job)).toBe('accepted')
    await engine.putQueues([{ name: 'default', paused: false }])
    expect((await worker.claim(10)).map((each) => each.task)).toEqual(['late'])
  })

  test('tells the unfinished jobs and the settings of every queue', async () => {
    const { engine } = await open()
    await engine.putQueues([{ name: 'empty', paused: true }])
    await engine.submit([
      submission(chainOf('a', 'b')),
      submission(alone('c', { startIn: 1_000, queue: 'shop' })),
      submission(alone('d', { queue: 'shop' })),
    ])
    await (await hand(engine, { queues: ['shop'] })).take('d')
    const told = Object.fromEntries((await engine.queues()).map((queue) => [queue.name, queue]))
    expect(told['default']).toEqual({
      name: 'default',
      paused: false,
      counts: { waiting: 1, scheduled: 0, queued: 1, running: 0 },
    })
    expect(told['shop']).toEqual({
      name: 'shop',
      paused: false,
      counts: { waiting: 0, scheduled: 1, queued: 0, running: 1 },
    })
    expect(told['empty']).toEqual({
      name: 'empty',
      paused: true,
      counts: { waiting: 0, scheduled: 0, queued: 0, running: 0 },
    })
  })

  test('settings sent again change nothing', async () => {
    const { engine } = await open()
    for (let time = 0; time < 2; time++)
      await engine.putQueues([
        { name: 'shop', paused: true },
        { name: 'other', paused: false },
      ])
    expect((await engine.queues()).filter((queue) => queue.name === 'shop')).toHaveLength(1)
  })
})
