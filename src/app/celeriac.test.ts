import { expect, test } from 'vitest'
import { appByHand } from '../../test/fixtures/app-by-hand.ts'
import { hand } from '../../test/fixtures/hand.ts'
import { CeleriacError } from '../core/errors.ts'
import { Celeriac } from './celeriac.ts'
import { partsOf } from './parts.ts'

const code = (call: () => unknown): string | undefined => {
  try {
    call()
  } catch (error) {
    return (error as CeleriacError).code
  }
  return undefined
}

test('a task is still the function it was made from', () => {
  const { app } = appByHand()
  const add = app.task('math.add', (x: number, y: number) => x + y)
  expect(add(2, 2)).toBe(4)
  expect(add.name).toBe('math.add')
})

test('two tasks of one name are refused; a declaration gives way to the task, in either order', () => {
  const { app } = appByHand()
  app.task('a', () => 1)
  expect(code(() => app.task('a', () => 2))).toBe('DUPLICATE_TASK')
  app.declare<() => number>('a')
  expect(partsOf(app).registry.get('a').handler).not.toBeNull()
  app.declare<() => number>('b')
  app.declare<() => number>('b')
  expect(partsOf(app).registry.get('b').handler).toBeNull()
  app.task('b', () => 3)
  expect(partsOf(app).registry.get('b').handler).not.toBeNull()
})

test('what a declaration names can be sent, and not run here', async () => {
  const { app, engine } = appByHand()
  const crop = app.declare<(size: number) => Promise<string>>('images.crop')
  await crop.delay(3)
  expect(await (await hand(engine)).take('images.crop')).toMatchObject({ args: '[3]' })
  expect(code(() => crop(3))).toBe('UNSUPPORTED')
})

test('options that are wrong are refused with what to do', () => {
  const make = (options: object) => code(() => new Celeriac(options))
  expect(make({ urls: 'sqlite:x.db' })).toBe('BAD_OPTION')
  expect(() => new Celeriac({ urls: 'x' } as object)).toThrow('did you mean "url"')
  expect(make({ broker: 'amqp://localhost' })).toBe('UNSUPPORTED')
  expect(make({ url: 'mysql://localhost/db' })).toBe('BAD_URL')
  expect(make({ url: 'jobs.db' })).toBe('BAD_URL')
  expect(make({ url: '' })).toBe('BAD_OPTION')
  expect(make({ url: 'sqlite::memory:', engine: () => {} })).toBe('BAD_OPTION')
  expect(make({ engine: {} })).toBe('BAD_OPTION')
  expect(make({ retention: '-1d' })).toBe('BAD_DURATION')
  expect(make({ maxJobs: 0 })).toBe('BAD_OPTION')
  expect(make({ url: 'sqlite::memory:', retention: '30d', maxJobs: 10 })).toBeUndefined()
})

test('an error about a url never repeats it: it may hold a password', () => {
  expect(() => new Celeriac({ url: 'mysql://root:hunter2@db/x' })).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('hunter2') as string }),
  )
})

test('nothing is opened before it is needed, and a closed app that never opened stays closed', async () => {
  let opened = 0
  const app = new Celeriac({
    engine: () => {
      opened++
      throw new CeleriacError('STORE_UNREACHABLE', 'away')
    },
  })
  const add = app.task('add', (x: number) => x)
  expect(opened).toBe(0)
  await expect(add.delay(1)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
  await expect(add.delay(1)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
  expect(opened).toBe(2)
  await app.close()
  await expect(add.delay(1)).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(app.jobs.list()).rejects.toMatchObject({ code: 'CLOSED' })
})

test('close stores what was sent before it, ends who waits, and refuses what comes after', async () => {
  const { app } = appByHand()
  const add = app.task('add', (x: number) => x)
  const first = await add.delay(1)
  const waiting = expect(first.result()).rejects.toMatchObject({ code: 'CLOSED' })
  await first.snapshot()
  const sent = add.delay(2)
  await app.close()
  expect((await sent).id).toBeTypeOf('string')
  await waiting
  await expect(add.delay(3)).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(first.snapshot()).rejects.toMatchObject({ code: 'CLOSED' })
  await app.close()
})

test('await using closes it', async () => {
  let app: Celeriac
  {
    await using own = new Celeriac({ url: 'sqlite::memory:' })
    await own.jobs.list()
    app = own
  }
  await expect(app.jobs.list()).rejects.toMatchObject({ code: 'CLOSED' })
})

test('the url may come from the environment', async () => {
  const before = process.env['CELERIAC_URL']
  process.env['CELERIAC_URL'] = 'mysql://localhost'
  try {
    expect(code(() => new Celeriac())).toBe('BAD_URL')
  } finally {
    if (before === undefined) delete process.env['CELERIAC_URL']
    else process.env['CELERIAC_URL'] = before
  }
})

test('what is no app is told so', () => {
  const { app } = appByHand()
  expect(partsOf(app).maxJobs).toBe(100_000)
  for (const other of [undefined, null, 5, {}, () => {}]) expect(code(() => partsOf(other))).toBe('NOT_AN_APP')
})

test('queues are listed with what they hold, paused and resumed', async () => {
  const { app } = appByHand()
  const add = app.task('add', { queue: 'shop' }, (x: number) => x)
  await add.delay(1)
  await app.queues.pause('shop')
  const shop = (await app.queues.list()).find(({ name }) => name === 'shop')
  expect(shop).toEqual({ name: 'shop', paused: true, counts: { waiting: 0, scheduled: 0, queued: 1, running: 0 } })
  await app.queues.resume('shop')
  expect((await app.queues.list()).find(({ name }) => name === 'shop')?.paused).toBe(false)
  await expect(app.queues.pause('')).rejects.toMatchObject({ code: 'BAD_OPTION' })
})

test('workers are listed', async () => {
  const { app, engine, clock } = appByHand()
  const { session } = await hand(engine, { name: 'left', queues: ['shop'] })
  const now = new Date(clock.now())
  expect(await app.workers.list()).toEqual([
    { ...session, queues: ['shop'], state: 'running', startedAt: now, seenAt: now, runningCount: 0 },
  ])
})
