import { Celeriac, type Canvas, chain, group } from 'celeriac'
import { ApiProblem, createClient } from 'celeriac/client'
import { serve } from 'celeriac/http'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { partsOf } from '../../src/app/parts.ts'
import { instrument, type Instruments } from '../../src/engine/instrument.ts'
import { manualRuntime } from '../fixtures/clock.ts'
import { runHere } from '../fixtures/command-line.ts'
import { continued, failed, hand, succeeded } from '../fixtures/hand.ts'
import { groupOf } from '../fixtures/graphs.ts'
import { describeEngines } from '../fixtures/store.ts'
import { turns } from '../fixtures/working.ts'

/** From the last look at what is still stored to the next, a follower reads the feed at most this many times. */
const mostReads = 12
const lookEvery = 2_000

/** What a stream of events comes to: the types of its events, and the error that ended it. */
interface End {
  readonly types: string[]
  readonly error: any
}

describeEngines((engine) => {
  /** An app that is served, under a clock that the test moves; and another process, which works and removes. */
  async function open() {
    const place = await engine.place()
    onTestFinished(() => place.remove())
    const clock = manualRuntime()
    let reads = 0
    let reading = Promise.resolve()
    const instruments: Instruments = {
      runtime: clock,
      intercept: (method, call) => (method === 'events' ? reading.then(call) : call()),
      observe: ({ method }) => void (reads += method === 'events' ? 1 : 0),
    }
    const app = new Celeriac({ engine: (runtime) => instrument(place.connect(runtime), instruments), runtime: clock })
    onTestFinished(async () => app.close())
    const other = new Celeriac({ engine: place.connect, runtime: clock })
    onTestFinished(async () => other.close())
    const { engine: store } = await partsOf(other).connect()
    const { url, close } = await serve(app, { port: 0, auth: 'none' })
    onTestFinished(close)
    const worker = await hand(store)
    /** Lets time pass until it is over, and no longer than it may take. */
    const passUntil = async (done: Promise<unknown>): Promise<void> => {
      let isDone = false
      void done.then(() => (isDone = true))
      for (const before = reads; !isDone && reads - before < mostReads; await turns()) clock.pass(lookEvery)
      // The answer is on its way.
      for (let at = 0; !isDone && at < 10_000; at++) await turns(1)
      expect(isDone).toBe(true)
    }
    /** The feed is not read until the way to go on is called. */
    const holdReading = (): (() => void) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      reading = promise
      return resolve
    }
    const id = app.task('id', (x: any) => x)
    return { app, url, store, worker, clock, place, passUntil, holdReading, id }
  }

  type Open = Awaited<ReturnType<typeof open>>

  /** Ways to follow, live, each ended by an error with this code. */
  const ways: Record<string, (there: Open, kind: 'collection' | 'job', id: string) => AsyncIterable<{ type: string }>> =
    {
      library: ({ app }, kind, id) =>
        later<{ type: string }>(async () =>
          kind === 'job'
            ? (await app.job(id)).events({ live: true })
            : (await app.collection(id)).events({ live: true }),
        ),
      'server-sent events': ({ url }, kind, id) => streamed(`${url}/api/${kind}s/${id}/events?live=true`),
      WebSocket: ({ url }, kind, id) => lineTo(url, { type: 'follow', [kind]: id, live: true }),
      client: ({ url }, kind, id) => createClient({ url })[kind](id).follow({ live: true }),
    }

  test.each(Object.keys(ways))('what is removed while it is followed ends with NOT_FOUND: %s', async (way) => {
    const there = await open()
    const { app, worker, store, passUntil, id } = there
    const collection = await app.submit(chain(id.s(1), id.s()))
    const job = await id.delay(1)
    const [member] = (await collection.snapshot()).jobs
    const followed = [
      watch(ways[way]!(there, 'collection', collection.id)),
      watch(ways[way]!(there, 'job', member!.id)),
      watch(ways[way]!(there, 'collection', job.id)),
      watch(ways[way]!(there, 'job', job.id)),
    ]
    await Promise.all(followed.map(({ begun }) => begun))
    await worker.drain()
    // Removal takes along the events that were not read yet.
    await passUntil(Promise.all(followed.map(({ until }, at) => until(at % 2 === 0 ? 'settled' : 'state'))))
    expect(await store.remove(collection.id)).toBe('removed')
    expect(await store.remove(job.id)).toBe('removed')
    await passUntil(Promise.all(followed.map(({ done }) => done)))
    for (const { done } of followed) expect((await done).error).toMatchObject({ code: 'NOT_FOUND' })
  })

  test('what is removed before its end was read ends with NOT_FOUND, also where it is waited for', async () => {
    const { app, worker, store, passUntil, holdReading, id } = await open()
    const collection = await app.submit(chain(id.s(1), id.s()))
    const job = await id.delay(1)
    const [member] = (await collection.snapshot()).jobs
    const followed = [collection.events(), job.events(), (await app.job(member!.id)).events()].map((each) =>
      watch(each),
    )
    await Promise.all(followed.map(({ begun }) => begun))
    const goOn = holdReading()
    const results = [collection.result(), job.result()].map(async (result) =>
      result.then(null, (error: unknown) => error),
    )
    await worker.drain()
    expect(await store.remove(collection.id)).toBe('removed')
    expect(await store.remove(job.id)).toBe('removed')
    goOn()
    const ends = Promise.all([...followed.map(async ({ done }) => (await done).error), ...results])
    await passUntil(ends)
    for (const error of await ends) expect(error).toMatchObject({ code: 'NOT_FOUND' })
  })

  test.each(Object.keys(ways))('what retention removes ends with NOT_FOUND: %s', async (way) => {
    const there = await open()
    const { app, worker, store, clock, passUntil, id } = there
    const collection = await app.submit(group(id.s(1), id.s(2)), { retention: '1s' })
    const { begun, done } = watch(ways[way]!(there, 'collection', collection.id))
    await begun
    await worker.drain()
    clock.pass(lookEvery)
    await store.sweep()
    await passUntil(done)
    expect((await done).error).toMatchObject({ code: 'NOT_FOUND' })
  })

  test.each(Object.keys(ways))('what is not there, or no more, is not followed: %s', async (way) => {
    const there = await open()
    const { app, worker, store, id } = there
    const removed = await app.submit(chain(id.s(1), id.s()))
    const [member] = (await removed.snapshot()).jobs
    await worker.drain()
    expect(await store.remove(removed.id)).toBe('removed')
    const never = '0198a3c1-5f2b-7c44-9d1e-3b7a5c9e1f00'
    for (const [kind, wanted] of [
      ['collection', never],
      ['job', never],
      ['collection', removed.id],
      ['job', member!.id],
    ] as const) {
      const { types, error } = await watch(ways[way]!(there, kind, wanted)).done
      expect(types).toEqual([])
      expect(error).toMatchObject({ code: 'NOT_FOUND' })
    }
  })

  test('what is removed is not resumed', async () => {
    const { app, worker, store, url, id } = await open()
    const collection = await app.submit(chain(id.s(1), id.s()))
    const first = await collection.events()[Symbol.asyncIterator]().next()
    const after: string = first.value.cursor
    await worker.drain()
    expect(await store.remove(collection.id)).toBe('removed')
    for (const live of [true, false]) {
      await expect(collection.events({ after, live })[Symbol.asyncIterator]().next()).rejects.toMatchObject({
        code: 'NOT_FOUND',
      })
      const answer = await fetch(`${url}/api/collections/${collection.id}/events?live=${live}`, {
        headers: { 'last-event-id': after },
      })
      expect(answer.status).toBe(404)
    }
  })

  test('what is followed by a command ends in words', async () => {
    const { app, worker, store, place, id } = await open()
    const collection = await app.submit(chain(id.s(1), id.s()))
    await worker.drain()
    expect(await store.remove(collection.id)).toBe('removed')
    for (const wanted of [collection.id, '0198a3c1-5f2b-7c44-9d1e-3b7a5c9e1f00']) {
      const { code, err } = await runHere(['follow', wanted, '--url', place.url])
      expect(code).not.toBe(0)
      expect(err).toContain(`Nothing here has the id ${wanted}`)
    }
  })

  test('a job that a retry of everything took away is followed no longer than the next round', async () => {
    const { app, worker, id, passUntil } = await open()
    // A side branch that continued as a canvas, still at work while its collection is retried.
    const canvas = id.s(1).finally(app.declare<(x: any) => Canvas<any>>('become').s())
    const collection = await app.submit(canvas)
    await worker.succeed(await worker.take('id'))
    const inner = groupOf('inner')
    await worker.settle(await worker.take('become'), continued(inner))
    await worker.take('inner')
    expect((await collection.snapshot()).state).toBe('succeeded')
    const job = await app.job(inner.jobs[0]!.id)
    const followed = [watch(job.events()), watch(job.events({ live: true }))]
    await Promise.all(followed.map(({ begun }) => begun))
    const result = job.result().catch((error: unknown) => error)
    await collection.retry({ mode: 'all' })
    await worker.drain((claimed) => (claimed.task === 'become' ? failed() : succeeded(1)))
    await passUntil(followed[0]!.done)
    expect(await followed[0]!.done).toMatchObject({ types: ['snapshot', 'state'], error: null })
    await passUntil(result)
    expect(await result).toMatchObject({ code: 'JOB_CANCELLED' })
  })
})

function watch(events: AsyncIterable<{ readonly type: string }>) {
  const begun = Promise.withResolvers<void>()
  const types: string[] = []
  const awaited = new Map<string, () => void>()
  const done = (async (): Promise<End> => {
    try {
      for await (const { type } of events) {
        types.push(type)
        begun.resolve()
        awaited.get(type)?.()
      }
      return { types, error: null }
    } catch (error) {
      return { types, error }
    } finally {
      begun.resolve()
    }
  })()
  /** Resolves when an event of this type has come. */
  const until = async (type: string): Promise<void> => {
    if (!types.includes(type)) await new Promise<void>((resolve) => awaited.set(type, resolve))
  }
  return { begun: begun.promise, until, done }
}

async function* later<T>(open: () => Promise<AsyncIterable<T>>): AsyncGenerator<T> {
  yield* await open()
}

/** As an EventSource does: a stream that breaks off is opened again, behind the last event; an answer that is a problem is the end. */
async function* streamed(url: string): AsyncGenerator<{ type: string }> {
  for (let last: string | undefined; ;) {
    const answer = await fetch(url, { headers: last === undefined ? {} : { 'last-event-id': last } })
    if (answer.status === 204) return
    if (!answer.ok) throw new ApiProblem((await answer.json()) as never)
    const decoder = new TextDecoder()
    let text = ''
    try {
      for await (const bytes of answer.body as unknown as AsyncIterable<Uint8Array>) {
        const lines = (text + decoder.decode(bytes, { stream: true })).split('\n')
        text = lines.pop() ?? ''
        for (const line of lines) {
          if (line.startsWith('id: ')) last = line.slice(4)
          if (line.startsWith('event: ')) yield { type: line.slice(7) }
        }
      }
      return
    } catch {
      // Broken off.
    }
  }
}

async function* lineTo(url: string, order: object): AsyncGenerator<{ type: string }> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/live`)
  const heard: any[] = []
  let wake = (): void => {}
  socket.on('message', (data) => (heard.push(JSON.parse(String(data))), wake()))
  socket.on('open', () => socket.send(JSON.stringify(order)))
  try {
    for (let at = 0; ; at++) {
      while (at >= heard.length) await new Promise<void>((resolve) => (wake = resolve))
      const { type, event, problem } = heard[at]
      if (type === 'end') return
      if (type === 'problem') throw new ApiProblem(problem)
      if (type === 'event') yield event
    }
  } finally {
    socket.terminate()
  }
}
