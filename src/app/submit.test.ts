import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { appByHand } from '../../test/fixtures/app-by-hand.ts'
import { hand } from '../../test/fixtures/hand.ts'
import { chain } from '../canvas/chain.ts'
import { group } from '../canvas/group.ts'
import { CeleriacError } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import { sqlite } from '../engines/sqlite/sqlite.ts'
import { Celeriac } from './celeriac.ts'

const writes = (calls: readonly string[]): number => calls.filter((method) => method === 'submit').length

/** An app whose store refuses jobs of the task `bad`, and tells how many jobs came with each write. */
function refusing(code: 'STORE_FAILED' | 'STORE_UNREACHABLE') {
  const sizes: number[] = []
  const wrap = (engine: Engine): Engine => ({
    ...engine,
    submit(submissions) {
      sizes.push(submissions.length)
      const isBad = submissions.some(({ graph }) => graph.jobs.some(({ task }) => task === 'bad'))
      return isBad ? Promise.reject(new CeleriacError(code, 'no')) : engine.submit(submissions)
    },
  })
  const { app } = appByHand({ wrap })
  return { app, sizes, good: app.task('good', (x: number) => x), bad: app.task('bad', (x: number) => x) }
}

test('all that is sent in one turn of the event loop is one write; each call gets its own job', async () => {
  const { app, calls } = appByHand()
  const add = app.task('add', (x: number, y: number) => x + y)
  const jobs = await Promise.all(Array.from({ length: 1000 }, (_, n) => add.delay(n, 1)))
  expect(writes(calls)).toBe(1)
  expect(new Set(jobs.map(({ id }) => id)).size).toBe(1000)
  expect((await jobs[7]!.snapshot()).args).toEqual([7, 1])
})

test('so is what requests send that arrive in one turn, each when it has been read', async () => {
  const { app, calls } = appByHand()
  const add = app.task('add', (x: number) => x)
  const request = async (awaits: number): Promise<unknown> => {
    for (let n = 0; n < awaits; n++) await Promise.resolve()
    return add.delay(awaits)
  }
  await Promise.all([0, 3, 20, 100].map(request))
  expect(writes(calls)).toBe(1)
})

test('while one write is under way the next gathers', async () => {
  const started = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const { app, calls } = appByHand({
    intercept: async (method, call) => {
      if (method === 'submit') {
        started.resolve()
        await gate.promise
      }
      return call()
    },
  })
  const add = app.task('add', (x: number) => x)
  const first = add.delay(0)
  await started.promise
  const rest = Array.from({ length: 100 }, (_, n) => add.delay(n))
  gate.resolve()
  await Promise.all([first, ...rest])
  expect(writes(calls)).toBe(2)
})

test('delayMany is one write, in order', async () => {
  const { app, calls } = appByHand()
  const add = app.task('add', (x: number) => x)
  const jobs = await add.delayMany(Array.from({ length: 2500 }, (_, n) => [n] as const))
  expect(writes(calls)).toBe(1)
  expect((await jobs[2499]!.snapshot()).args).toEqual([2499])
  expect(await add.delayMany([])).toEqual([])
})

// ── sizes ────────────────────────────────────────────────────────────────────────────────────────────────────────

const large = 'x'.repeat(250 * 1024)

test('what is sent in one turn is divided into writes of at most 8 MiB', async () => {
  const sizes: number[] = []
  const wrap = (engine: Engine): Engine => ({
    ...engine,
    submit(submissions) {
      sizes.push(submissions.reduce((sum, { graph }) => sum + (graph.jobs[0]?.args.length ?? 0), 0))
      return engine.submit(submissions)
    },
  })
  const { app } = appByHand({ wrap })
  const keep = app.task('keep', (x: string) => x.length)
  await Promise.all(Array.from({ length: 100 }, () => keep.delay(large)))
  expect(sizes.length).toBe(4)
  expect(Math.max(...sizes)).toBeLessThanOrEqual(8 * 1024 * 1024)
})

test('a call whose jobs are too large together is refused, and nothing of it is stored', async () => {
  const { app, calls } = appByHand()
  const keep = app.task('keep', (x: string) => x.length)
  const lists = Array.from({ length: 900 }, () => [large] as const)
  const refusal = {
    code: 'TOO_LARGE',
    message: expect.stringMatching(/come to \d+ MiB, more than 32 MiB: send them in/) as string,
  }
  await expect(keep.delayMany(lists)).rejects.toMatchObject(refusal)
  await expect(app.submitMany(lists.slice(0, 140).map(([x]) => keep.s(x)))).rejects.toMatchObject(refusal)
  expect(writes(calls)).toBe(0)
  expect((await app.jobs.list()).items).toEqual([])
  expect(await keep.delayMany(lists.slice(0, 130))).toHaveLength(130)
})

test('a canvas of any size goes in parts, and is no part of what one write may carry', async () => {
  const { app, calls } = appByHand()
  const keep = app.task('keep', (x: string) => x.length)
  const canvas = group(...Array.from({ length: 200 }, () => keep.s(large)))
  const [one] = await app.submitMany([canvas, keep.s('small')])
  expect(calls.filter((method) => method === 'upload').length).toBe(13)
  expect((await one.snapshot()).jobs).toHaveLength(200)
})

test('a store that is away refuses the calls of one write only', async () => {
  let isAway = true
  const { app } = appByHand({
    intercept: (method, call) =>
      method === 'submit' && isAway ? Promise.reject(new CeleriacError('STORE_UNREACHABLE', 'away')) : call(),
  })
  const add = app.task('add', (x: number) => x)
  const lost = await Promise.allSettled([add.delay(1), add.delay(2)])
  expect(lost.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  isAway = false
  await add.delay(3)
  expect((await app.jobs.list()).items).toHaveLength(1)
})

test('a write refused for its data is halved until the bad call stands alone', async () => {
  const { good, bad, sizes } = refusing('STORE_FAILED')
  const calls = Array.from({ length: 64 }, (_, n) => (n === 37 ? bad.delay(n) : good.delay(n)))
  const answers = await Promise.allSettled(calls)
  expect(answers.flatMap(({ status }, n) => (status === 'rejected' ? [n] : []))).toEqual([37])
  expect(sizes).toHaveLength(1 + 2 * Math.log2(64))
})

test('the jobs of one delayMany stay together: all are refused, and nobody else is', async () => {
  const { app, good, bad } = refusing('STORE_FAILED')
  const other = good.delay(1)
  const together = app.submitMany([good.s(1), bad.s(2), good.s(3)])
  await expect(together).rejects.toMatchObject({ code: 'STORE_FAILED' })
  await other
  expect((await app.jobs.list()).items).toHaveLength(1)
})

test('an absent store is not asked again for every half', async () => {
  const { good, bad, sizes } = refusing('STORE_UNREACHABLE')
  await Promise.allSettled([good.delay(1), bad.delay(2), good.delay(3)])
  expect(sizes).toEqual([3])
})

test('a call carries its options, description, actor and tags', async () => {
  const { app } = appByHand()
  const add = app.task('add', { queue: 'shop', priority: 1, tags: ['task'] }, (x: number) => x)
  const call = add.with({ priority: 5, description: 'by hand', actor: { id: 'ann' }, tags: ['one'] })
  const [snapshot, plain] = await Promise.all([(await call.delay(1)).snapshot(), (await add.delay(1)).snapshot()])
  expect(snapshot).toMatchObject({
    queue: 'shop',
    priority: 5,
    description: 'by hand',
    actor: { id: 'ann' },
    tags: ['one'],
  })
  expect(plain).toMatchObject({ queue: 'shop', priority: 1, tags: ['task'] })
  expect(plain).not.toHaveProperty('description')
})

test('a submission carries its options, and a canvas of one task its defaults', async () => {
  const { app } = appByHand()
  const add = app.task('add', { description: 'Adds', tags: ['task'] }, (x: number) => x)
  const options = { description: 'Buy', actor: { id: 'ann' }, tags: ['shop'], queue: 'q' }
  const many = await (await app.submit(group(add.s(1), add.s(2)), options)).snapshot()
  expect(many).toMatchObject({ description: 'Buy', actor: { id: 'ann' }, tags: ['shop'] })
  expect(many.jobs.map(({ queue, tags }) => [queue, tags])).toEqual([
    ['q', ['shop']],
    ['q', ['shop']],
  ])
  expect(await (await app.submit(add.s(1))).snapshot()).toMatchObject({ description: 'Adds', tags: ['task'] })
})

test('the same idempotency key gives the same collection; another canvas under it is refused', async () => {
  const { app } = appByHand()
  const add = app.task('add', (x: { a: number; b: number }) => x.a)
  const keyed = { idempotencyKey: 'k' }
  const first = await app.submit(chain(add.s({ a: 1, b: 2 }), add.si({ a: 3, b: 4 })), keyed)
  const again = await app.submit(chain(add.s({ b: 2, a: 1 }), add.si({ a: 3, b: 4 })), keyed)
  expect(again.id).toBe(first.id)
  await expect(app.submit(chain(add.s({ a: 1, b: 2 }), add.si({ a: 3, b: 5 })), keyed)).rejects.toMatchObject({
    code: 'IDEMPOTENCY_MISMATCH',
  })
  const call = add.with({ idempotencyKey: 'one' })
  expect((await call.delay({ a: 1, b: 1 })).id).toBe((await call.delay({ a: 1, b: 1 })).id)
  await expect(call.delay({ a: 2, b: 1 })).rejects.toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
  await expect(app.submitMany([add.s({ a: 1, b: 1 }), add.s({ a: 1, b: 1 })], keyed)).rejects.toMatchObject({
    code: 'BAD_OPTION',
  })
})

test('an idempotency key outlives a change of defaults, and counts for each actor on their own', async () => {
  const path = `${mkdtempSync(join(tmpdir(), 'celeriac-'))}/jobs.db`
  onTestFinished(() => rmSync(dirname(path), { recursive: true }))
  const open = (priority: number) => {
    const app = new Celeriac({ engine: sqlite({ path, mode: 'fast' }) })
    onTestFinished(async () => app.close())
    return app.task('add', { priority }, (x: number) => x).with({ idempotencyKey: 'k' })
  }
  const [before, after] = [open(1), open(2)]
  const first = await before.delay(1)
  expect((await after.delay(1)).id).toBe(first.id)
  const [ann, ben] = [
    await after.with({ actor: { id: 'ann' } }).delay(2),
    await after.with({ actor: { id: 'ben' } }).delay(3),
  ]
  expect(new Set([first.id, ann.id, ben.id]).size).toBe(3)
})

test('a unique key is met by who holds it, a refusal, or a replacement', async () => {
  const { app } = appByHand()
  const buy = app.task('buy', { unique: { key: (shop: string) => `buy ${shop}` } }, (shop: string) => shop)
  const first = await buy.delay('ikea')
  expect((await buy.delay('ikea')).id).toBe(first.id)
  expect((await app.submit(buy.s('ikea'))).id).toBe(first.id)
  expect((await buy.delay('other')).id).not.toBe(first.id)
  const unique = { key: 'buy ikea', onConflict: 'reject' } as const
  await expect(buy.with({ unique }).delay('ikea')).rejects.toMatchObject({ code: 'UNIQUE_CONFLICT' })
  const replacing = await buy.with({ unique: { ...unique, onConflict: 'replace' } }).delay('ikea')
  expect(replacing.id).not.toBe(first.id)
  expect((await first.snapshot()).state).toBe('cancelled')
})

test('a large graph goes in parts, and comes out whole', async () => {
  const { app, engine, calls } = appByHand()
  const id = app.task('id', (x: number) => x)
  const collection = await app.submit(group(...Array.from({ length: 2500 }, (_, n) => id.s(n))))
  expect(calls.filter((method) => method === 'upload')).toHaveLength(3)
  const worker = await hand(engine)
  let count = 0
  for (let jobs = await worker.claim(500); jobs.length > 0; jobs = await worker.claim(500)) {
    for (const job of jobs) await worker.succeed(job, (JSON.parse(job.args) as number[])[0])
    count += jobs.length
  }
  expect(count).toBe(2500)
  expect(await collection.result()).toEqual(Array.from({ length: 2500 }, (_, n) => n))
})

test('an unknown task is refused by name, with the one it resembles, and nothing is stored', async () => {
  const { app } = appByHand()
  const add = app.task('math.add', (x: number) => x)
  const other = appByHand().app.task('math.ad', (x: number) => x)
  await expect(app.submit(chain(add.s(1), other.s()))).rejects.toThrow(
    'There is no task "math.ad": did you mean "math.add"?',
  )
  for (const name of ['constructor', '__proto__', 'celeriac.each', 'celeriac.callback']) {
    const canvas = { type: 'signature', task: name, args: [] } as unknown as ReturnType<typeof add.si>
    await expect(app.submit(canvas)).rejects.toMatchObject({ code: 'UNKNOWN_TASK' })
  }
  expect((await app.collections.list()).items).toEqual([])
})

test('arguments that are known whole are checked by the schema before anything is stored', async () => {
  const { app } = appByHand()
  const late = z.string().refine(async (text) => text !== 'late')
  const resize = app.task('images.resize', { input: [z.number(), late] }, (width, name) => `${name} ${width}`)
  const wrong = expect.objectContaining({
    code: 'INVALID_ARGUMENTS',
    message: expect.stringContaining('images.resize') as string,
  }) as Error
  await expect(resize.delay('x' as never, 'a')).rejects.toEqual(wrong)
  await expect(resize.delay(1, 'late')).rejects.toEqual(wrong)
  await expect(
    resize.delayMany([
      [1, 'a'],
      [1, 'late'],
    ]),
  ).rejects.toEqual(wrong)
  await expect(app.submit(chain(resize.s(1, 'a'), resize.si('x' as never, 'b')))).rejects.toEqual(wrong)
  await expect(app.submitMany([resize.s(1, 'a'), resize.s(1, 'late')])).rejects.toEqual(wrong)
  expect((await app.jobs.list()).items).toEqual([])
  await resize.delay(1, 'a')
  expect((await app.jobs.list()).items).toHaveLength(1)
})

test('a canvas of more jobs than the limit is refused', async () => {
  const { app } = appByHand({}, { maxJobs: 3 })
  const id = app.task('id', (x: number) => x)
  await app.submit(group(id.s(1), id.s(2), id.s(3)))
  await expect(app.submit(group(id.s(1), id.s(2), id.s(3), id.s(4)))).rejects.toMatchObject({ code: 'TOO_MANY_JOBS' })
})
