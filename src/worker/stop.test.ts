import { expect, test } from 'vitest'
import { CeleriacError, currentJob } from 'celeriac'
import { pass, reached, turns, working } from '../../test/fixtures/working.ts'

test('a stop lets handlers finish, and claims nothing more', async () => {
  const { app, worker } = working({ concurrency: 1 })
  const gate = Promise.withResolvers<string>()
  const wait = app.task('wait', async () => gate.promise)
  await worker.start()
  const job = await wait.delay()
  const next = await wait.delay()
  await reached(job, 'running')
  const stopped = worker.stop()
  await turns()
  gate.resolve('done')
  await stopped
  expect(await job.result()).toBe('done')
  expect(await next.snapshot()).toMatchObject({ state: 'queued', attempt: 0 })
})

test('after the grace time handlers are told to stop, and their jobs given back without a failure', async () => {
  const system = working({ grace: '7s' })
  const told: string[] = []
  const slow = system.app.task(
    'slow',
    async () =>
      new Promise<never>((_, reject) => {
        const { signal } = currentJob()
        signal.addEventListener('abort', () => {
          told.push((signal.reason as CeleriacError).code)
          reject(new Error('Interrupted'))
        })
      }),
  )
  await system.worker.start()
  const job = await slow.delay()
  await reached(job, 'running')
  const stopped = system.worker.stop()
  await turns()
  await pass(system, 6_999, 333)
  expect(told).toEqual([])
  await pass(system, 1)
  await stopped
  expect(told).toEqual(['WORKER_STOPPING'])
  expect(await job.snapshot()).toMatchObject({ state: 'queued', attempt: 1, failures: 0 })
})

test('a handler that ignores its signal does not hold up the end; its job is given back', async () => {
  const system = working()
  const deaf = system.app.task('deaf', async () => new Promise(() => {}))
  await system.worker.start()
  const job = await deaf.delay()
  await reached(job, 'running')
  const stopped = system.worker.stop({ grace: '1s' })
  await pass(system, 2_000, 50)
  await stopped
  expect(await job.snapshot()).toMatchObject({ state: 'queued', attempt: 1, attempts: [{ outcome: 'released' }] })
})

test.each([
  ['a grace of 0', async (stop: (options?: { grace: number }) => Promise<void>) => stop({ grace: 0 })],
  ['a second call', async (stop: () => Promise<void>) => Promise.all([stop(), stop()])],
])('%s ends the waiting', async (_, end) => {
  const { app, worker } = working()
  const deaf = app.task('deaf', async () => new Promise(() => {}))
  await worker.start()
  const job = await deaf.delay()
  await reached(job, 'running')
  // Nobody moves the clock, so whatever waits for it would wait for ever.
  await Promise.race([
    end((options) => worker.stop(options)),
    turns(200).then(() => Promise.reject(new Error('It waits.'))),
  ])
  expect(await job.snapshot()).toMatchObject({ state: 'queued' })
})

test('jobs that were claimed and not begun are given back with their attempt', async () => {
  const { app, worker } = working({ concurrency: 1 })
  const gate = Promise.withResolvers<void>()
  const add = app.task('add', (x: number) => x)
  const wait = app.task('wait', async () => gate.promise)
  await worker.start()
  await (await add.delay(1)).result()
  const [slow, ...ahead] = await Promise.all([wait.delay(), add.delay(2), add.delay(3)])
  await Promise.all(ahead.map((job) => reached(job, 'running')))
  const stopped = worker.stop()
  await Promise.all(ahead.map((job) => reached(job, 'queued')))
  expect(await ahead[0]?.snapshot()).toMatchObject({ attempt: 0, attempts: [] })
  gate.resolve()
  await stopped
  expect(await slow.snapshot()).toMatchObject({ state: 'succeeded' })
})

test('what handlers came to while the store was away is stored when it is back', async () => {
  let isAway = false
  const system = working({}, (method, call) =>
    isAway && method !== 'job' && method !== 'events'
      ? Promise.reject(new CeleriacError('STORE_FULL', 'The disk is full.'))
      : call(),
  )
  const gate = Promise.withResolvers<void>()
  const wait = system.app.task('wait', async (x: number) => {
    await gate.promise
    return x
  })
  await system.worker.start()
  const jobs = await wait.delayMany([[1], [2], [3]])
  await Promise.all(jobs.map((job) => reached(job, 'running')))
  isAway = true
  gate.resolve()
  await pass(system, 10_000, 500)
  expect(await jobs[0]?.snapshot()).toMatchObject({ state: 'running' })
  isAway = false
  await pass(system, 10_000, 500)
  expect(await Promise.all(jobs.map((job) => job.result()))).toEqual([1, 2, 3])
  const troubles = system.notices.filter(({ level }) => level === 'error').map(({ message }) => message)
  expect(new Set(troubles).size).toBe(troubles.length)
  expect(troubles).toContain('Settling jobs failed: The disk is full. Trying again.')
})

test('a stop does not wait for ever for a store that is away', async () => {
  let isAway = false
  const system = working({}, (_, call) =>
    isAway ? Promise.reject(new CeleriacError('STORE_UNREACHABLE', 'It is away.')) : call(),
  )
  const gate = Promise.withResolvers<void>()
  const wait = system.app.task('wait', async () => gate.promise)
  await system.worker.start()
  await reached(await wait.delay(), 'running')
  isAway = true
  gate.resolve()
  await turns()
  const stopped = system.worker.stop()
  await pass(system, 20_000, 500)
  await stopped
  isAway = false
  expect(system.notices.at(-2)?.message).toMatch(/^1 outcomes could not be stored/)
})

test('nothing is left that would keep the process alive', async () => {
  const { app, worker, clock } = working({ lease: '2s' })
  const add = app.task('add', { timeout: '1m', retry: { limit: 1 } }, (x: number) => x)
  await worker.start()
  await (await add.delay(1)).result()
  await add.with({ startIn: '1h' }).delay(2)
  await turns()
  expect(clock.pending).toBeGreaterThan(0)
  await worker.stop()
  expect(clock.pending).toBe(0)
})
