import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  Celeriac,
  type CeleriacOptions,
  chain,
  type CollectionHandle,
  type CollectionSnapshot,
  group,
  type JobHandle,
  type JobSnapshot,
  type JobState,
} from 'celeriac'
import { verifyCallback } from 'celeriac/callbacks'
import { createHandler } from 'celeriac/http'
import { Worker } from 'celeriac/worker'
import { partsOf } from '../../src/app/parts.ts'
import { rotateSecret, signingSecrets } from '../../src/callbacks/secrets.ts'
import { systemRuntime } from '../../src/core/runtime.ts'
import { newSecret } from '../../src/core/secret.ts'
import type { Place } from '../engines.ts'
import { jumpingRuntime } from '../fixtures/jumping.ts'
import { openOwn } from '../fixtures/own-transaction.ts'
import { type Answering, payloadOf, type Received, type Receiver, startReceiver } from '../fixtures/receiver.ts'
import { describeEngines } from '../fixtures/store.ts'
import { createStage, defineTasks, jobOf } from '../fixtures/system.ts'
import { documentOf } from '../http/api.ts'
import { Documented } from '../http/documented.ts'

const secret = newSecret(systemRuntime)
const callbacks = { secrets: [secret], allow: ['127.0.0.1'] }

describeEngines((engine) => {
  const clock = jumpingRuntime()
  const stage = createStage()
  const closing: (() => unknown)[] = []
  const opened: (() => unknown)[] = []
  let place: Place
  let app: Celeriac
  let tasks: ReturnType<typeof defineTasks>
  let documented: Documented

  const closeAll = async (list: (() => unknown)[]): Promise<void> => {
    for (const close of list.splice(0).reverse()) await close()
  }
  /** Another process on the same store, as it were. */
  const open = (list: (() => unknown)[], at: Place, options: CeleriacOptions = { callbacks }): Celeriac => {
    const made = new Celeriac({ engine: (runtime) => at.connect(runtime), runtime: clock, ...options })
    list.push(() => made.close())
    return made
  }
  const work = async (list: (() => unknown)[], by: Celeriac, queues?: readonly string[]): Promise<void> => {
    const worker = new Worker(by, { lease: '60s', ...(queues && { queues }), log: () => {} })
    list.push(() => worker.stop({ grace: 0 }))
    await worker.start()
  }

  beforeAll(async () => {
    place = await engine.place()
    opened.push(() => place.remove())
    app = open(opened, place)
    tasks = defineTasks(app, stage)
    documented = new Documented(await documentOf(createHandler(app, { auth: 'none' })))
    await work(opened, app)
    await work(opened, app)
  })
  afterEach(() => closeAll(closing))
  afterAll(() => closeAll(opened))

  const receive = async (answer?: Answering): Promise<Receiver> => {
    const receiver = await startReceiver(answer, { check: (request) => documented.expectCallback(request) })
    closing.push(() => receiver.close())
    return receiver
  }
  /** The job that calls back for a collection. */
  const callbackOf = async (collection: CollectionHandle<unknown>): Promise<JobHandle<unknown>> =>
    app.job(jobOf(await collection.snapshot(), 'celeriac.callback').id)
  /** Follows the job until it has been in a state after so many attempts. */
  const reached = async (job: JobHandle<unknown>, state: JobState, attempt = 1): Promise<JobSnapshot> => {
    for await (const _ of job.events({ live: true })) {
      const snapshot = await job.snapshot()
      if (snapshot.state === state && snapshot.attempt === attempt) return snapshot
    }
    throw new Error('The events ended too early.')
  }
  /** Waits for the callback to be put off after an attempt, and lets that time pass. */
  const passBackoff = async (job: JobHandle<unknown>, attempt: number): Promise<JobSnapshot> => {
    const snapshot = await reached(job, 'scheduled', attempt)
    clock.jump(snapshot.dueAt!.getTime() - clock.now() + 1)
    return snapshot
  }
  const settled = async (collection: CollectionHandle<unknown>): Promise<CollectionSnapshot> => {
    await collection.result().catch(() => undefined)
    return collection.snapshot()
  }

  describe('tells what became of a collection', () => {
    test('that succeeded: signed, with results, beside side branches that go on', async () => {
      const receiver = await receive()
      const [gate, word] = [stage.word(), stage.word()]
      const canvas = chain(tasks.add.s(1, 2), group(tasks.mul.s(5), tasks.become.s())).finally(
        tasks.slowSettled.s(gate, word),
      )
      const callback = { url: `${receiver.url}?for=me`, results: 'all' } as const
      const options = { callback, description: 'Sums', actor: { id: 'u' }, tags: ['x'] }
      const collection = await app.submit(canvas, options)
      const [request] = (await receiver.arrived(1)) as [Received]
      const snapshot = await settled(collection)
      const job = jobOf(snapshot, 'celeriac.callback')
      expect([request.method, request.path]).toEqual(['POST', '/hook?for=me'])
      expect(request.headers['webhook-id']).toBe(`msg_${job.id}_1`)
      const { type, timestamp, data } = await verifyCallback(request, secret, { runtime: clock })
      expect([type, timestamp]).toEqual(['collection.settled', snapshot.settledAt?.toISOString()])
      expect(data).toMatchObject({
        ...{ id: collection.id, state: 'succeeded', round: 1, description: 'Sums', actor: { id: 'u' }, tags: ['x'] },
        ...{ result: [15, 3], progress: { done: 5, total: 5 }, settled_at: timestamp },
      })
      expect(data.jobs.map((job) => [job.task, job.role, job.result])).toEqual([
        ...[
          ['add', 'main', 3],
          ['mul', 'main', 15],
          ['become', 'main', 3],
          ['id', 'main', 3],
          ['id', 'main', 3],
        ],
        ['slowSettled', 'side', undefined],
      ])
      expect(data.counts).toMatchObject({ succeeded: 5 })
      expect(data).not.toHaveProperty('truncated')
      expect(await (await app.job(job.id)).result()).toEqual({ status: 204 })
      stage.open(gate)
    })

    test('that failed: with the failure, and whose it is', async () => {
      const receiver = await receive()
      const collection = await app.submit(chain(tasks.fail.s(), tasks.id.s()), { callbackUrl: receiver.url })
      const [request] = (await receiver.arrived(1)) as [Received]
      const { data } = await verifyCallback(request, secret, { runtime: clock })
      const { jobs, state } = await settled(collection)
      expect([data.state, state]).toEqual(['failed', 'failed'])
      expect(data).toMatchObject({ failure: { name: 'Error', message: 'Expected' }, failed_job_id: jobs[0]?.id })
      expect(data.jobs).toMatchObject([
        { task: 'fail', state: 'failed', reason: 'failed', attempt: 1, failures: 1, failed_job_id: jobs[0]?.id },
        { task: 'id', state: 'skipped', reason: 'upstream', failed_job_id: jobs[0]?.id },
      ])
      expect(request.body).not.toContain('"stack"')
    })

    test('that was cancelled, and one with a step that failed before the canvas began on which others hang', async () => {
      const receiver = await receive()
      const gate = stage.word()
      const slow = await app.submit(tasks.slow.s(1, gate), { callbackUrl: receiver.url })
      await stage.arrived(gate)
      await slow.cancel()
      await receiver.arrived(1)
      const word = stage.word()
      const gated = chain(tasks.fail.s(), tasks.id.s().finally(tasks.log.s(word)))
      const skipped = await app.submit(gated, { callbackUrl: receiver.url })
      const told = (await receiver.arrived(2)).map((request) => payloadOf(request).data)
      expect(told).toMatchObject([
        { id: slow.id, state: 'cancelled', jobs: [{ state: 'cancelled', reason: 'cancelled' }] },
        { id: skipped.id, state: 'failed', jobs: [{ state: 'failed' }, { state: 'skipped' }, { state: 'skipped' }] },
      ])
    })

    test('again after each retry, under an id of its own', async () => {
      const receiver = await receive()
      const word = stage.word()
      stage.broken.add(word)
      const collection = await app.submit(tasks.flaky.s(1, word), { callbackUrl: receiver.url })
      const callback = await callbackOf(collection)
      await reached(callback, 'succeeded')
      stage.broken.delete(word)
      await collection.retry()
      expect(await collection.result()).toBe(1)
      await reached(callback, 'succeeded', 2)
      await collection.retry({ mode: 'all' })
      await reached(callback, 'succeeded', 3)
      const requests = await receiver.arrived(3)
      expect(requests.map(({ headers }) => headers['webhook-id'])).toEqual(
        [1, 2, 3].map((round) => `msg_${callback.id}_${round}`),
      )
      expect(requests.map((request) => payloadOf(request).data)).toMatchObject([
        { round: 1, state: 'failed', jobs: [{ attempt: 1, failure: {} }] },
        { round: 2, state: 'succeeded', result: 1, jobs: [{ attempt: 2 }] },
        { round: 3, state: 'succeeded', result: 1, jobs: [{ attempt: 3 }] },
      ])
      expect(payloadOf(requests[1]!).data).not.toHaveProperty('failure')
    })

    test('with results only up to 1 MiB', async () => {
      const receiver = await receive()
      const large = 'x'.repeat(200 * 1024)
      const canvas = group(...Array.from({ length: 4 }, () => tasks.id.s(large)))
      const callback = { url: receiver.url, results: 'all' } as const
      const sizes: number[] = []
      const told = async (n: number) => {
        const request = (await receiver.arrived(n))[n - 1]!
        sizes.push(request.body.length)
        const { jobs, result, truncated } = payloadOf(request).data
        return { result: (result as string[] | undefined)?.length, jobs: jobs.map((job) => 'result' in job), truncated }
      }
      await app.submit(canvas, { callback })
      expect(await told(1)).toEqual({ result: 4, jobs: [true, false, false, false], truncated: true })
      await app.submit(group(canvas, canvas), { callback })
      const jobs = [true, true, true, true, true, false, false, false]
      expect(await told(2)).toEqual({ result: undefined, jobs, truncated: true })
      expect(Math.max(...sizes)).toBeLessThanOrEqual(1024 * 1024)
    })

    test('with the results that it is to carry, by default that of the whole', async () => {
      const receiver = await receive()
      const { url } = receiver
      const canvas = chain(tasks.add.s(1, 2), tasks.mul.s(5))
      const told: unknown[][] = []
      for (const options of [
        { callbackUrl: url },
        ...(['none', 'exit', 'all'] as const).map((results) => ({ callback: { url, results } })),
      ]) {
        await app.submit(canvas, options)
        const { state, result, jobs } = payloadOf((await receiver.arrived(told.length + 1))[told.length]!).data
        expect(state).toBe('succeeded')
        told.push([result, ...jobs.map((job) => job.result)])
      }
      expect(told).toEqual([
        [15, undefined, undefined],
        [undefined, undefined, undefined],
        [15, undefined, undefined],
        [15, 3, 15],
      ])
    })

    test('of a canvas that is stored in parts', async () => {
      const receiver = await receive()
      const count = 2_500
      await app.submit(group(...Array.from({ length: count }, (_, n) => tasks.id.s(n))), {
        callback: { url: receiver.url, results: 'all' },
      })
      const { data } = payloadOf((await receiver.arrived(1))[0]!)
      expect(data).toMatchObject({ state: 'succeeded', progress: { done: count, total: count } })
      expect(data.jobs.every(({ result }, n) => result === n)).toBe(true)
    })

    test('of a canvas without jobs, of each of many, and of what is done in a queue of its own', async () => {
      const receiver = await receive()
      const { url: callbackUrl } = receiver
      await app.submit(group(), { callbackUrl })
      await app.submitMany([tasks.add.s(1, 1), tasks.add.s(2, 2)], { callbackUrl })
      const results = (await receiver.arrived(3)).map((request) => payloadOf(request).data.result)
      expect(results.map((result) => JSON.stringify(result)).toSorted()).toEqual(['2', '4', '[]'])
      const elsewhere = await engine.place()
      closing.push(() => elsewhere.remove())
      const other = open(closing, elsewhere)
      const add = other.task('add', { queue: 'sums' }, (x: number, y: number) => x + y)
      await work(closing, other, ['sums'])
      await other.submit(add.s(3, 3), { callbackUrl })
      expect(payloadOf((await receiver.arrived(4))[3]!).data).toMatchObject({ result: 6 })
    })
  })

  describe('sends again what did not arrive', () => {
    test('with the same id at another time, until it does', async () => {
      const receiver = await receive((response, n) => void response.writeHead(n < 2 ? 503 : 200).end(`answer ${n}`))
      const collection = await app.submit(tasks.add.s(1, 2), { callbackUrl: receiver.url })
      const callback = await callbackOf(collection)
      const { failure } = await passBackoff(callback, 1)
      expect(failure).toMatchObject({
        name: 'CallbackFailed',
        message: `127.0.0.1:${receiver.port} answered 503: answer 0`,
      })
      await passBackoff(callback, 2)
      expect(await reached(callback, 'succeeded', 3)).toMatchObject({ failures: 2, result: { status: 200 } })
      const requests = await receiver.arrived(3)
      expect(new Set(requests.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
      const times = requests.map(({ headers }) => Number(headers['webhook-timestamp']))
      expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(2)
      expect(times[2]! - times[1]!).toBeGreaterThanOrEqual(9)
      expect(new Set(requests.map(({ body }) => body)).size).toBe(1)
      for (const request of requests) await verifyCallback(request, secret, { runtime: clock, tolerance: '1h' })
      expect(await settled(collection)).toMatchObject({ state: 'succeeded', round: 1 })
    })

    test('but nothing to a receiver that wants no more; somebody may send it again, which is the same', async () => {
      const receiver = await receive((response, n) => void response.writeHead(n === 0 ? 410 : 204).end())
      const collection = await app.submit(tasks.add.s(1, 2), { callbackUrl: receiver.url })
      const callback = await callbackOf(collection)
      const { failure } = await reached(callback, 'failed')
      expect(failure?.message).toContain('answered 410, it wants no more callbacks')
      expect((await settled(collection)).state).toBe('succeeded')
      await callback.retry()
      await reached(callback, 'succeeded', 2)
      const ids = (await receiver.arrived(2)).map(({ headers }) => headers['webhook-id'])
      expect(ids).toEqual([`msg_${callback.id}_1`, `msg_${callback.id}_1`])
    })

    test('and does not follow a redirect', async () => {
      const target = await receive()
      const location = `${target.url}?token=hunter2`
      const receiver = await receive((response) => void response.writeHead(307, { location }).end())
      const collection = await app.submit(tasks.add.s(1, 2), { callbackUrl: receiver.url })
      const { failure } = await reached(await callbackOf(collection), 'scheduled')
      expect(failure?.message).toContain(`answered 307, which leads to ${target.url}: callbacks are not redirected`)
      expect([target.received.length, failure?.message.includes('hunter2')]).toEqual([0, false])
    })

    test('also to a receiver that never answered, and to one that stops answering in the middle of it', async () => {
      const silent: Answering = (response, n) => void (n === 0 ? undefined : response.writeHead(200).end())
      const receiver = await receive(silent)
      const collection = await app.submit(tasks.add.s(1, 2), { callbackUrl: receiver.url })
      const callback = await callbackOf(collection)
      await receiver.arrived(1)
      clock.jump(10_000)
      const { failure } = await passBackoff(callback, 1)
      expect(failure?.message).toBe(`127.0.0.1:${receiver.port} did not answer within 10 s`)
      await reached(callback, 'succeeded', 2)
    })

    test('and not to one that answers endlessly: what it says first counts', async () => {
      const receiver = await receive((response) => {
        const write = (): void => {
          while (!response.destroyed && response.write('x'.repeat(16 * 1024)));
        }
        response.writeHead(500).on('drain', write)
        write()
      })
      const collection = await app.submit(tasks.add.s(1, 2), { callbackUrl: receiver.url })
      const { failure } = await reached(await callbackOf(collection), 'scheduled')
      expect(failure?.message).toBe(`127.0.0.1:${receiver.port} answered 500: ${'x'.repeat(200)}`)
    })

    test('until it is cancelled, or the collection is retried', async () => {
      const receiver = await receive((response, n) => void response.writeHead(n === 2 ? 204 : 500).end())
      const word = stage.word()
      stage.broken.add(word)
      const collection = await app.submit(tasks.flaky.s(1, word), { callbackUrl: receiver.url })
      const callback = await callbackOf(collection)
      await reached(callback, 'scheduled')
      await callback.cancel()
      expect(await callback.snapshot()).toMatchObject({ state: 'cancelled' })
      await collection.retry()
      await reached(callback, 'scheduled', 2)
      stage.broken.delete(word)
      await collection.retry()
      await reached(callback, 'succeeded', 3)
      const ids = (await receiver.arrived(3)).map(({ headers }) => headers['webhook-id'])
      expect(ids).toEqual([1, 2, 3].map((round) => `msg_${callback.id}_${round}`))
    })
  })

  test('a worker that is not allowed to sends nothing into its own network, whoever submitted it', async () => {
    const receiver = await receive()
    const elsewhere = await engine.place()
    closing.push(() => elsewhere.remove())
    const sender = open(closing, elsewhere)
    const strict = open(closing, elsewhere, { callbacks: { secrets: [secret], allow: [] } })
    const add = sender.task('add', (x: number, y: number) => x + y)
    strict.task('add', (x: number, y: number) => x + y)
    await work(closing, strict)
    const collection = await sender.submit(add.s(1, 2), { callbackUrl: receiver.url })
    const job = await sender.job(jobOf(await collection.snapshot(), 'celeriac.callback').id)
    expect((await reached(job, 'scheduled')).failure?.message).toContain('leads to an address that is not public')
    expect(receiver.received).toEqual([])
  })

  test('the store keeps a secret that all processes sign with, and the one before it for a day', async () => {
    const receiver = await receive()
    const elsewhere = await engine.place()
    closing.push(() => elsewhere.remove())
    const [one, two] = [1, 2].map(() => open(closing, elsewhere, { callbacks: { allow: ['127.0.0.1'] } })) as [
      Celeriac,
      Celeriac,
    ]
    const add = one.task('add', (x: number, y: number) => x + y)
    await work(closing, one)
    const sourceOf = async (by: Celeriac) => {
      const { callbacks: settings, runtime, connect } = partsOf(by)
      return { settings, store: (await connect()).engine, runtime }
    }
    const send = async (n: number): Promise<Received> => {
      await one.submit(add.s(n, n), { callbackUrl: receiver.url })
      return (await receiver.arrived(n))[n - 1]!
    }
    const verified = async (request: Received, by: string): Promise<boolean> =>
      verifyCallback(request, by, { runtime: clock }).then(
        () => true,
        () => false,
      )
    const first = await send(1)
    const [old = ''] = await signingSecrets(await sourceOf(two))
    expect(await verified(first, old)).toBe(true)
    const fresh = await rotateSecret(await sourceOf(two), partsOf(two).newId)
    const second = await send(2)
    expect([await verified(second, old), await verified(second, fresh)]).toEqual([true, true])
    clock.jump(24 * 60 * 60_000 + 1)
    const third = await send(3)
    expect([await verified(third, old), await verified(third, fresh)]).toEqual([false, true])
  })

  test.skipIf(engine.name === 'redis')('within a transaction it is asked for only if that is kept', async () => {
    const receiver = await receive()
    const own = await openOwn(place.connect(clock))
    closing.push(() => own.close())
    const send = async (x: number): Promise<void> => {
      await own.begin()
      await app.submit(tasks.add.s(x, x), { callbackUrl: receiver.url, within: own.client })
    }
    await send(1)
    await own.rollback()
    await send(2)
    await own.commit()
    expect(payloadOf((await receiver.arrived(1))[0]!).data).toMatchObject({ result: 4 })
  })
})
