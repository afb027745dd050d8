import { expect, test } from 'vitest'
import { type Canvas, CeleriacError, chain, currentJob, each, group } from 'celeriac'
import { z } from 'zod'
import { pass, reached, working } from '../../test/fixtures/working.ts'

const twice = { retry: { limit: 5, backoff: { base: 1_000, jitter: false } } }

test('a canvas that continues as itself without end fails in words', async () => {
  const { app, worker } = working()
  const deeper = app.task('deeper', (n: number): number | Canvas<number> => deeper.s(n + 1))
  const down = app.task('down', (n: number): number | Canvas<number> => (n === 0 ? 0 : down.s(n - 1)))
  await worker.start()
  expect(await (await down.delay(100)).result()).toBe(0)
  await expect((await deeper.delay(0)).result()).rejects.toThrow('100 continuations stand around this one already')
})

test('a canvas that cannot be compiled fails the job at once, whatever the policy', async () => {
  const { app, worker } = working()
  const strict = app.task('strict', { input: z.string() }, (text) => text)
  const stray = app.task('stray', twice, (): any => ({ type: 'signature', task: 'nobody' }))
  const wrong = app.task('wrong', twice, () => strict.s(7 as unknown as string))
  const unknown = app.task('unknown', twice, () => chain(app.declare<() => number>('there').s(), noSuchTask()))
  const noSuchTask = (): Canvas<number, [number]> =>
    Object.assign(Object.create(Object.getPrototypeOf(strict.s('a')) as object) as Canvas<number, [number]>, {
      node: { ...(strict.s('a') as unknown as { node: object }).node, task: 'nobody' },
    })
  await worker.start()
  // Plain data is a result, even when it looks like a canvas.
  expect(await (await stray.delay()).result()).toEqual({ type: 'signature', task: 'nobody' })
  const refused = await wrong.delay()
  await expect(refused.result()).rejects.toThrow('strict: args[0]')
  expect(await refused.snapshot()).toMatchObject({ attempt: 1 })
  await expect((await unknown.delay()).result()).rejects.toThrow('There is no task "nobody"')
})

test('each over what is not a list fails in words', async () => {
  const { app, worker } = working()
  const id = app.task('id', (x: any) => x)
  const add1 = app.task('add1', (x: number) => x + 1)
  await worker.start()
  const collection = await app.submit(chain(id.s(5), each(add1)))
  await expect(collection.result()).rejects.toThrow('each(…) takes a list')
})

test('the elements of a chunk are parsed one by one and called in order; a bad one fails the job at once', async () => {
  const { app, worker } = working()
  const calls: number[] = []
  const half = app.task('half', { input: z.coerce.number(), ...twice }, (x) => {
    calls.push(x)
    return x === 8 ? undefined : x / 2
  })
  const list = app.task('list', (...xs: any[]) => xs)
  await worker.start()
  expect(await (await app.submit(chain(list.s('2', '4', '6', '8'), each(half, { chunk: 3 })))).result()).toEqual([
    1,
    2,
    3,
    null,
  ])
  expect(calls.toSorted()).toEqual([2, 4, 6, 8])
  const bad = await app.submit(chain(list.s('2', 'x', '4'), each(half, { chunk: 2 })))
  await expect(bad.result()).rejects.toThrow('half: args[0]')
  const { jobs } = await bad.snapshot()
  expect(jobs.filter(({ task }) => task === 'half')).toMatchObject([
    { state: 'failed', attempt: 1 },
    { state: 'succeeded' },
  ])
})

test('a handler called for a chunk may not return a canvas', async () => {
  const { app, worker } = working()
  const id = app.task('id', (x: number) => x)
  const become = app.task('become', (x: number) => id.s(x))
  const list = app.task('list', () => [1, 2])
  await worker.start()
  const collection = await app.submit(chain(list.s(), each(become, { chunk: 2 })))
  await expect(collection.result()).rejects.toThrow('may not return a canvas; leave out chunk')
})

test('between two elements of a chunk the handler is stopped', async () => {
  const system = working()
  const calls: number[] = []
  const gate = Promise.withResolvers<void>()
  const slow = system.app.task('slow', async (x: number) => {
    calls.push(x)
    await gate.promise
  })
  const list = system.app.task('list', () => [1, 2])
  await system.worker.start()
  const collection = await system.app.submit(chain(list.s(), each(slow, { chunk: 2 })))
  for await (const event of collection.events()) if (event.type === 'state' && calls.length === 1) break
  await collection.cancel()
  await pass(system, 1)
  gate.resolve()
  await expect(collection.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' })
  expect(calls).toEqual([1])
})

test('a job whose input the store will not give now is put off without spending its attempt', async () => {
  let isAway = true
  const system = working({}, (method, call) =>
    isAway && method === 'results' ? Promise.reject(new CeleriacError('STORE_BUSY', 'Busy.')) : call(),
  )
  const large = system.app.task('large', (n: number) => `${n}`.repeat(600_000))
  const measure = system.app.task(
    'measure',
    (texts: string[]) => `${currentJob().attempt}: ${texts.map((t) => t.length).join()}`,
  )
  await system.worker.start()
  const collection = await system.app.submit(chain(group(large.s(1), large.s(2)), measure.s()))
  const { jobs } = await collection.snapshot()
  const job = await system.app.job(jobs[2]!.id)
  await reached(job, 'scheduled')
  isAway = false
  await pass(system, 1_000)
  expect(await collection.result()).toBe('1: 600000,600000')
})

test('queue and priority of a job are those of the canvas it returns', async () => {
  const { app, worker } = working({ queues: ['shop'] })
  const id = app.task('id', (x: number) => x)
  const become = app.task('become', () => id.s(1))
  await worker.start()
  const job = await become.with({ queue: 'shop', priority: 7 }).delay()
  expect(await job.result()).toBe(1)
  const { jobs } = await (await app.collection(job.id)).snapshot()
  expect(jobs.map(({ queue, priority }) => [queue, priority])).toEqual([
    ['shop', 7],
    ['shop', 7],
  ])
})
