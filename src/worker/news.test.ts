import { expect, test } from 'vitest'
import { CeleriacError, currentJob } from 'celeriac'
import { pass, reached, turns, working } from '../../test/fixtures/working.ts'

test('the newest progress is told, at most every 50 ms', async () => {
  const system = working()
  const steps = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const count = system.app.task('count', async () => {
    for (let n = 1; n <= 100; n++) currentJob().progress(n, 200)
    await steps[0]?.promise
    for (let n = 101; n <= 200; n++) currentJob().progress(n, 200, 'half')
    await steps[1]?.promise
  })
  await system.worker.start()
  await pass(system, 100)
  const job = await count.delay()
  await reached(job, 'running')
  const beatsBefore = system.calls.filter((method) => method === 'heartbeat').length
  const beats = (): number => system.calls.filter((method) => method === 'heartbeat').length - beatsBefore
  await pass(system, 1)
  expect((await job.snapshot()).progress).toEqual({ done: 100, total: 200 })
  steps[0]?.resolve()
  await turns()
  await pass(system, 48)
  expect(beats()).toBe(1)
  await pass(system, 2)
  expect(beats()).toBe(2)
  expect((await job.snapshot()).progress).toEqual({ done: 200, total: 200, message: 'half' })
  steps[1]?.resolve()
  await job.result()
})

test('lines of a log are kept in order, and none is lost to a job that ends at once', async () => {
  const { app, worker } = working()
  const talk = app.task('talk', () => {
    const { log, progress } = currentJob()
    log.info('one', { n: 1 })
    log.warn('two')
    log.error('three\0', { bad: new Map() })
    progress.call(currentJob(), 1, 1)
  })
  await worker.start()
  const job = await talk.delay()
  await job.result()
  const { log, progress } = await job.snapshot()
  expect(log).toMatchObject([
    { level: 'info', message: 'one', data: { n: 1 } },
    { level: 'warn', message: 'two' },
    { level: 'error', message: 'three\ufffd', data: expect.stringContaining('a Map') },
  ])
  expect(progress).toEqual({ done: 1, total: 1 })
})

test('progress that is none fails the job in words', async () => {
  const { app, worker } = working()
  const bad = app.task('bad', () => currentJob().progress(Number.NaN))
  await worker.start()
  await expect((await bad.delay()).result()).rejects.toThrow('progress(NaN, undefined)')
})

test('too many lines at once are dropped, and that is told', async () => {
  const { app, worker } = working()
  const flood = app.task('flood', () => {
    for (let n = 0; n < 1_500; n++) currentJob().log.info(`line ${n}`)
  })
  await worker.start()
  const job = await flood.delay()
  await job.result()
  const { log } = await job.snapshot()
  expect(log.length).toBeLessThanOrEqual(1_001)
  expect(log.at(-1)?.message).toMatch(/line 999|500 more lines were dropped/)
})

test('what could not be sent is sent with the next beat', async () => {
  let isAway = false
  const system = working({}, (method, call) =>
    isAway && method === 'heartbeat' ? Promise.reject(new CeleriacError('STORE_BUSY', 'Busy.')) : call(),
  )
  const gate = Promise.withResolvers<void>()
  const talk = system.app.task('talk', async () => {
    currentJob().log.info('kept')
    currentJob().progress(1)
    await gate.promise
  })
  await system.worker.start()
  isAway = true
  const job = await talk.delay()
  await reached(job, 'running')
  await pass(system, 500, 50)
  isAway = false
  await pass(system, 2_000, 50)
  expect(await job.snapshot()).toMatchObject({ log: [{ message: 'kept' }], progress: { done: 1 } })
  gate.resolve()
  await job.result()
})

test('a handler that goes on after its end tells nothing more', async () => {
  const system = working()
  const gate = Promise.withResolvers<void>()
  const after = Promise.withResolvers<void>()
  const leave = system.app.task('leave', () => {
    const job = currentJob()
    void gate.promise.then(() => {
      job.log.info('too late')
      job.progress(9)
      after.resolve()
    })
  })
  await system.worker.start()
  const job = await leave.delay()
  await job.result()
  gate.resolve()
  await after.promise
  await pass(system, 200, 50)
  const { log, progress } = await job.snapshot()
  expect({ log, progress }).toEqual({ log: [], progress: undefined })
})
