import { expect, test } from 'vitest'
import { z } from 'zod'
import { type AppByHand, appByHand } from '../../test/fixtures/app-by-hand.ts'
import { continued, failed, type Hand, hand, succeeded } from '../../test/fixtures/hand.ts'
import { chain } from '../canvas/chain.ts'
import { compileContinuation } from '../canvas/compile.ts'
import { nodeOf } from '../canvas/canvas.ts'
import { group } from '../canvas/group.ts'
import { CeleriacError, JobCancelled, JobFailed, JobSkipped, NotFound } from '../core/errors.ts'
import { partsOf } from './parts.ts'
import { compileContext } from './submission.ts'

interface Stage extends AppByHand {
  readonly worker: Hand
  readonly tasks: ReturnType<typeof tasksOf>
}

const tasksOf = ({ app }: Pick<AppByHand, 'app'>) => ({
  id: app.task('id', (x: any) => x),
  nothing: app.task('nothing', () => {}),
  resize: app.task('images.resize', (x: any) => x),
})

async function stage(around: Parameters<typeof appByHand>[0] = {}): Promise<Stage> {
  const made = appByHand(around)
  return { ...made, tasks: tasksOf(made), worker: await hand(made.engine) }
}

test('a result is there at once where the job is over, and is waited for where it is not', async () => {
  const { worker, tasks } = await stage()
  const job = await tasks.id.delay(1)
  const waiting = job.result()
  await worker.succeed(await worker.take(), { a: [1] })
  expect(await waiting).toEqual({ a: [1] })
  expect(await job.result()).toEqual({ a: [1] })
})

test('no result is undefined, and a null stays null', async () => {
  const { worker, tasks, app } = await stage()
  const [none, nil] = [await tasks.nothing.delay(), await tasks.id.delay(null)]
  await worker.settle(await worker.take('nothing'), succeeded(undefined))
  await worker.succeed(await worker.take('id'), null)
  expect(await none.result()).toBeUndefined()
  expect(await nil.result()).toBeNull()
  expect(await (await app.job(none.id)).result()).toBeUndefined()
})

test('the results of a collection come nested as it was written', async () => {
  const { app, worker, tasks } = await stage()
  const { id } = tasks
  const collection = await app.submit(group(id.s(1), group(id.s(2), group(), id.s(3))))
  const waiting = collection.result()
  await worker.drain((job) => ({ type: 'succeeded', result: (JSON.parse(job.args) as number[]).join() }))
  expect(await waiting).toEqual([1, [2, [], 3]])
})

test('a failure names the job that failed first, from wherever it is asked', async () => {
  const { app, worker, tasks } = await stage()
  const collection = await app.submit(chain(tasks.resize.s(1), tasks.id.s()))
  await worker.fail(await worker.take('images.resize'), 'no such file')
  const [first, second] = (await collection.snapshot()).jobs
  const message = `Job images.resize (${first!.id}) failed: Error: no such file`
  const about = {
    code: 'JOB_FAILED',
    message,
    jobId: first!.id,
    reason: 'failed',
    failure: { message: 'no such file' },
  }
  await expect(collection.result()).rejects.toMatchObject(about)
  await expect(collection.result()).rejects.toBeInstanceOf(JobFailed)
  await expect((await app.job(first!.id)).result()).rejects.toMatchObject(about)
  const skipped = (await app.job(second!.id)).result()
  await expect(skipped).rejects.toBeInstanceOf(JobSkipped)
  await expect(skipped).rejects.toMatchObject({
    code: 'JOB_SKIPPED',
    jobId: first!.id,
    failure: { message: 'no such file' },
    message: `Job id (${second!.id}) was skipped: ${message}`,
  })
})

test('a job that continued fails with the failure of the job inside', async () => {
  const { app, worker, tasks } = await stage()
  const outer = await tasks.id.delay(1)
  const context = { ...compileContext(partsOf(app)) }
  const claimed = await worker.take()
  const inside = compileContinuation(nodeOf(tasks.resize.s(2), ''), { role: 'main', options: claimed.options }, context)
  const waiting = expect(outer.result()).rejects.toMatchObject({
    jobId: inside.jobs[0]!.id,
    message: `Job id (${outer.id}) failed: Job images.resize (${inside.jobs[0]!.id}) failed: Error: Expected`,
  })
  await worker.settle(claimed, continued(inside))
  await worker.fail(await worker.take('images.resize'))
  await waiting
})

test('a time-out and an expiry say so', async () => {
  const { app, clock, engine, worker, tasks } = await stage()
  const late = await tasks.resize.delay(1)
  await worker.settle(await worker.take(), { ...failed('too slow'), reason: 'timeout' } as never)
  await expect(late.result()).rejects.toMatchObject({
    reason: 'timeout',
    message: expect.stringContaining('timed out: Error: too slow') as string,
  })
  const expired = await tasks.resize.with({ expires: 100 }).delay(1)
  clock.pass(101)
  await engine.sweep()
  await expect(expired.result()).rejects.toBeInstanceOf(JobCancelled)
  await expect(expired.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED', reason: 'expired', jobId: expired.id })
  await expect((await app.collection(expired.id)).result()).rejects.toMatchObject({
    reason: 'expired',
    jobId: expired.id,
  })
})

test('what is cancelled throws JobCancelled to everybody who waits', async () => {
  const { app, tasks } = await stage()
  const job = await tasks.id.delay(1)
  const collection = await app.submit(chain(tasks.id.s(1), tasks.id.s()))
  const waiting = [job.result(), collection.result()].map((result) =>
    expect(result).rejects.toBeInstanceOf(JobCancelled),
  )
  await job.cancel()
  await collection.cancel()
  await Promise.all(waiting)
  expect((await collection.snapshot()).state).toBe('cancelled')
  await job.cancel()
  await expect(job.result()).rejects.toThrow(`Job id (${job.id}) was cancelled.`)
})

test('a wait ends with its time or its signal, and the job goes on', async () => {
  const { clock, tasks, worker } = await stage()
  const job = await tasks.id.delay(1)
  const timedOut = expect(job.result({ timeout: '1m' })).rejects.toMatchObject({ code: 'TIMED_OUT' })
  const controller = new AbortController()
  const aborted = expect(job.result({ signal: controller.signal })).rejects.toThrow('enough')
  await expect(job.result({ signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before')
  await job.snapshot()
  clock.pass(60_000)
  controller.abort(new Error('enough'))
  await Promise.all([timedOut, aborted])
  await worker.succeed(await worker.take(), 1)
  expect(await job.result({ timeout: 0 })).toBe(1)
  await expect(job.result({ timeout: '1x' as never })).rejects.toMatchObject({ code: 'BAD_DURATION' })
})

test('an id that nothing has is NotFound', async () => {
  const { app } = await stage()
  const id = '0198aaaa-0000-7000-8000-000000000000'
  await expect(app.job(id)).rejects.toBeInstanceOf(NotFound)
  await expect(app.collection(id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  for (const wrong of ['', 'nonsense', undefined, 5]) {
    await expect(app.job(wrong as string)).rejects.toThrow('is not the id of a job')
    await expect(app.collection(wrong as string)).rejects.toThrow('is not the id of a collection')
  }
})

test('a snapshot leaves out what is not there, and tells the history', async () => {
  const { worker, tasks, clock, app } = await stage()
  const job = await tasks.id.with({ retry: { limit: 1 } }).delay(1)
  const before = await job.snapshot()
  expect(before).toEqual({
    id: job.id,
    task: 'id',
    collectionId: job.id,
    state: 'queued',
    role: 'main',
    queue: 'default',
    priority: 0,
    args: [1],
    after: [],
    attempt: 0,
    failures: 0,
    round: 1,
    tags: [],
    createdAt: new Date(clock.now()),
    cancelling: false,
    continued: false,
    attempts: [],
    log: [],
  })
  await worker.settle(await worker.take(), {
    type: 'retried',
    failure: { name: 'Error', message: 'once', attempt: 1, at: '' },
    delay: 1,
  })
  clock.pass(1)
  const second = await worker.take()
  const line = { at: clock.now(), attempt: 2, level: 'info', message: 'again', data: '{"a":1}' } as const
  await worker.beat({
    progress: [{ ref: second.ref, token: second.token, progress: { done: 1, total: 2 } }],
    log: [{ ref: second.ref, token: second.token, line }],
  })
  expect(await job.snapshot()).toMatchObject({
    state: 'running',
    progress: { done: 1, total: 2 },
    attempt: 2,
    failures: 1,
  })
  await worker.succeed(second, 7)
  expect(await job.snapshot()).toMatchObject({
    state: 'succeeded',
    result: 7,
    worker: 'hand',
    finishedAt: new Date(clock.now()),
    attempts: [
      { attempt: 1, outcome: 'retried', failure: { message: 'once' } },
      { attempt: 2, outcome: 'succeeded' },
    ],
    log: [{ at: new Date(clock.now()), attempt: 2, level: 'info', message: 'again', data: { a: 1 } }],
  })
  expect(await (await app.collection(job.id)).snapshot()).toMatchObject({
    state: 'succeeded',
    result: 7,
    progress: { done: 1, total: 1 },
  })
})

test('progress counts the main jobs', async () => {
  const { app, worker, tasks } = await stage()
  const collection = await app.submit(chain(tasks.id.s(1), tasks.id.s()).finally(tasks.nothing.si()))
  await worker.succeed(await worker.take())
  expect((await collection.snapshot()).progress).toEqual({ done: 1, total: 2 })
  expect((await app.collections.list()).items).toMatchObject([{ progress: { done: 1, total: 2 } }])
})

test('a handle that strays into an argument is told by its name', async () => {
  const { tasks } = await stage()
  const job = await tasks.id.delay(1)
  await expect(tasks.id.delay(job)).rejects.toMatchObject({
    code: 'NOT_JSON',
    message: expect.stringContaining('a handle') as string,
  })
})

test('retry puts back what failed, in the same collection', async () => {
  const { app, worker, tasks } = await stage()
  const collection = await app.submit(chain(tasks.id.s(1), tasks.id.s()))
  await worker.succeed(await worker.take())
  await worker.fail(await worker.take())
  await collection.retry()
  expect(await collection.snapshot()).toMatchObject({
    state: 'running',
    round: 2,
    jobs: [{ state: 'succeeded' }, { state: 'queued' }],
  })
  await worker.succeed(await worker.take(), 'done')
  expect(await collection.result()).toBe('done')
  await collection.retry({ mode: 'all' })
  expect((await collection.snapshot()).jobs.map(({ state }) => state)).toEqual(['queued', 'waiting'])
})

test('a retry that cannot be is refused with what to do', async () => {
  const { app, worker, tasks } = await stage()
  const collection = await app.submit(chain(tasks.id.s(1), tasks.id.s()))
  await expect(collection.retry()).rejects.toMatchObject({ code: 'NOT_SETTLED' })
  await worker.fail(await worker.take())
  const second = await app.job((await collection.snapshot()).jobs[1]!.id)
  await expect(second.retry()).rejects.toMatchObject({ code: 'NOT_RETRYABLE' })
  await expect(collection.retry({ mode: 'some' as never })).rejects.toMatchObject({ code: 'BAD_OPTION' })
  const job = await tasks.id.delay(1)
  await worker.succeed(await worker.take())
  await expect(job.retry()).rejects.toMatchObject({ code: 'NOT_RETRYABLE' })
})

test('of two retries at once one takes effect, and the other is told', async () => {
  const { app, worker, tasks } = await stage()
  const collection = await app.submit(group(tasks.id.s(1), tasks.id.s(2)))
  await worker.drain(() => failed())
  const answers = await Promise.allSettled([collection.retry(), collection.retry()])
  expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  expect((await collection.snapshot()).round).toBe(2)
})

test.each(['before', 'after'] as const)(
  'a retry whose request fails %s it took effect takes effect once',
  async (when) => {
    let isBroken = true
    const { worker, tasks } = await stage({
      async intercept(method, call) {
        if (method !== 'retry' || !isBroken) return call()
        isBroken = false
        if (when === 'after') await call()
        throw new CeleriacError('STORE_UNREACHABLE', 'cut')
      },
    })
    const job = await tasks.id.delay(1)
    await worker.fail(await worker.take())
    await job.retry()
    expect(await job.snapshot()).toMatchObject({ state: 'queued', round: 2 })
  },
)

test('a job is retried with other arguments', async () => {
  const { worker, tasks, calls } = await stage()
  const job = await tasks.id.delay(1)
  await worker.fail(await worker.take())
  await job.retry({ args: [{ other: true }, undefined] })
  expect(await worker.take()).toMatchObject({ args: '[{"other":true}]', round: 2 })
  expect((await job.snapshot()).args).toEqual([{ other: true }])
  expect(calls.filter((call) => call === 'retry')).toHaveLength(1)
})

test('a job that was cancelled before its start time is held by a retry, unless it is to start now', async () => {
  const { app, tasks } = await stage()
  for (const retry of [
    async (id: string, options?: { now: boolean }) => (await app.job(id)).retry(options),
    async (id: string, options?: { now: boolean }) => (await app.collection(id)).retry(options),
  ]) {
    const job = await tasks.id.with({ startIn: '1h' }).delay(1)
    await job.cancel()
    await retry(job.id)
    expect(await job.snapshot()).toMatchObject({ state: 'scheduled', round: 2 })
    await job.cancel()
    await retry(job.id, { now: true })
    expect(await job.snapshot()).toMatchObject({ state: 'queued', round: 3 })
  }
  const collection = await app.submit(chain(tasks.id.s(1)))
  await expect(collection.retry({ now: 1 as never })).rejects.toMatchObject({ code: 'BAD_OPTION' })
})

test('other arguments are checked before anything is asked, or changed', async () => {
  const { app, worker, calls } = await stage()
  const resize = app.task('resize', { input: z.object({ width: z.number() }) }, (image: { width: number }) => image)
  const job = await resize.delay({ width: 1 })
  await worker.fail(await worker.take())
  for (const [options, code] of [
    [{ args: 'wide' }, 'BAD_OPTION'],
    [{ now: 'yes' }, 'BAD_OPTION'],
    [{ arg: [] }, 'BAD_OPTION'],
    [{ args: [new Date(0)] }, 'NOT_JSON'],
    [{ args: [{ width: 'wide' }] }, 'INVALID_ARGUMENTS'],
    [{ args: [] }, 'INVALID_ARGUMENTS'],
    [{ args: [{ width: 1 }, 2] }, 'INVALID_ARGUMENTS'],
  ] as [object, string][]) {
    await expect(job.retry(options)).rejects.toMatchObject({ code })
  }
  expect(calls).not.toContain('retry')
  await job.retry({ args: [{ width: 2 }] })
  expect((await worker.take()).args).toBe('[{"width":2}]')
})

test('where a result comes before them, or the task is unknown here, no schema is asked about arguments', async () => {
  const { app, worker, tasks } = await stage()
  const resize = app.task('resize', { input: [z.object({ width: z.number() }), z.string()] }, (image, name) => [
    image,
    name,
  ])
  const { jobs } = await (await app.submit(chain(tasks.id.s({ width: 1 }), resize.s('a.png')))).snapshot()
  await worker.succeed(await worker.take(), { width: 1 })
  await worker.fail(await worker.take())
  await (await app.job(jobs[1]!.id)).retry({ args: ['b.png'] })
  expect((await worker.take()).args).toBe('["b.png"]')
})

test('a job that goes on with the canvas it returned is not given other arguments', async () => {
  const { app, worker, tasks } = await stage()
  const job = await tasks.id.delay(1)
  const inner = compileContinuation(
    nodeOf(tasks.resize.s(2), ''),
    { role: 'main', options: {} },
    compileContext(partsOf(app)),
  )
  await worker.settle(await worker.take(), continued(inner))
  await worker.fail(await worker.take('images.resize'))
  await expect(job.retry({ args: [3] })).rejects.toMatchObject({
    code: 'NOT_RETRYABLE',
    message: expect.stringContaining(inner.jobs[0]!.id) as string,
  })
  await job.retry()
  expect(await worker.take()).toMatchObject({ task: 'images.resize', args: '[2]' })
})

test('a retry whose answer was lost counts as done only where its own arguments are there', async () => {
  for (const [isFirst, args] of [
    [true, '[2]'],
    [false, '[3]'],
  ] as const) {
    let isLost = true
    const { worker, tasks, engine } = await stage({
      async intercept(method, call) {
        if (method !== 'retry' || !isLost) return call()
        isLost = false
        if (isFirst) await call()
        // Somebody else was quicker.
        else await engine.retry({ selection: { jobId: job.id }, expectedRound: 1, mode: 'failed', args: '[3]' })
        throw new CeleriacError('STORE_UNREACHABLE', 'The answer was lost.')
      },
    })
    const job = await tasks.id.delay(1)
    await worker.fail(await worker.take())
    const retrying = job.retry({ args: [2] })
    if (isFirst) await retrying
    else await expect(retrying).rejects.toMatchObject({ code: 'NOT_SETTLED' })
    expect((await worker.take()).args).toBe(args)
  }
})
