import { describe, expect, it, onTestFinished } from 'vitest'
import { chain, chord } from 'celeriac'
import { all } from '../../test/fixtures/app-by-hand.ts'
import { Proxy } from '../../test/fixtures/proxy.ts'
import { served } from '../../test/fixtures/serving.ts'
import { ApiProblem, type CollectionEvent, createClient, NoResult } from './client.ts'

/** WebSockets that are opened from now on, until the test is over. */
function watchSockets(make = (Real: typeof WebSocket, url: string): WebSocket => new Real(url)): WebSocket[] {
  const opened: WebSocket[] = []
  const Real = globalThis.WebSocket
  globalThis.WebSocket = function (url: string) {
    const socket = make(Real, url)
    opened.push(socket)
    return socket
  } as never
  onTestFinished(() => void (globalThis.WebSocket = Real))
  return opened
}

const told = (events: readonly CollectionEvent[]): unknown[] =>
  events.map((event) => (event.type === 'state' ? `${event.state} ${event.attempt}` : event.type))

/** Reads all there will be; resolves when the first has been read. */
async function gather<T>(iterable: AsyncIterable<T>): Promise<{ readonly whole: Promise<T[]> }> {
  const events = iterable[Symbol.asyncIterator]()
  const first = await events.next()
  const rest = all({ [Symbol.asyncIterator]: () => events })
  return { whole: rest.then((others) => (first.done ? [] : [first.value, ...others])) }
}

async function until<T extends CollectionEvent>(
  events: AsyncIterator<CollectionEvent>,
  is: (event: CollectionEvent) => event is T,
): Promise<T> {
  for (;;) {
    const { done, value } = await events.next()
    if (done) throw new Error('The events ended before.')
    if (is(value)) return value
  }
}

describe('a client', () => {
  it('sends a task, follows it to its end, and has its result', async () => {
    const { client, work } = await served()
    const collection = await client.submit<number>('add', [20, 22], { description: 'by hand', tags: ['a'] })
    const following = await gather(collection.follow())
    await work()
    const events = await following.whole
    expect(told(events)).toEqual(['snapshot', 'running 1', 'succeeded 1', 'settled'])
    expect(events.at(-1)).toMatchObject({ type: 'settled', state: 'succeeded', round: 1 })
    expect(await collection.result()).toBe(42)
    expect(await collection.read()).toMatchObject({
      id: collection.id,
      description: 'by hand',
      tags: ['a'],
      result: 42,
    })
  })

  it('sends a canvas, as itself or as JSON', async () => {
    const { client, tasks, work } = await served()
    await work()
    const canvas = chord([tasks.add.s(1, 2), tasks.add.s(3, 4)], tasks.sum.s())
    const collection = await client.submitCanvas<number>(canvas)
    expect(await collection.result()).toBe(10)
    const node = JSON.parse(JSON.stringify(canvas)) as object
    expect(await (await client.submitCanvas(node)).result()).toBe(10)
  })

  it('tells why there is no result', async () => {
    const { client, stage, work } = await served()
    await work()
    const failing = await client.submit('fail', ['no table'])
    const failed = await failing.result().catch((error: unknown) => error)
    expect(failed).toBeInstanceOf(NoResult)
    expect(failed).toMatchObject({ code: 'FAILED', id: failing.id, failure: { message: 'no table' } })
    const waiting = await client.submit('wait', ['gate'])
    const result = waiting.result().catch((error: unknown) => error)
    await stage.arrived('gate')
    await waiting.cancel()
    expect(await result).toMatchObject({ name: 'NoResult', code: 'CANCELLED' })
  })

  it('waits through a retry', async () => {
    const { client, app, work } = await served()
    let isBroken = true
    app.task('mend', { expose: true }, () => {
      if (isBroken) throw new Error('broken')
      return 'mended'
    })
    await work()
    const collection = await client.submit('mend')
    await expect(collection.result()).rejects.toThrow('broken')
    isBroken = false
    expect(await collection.retry()).toMatchObject({ round: 2 })
    expect(await collection.result()).toBe('mended')
  })

  it('reads, follows, cancels and retries a job', async () => {
    const { client, stage, work } = await served()
    const { id } = await client.submit('wait', ['gate'])
    const job = client.job(id)
    const following = await gather(job.follow())
    await work()
    await stage.arrived('gate')
    await job.cancel()
    expect((await following.whole).map((event) => event.type)).toEqual(['snapshot', 'state', 'progress', 'state'])
    expect(await job.read()).toMatchObject({ state: 'cancelled', attempts: [{ attempt: 1, outcome: 'cancelled' }] })
    stage.open('gate')
    await job.retry()
    expect(await client.collection(id).result()).toBe('gate')
  })

  it('lists, a page at a time', async () => {
    const { client } = await served()
    for (const n of [1, 2, 3]) await client.submit('add', [n, n], { tags: ['listed'] })
    const first = await client.collections.list({ tag: 'listed', limit: 2 })
    expect(first.items).toHaveLength(2)
    const second = await client.collections.list({ tag: 'listed', limit: 2, cursor: first.next })
    expect(second.items).toHaveLength(1)
    expect(second.next).toBeUndefined()
    expect((await client.jobs.list({ state: ['queued', 'running'], task: 'ad*' })).items).toHaveLength(3)
  })

  it('throws what the API answers', async () => {
    const { client } = await served()
    const unknown = '00000000-0000-7000-8000-000000000000'
    const problem = await client
      .collection(unknown)
      .read()
      .catch((error: unknown) => error)
    expect(problem).toBeInstanceOf(ApiProblem)
    expect(problem).toMatchObject({ status: 404, code: 'NOT_FOUND', message: expect.stringContaining(unknown) })
    await expect(all(client.collection(unknown).follow())).rejects.toMatchObject({ status: 404 })
    await expect(client.submit('no such task')).rejects.toMatchObject({ status: 404 })
    await expect(client.jobs.list({ limit: 1_000_000 })).rejects.toMatchObject({
      code: 'BAD_REQUEST',
      errors: [{ path: 'query.limit' }],
    })
    const stranger = createClient({ url: (await served()).url, token: () => 'cel_wrong' })
    await expect(stranger.jobs.list()).rejects.toMatchObject({ status: 401 })
    await expect(all(stranger.followAll())).rejects.toMatchObject({ status: 401 })
  })

  it('sends again where the reply was lost, and it is stored once', async () => {
    const { url } = await served({ auth: 'none' })
    const proxy = await Proxy.before(url)
    onTestFinished(() => proxy.close())
    const client = createClient({ url: proxy.url(url) })
    const lost = proxy.loseReply((sent) => sent.includes('POST /api/tasks/add'))
    const { id } = await client.submit('add', [1, 2])
    await lost
    expect((await client.collections.list()).items.map((one) => one.id)).toEqual([id])
  })

  it('may be told to stop', async () => {
    const { client, stage, work } = await served()
    await work()
    const { id } = await client.submit('wait', ['gate'])
    const stop = new AbortController()
    const result = client.collection(id).result({ signal: stop.signal })
    await stage.arrived('gate')
    stop.abort(new Error('enough'))
    await expect(result).rejects.toThrow('enough')
    expect(await all(client.collection(id).follow({ signal: stop.signal }))).toEqual([])
    await expect(client.submit('add', [1, 2], { signal: stop.signal })).rejects.toThrow('enough')
  })
})

describe.each(['WebSocket', 'server-sent events'])('what is followed by %s', (way) => {
  const begin = async () => {
    const sockets = watchSockets()
    if (way !== 'WebSocket') globalThis.WebSocket = undefined as never
    return { ...(await served({ auth: 'none' })), sockets }
  }

  it('shares one line, also where two follow the same', async () => {
    const { client, tasks, sockets, work } = await begin()
    const collections = await Promise.all(
      [1, 2, 3].map((n) => client.submitCanvas(chain(tasks.add.s(n, 1), tasks.add.s(1)))),
    )
    const following = await Promise.all(
      [...collections, ...collections].map(({ id }) => gather(client.collection(id).follow())),
    )
    await work()
    for (const { whole } of following) {
      const events = await whole
      expect(told(events)[0]).toBe('snapshot')
      expect(told(events).filter((one) => one === 'succeeded 1')).toHaveLength(2)
      expect(told(events).at(-1)).toBe('settled')
    }
    expect(sockets).toHaveLength(way === 'WebSocket' ? 1 : 0)
  })

  it('begins behind a cursor, and goes on where it is live', async () => {
    const { client, stage, work } = await begin()
    const collection = await client.submit('wait', ['gate'])
    const events = collection.follow({ live: true })[Symbol.asyncIterator]()
    await events.next()
    await work()
    const progress = await until(events, (event) => event.type === 'progress')
    stage.open('gate')
    const { state, cursor } = await until(events, (event) => event.type === 'settled')
    expect(state).toBe('succeeded')
    await collection.retry({ mode: 'all' })
    expect((await until(events, (event) => event.type === 'round')).round).toBe(2)
    await events.return?.()
    expect(told(await all(collection.follow({ after: progress.cursor })))).toEqual(['succeeded 1', 'settled'])
    await collection.result()
    const later = await all(collection.follow({ after: cursor }))
    expect(told(later)[0]).toBe('round')
    const last = later.at(-1)!.cursor
    expect(await all(collection.follow({ after: last }))).toEqual([])
  })

  it('tells of jobs that join', async () => {
    const { client, work } = await begin()
    const collection = await client.submit('split', [3])
    const following = await gather(collection.follow())
    await work()
    const joined = (await following.whole).filter((event) => event.type === 'jobs').flatMap(({ jobs }) => jobs)
    expect(joined).toHaveLength(3)
    expect(joined[0]).toMatchObject({ parent_id: collection.id, collection_id: collection.id })
  })

  it('is everything', async () => {
    const { client, work } = await begin()
    const stop = new AbortController()
    const events = client.followAll({ signal: stop.signal })[Symbol.asyncIterator]()
    expect((await events.next()).value).toMatchObject({ type: 'start' })
    const { id } = await client.submit('add', [1, 2])
    await work()
    for (;;) {
      const { value } = await events.next()
      if (value.type === 'collection' && value.state === 'succeeded') {
        expect(value.collection_id).toBe(id)
        break
      }
    }
    const end = events.next()
    stop.abort()
    expect(await end).toEqual({ done: true, value: undefined })
    // By the next answer the server has seen that nobody reads any more.
    await client.jobs.list()
  })

  it('goes on behind what it has, when connections are cut', async () => {
    const { url, app, stage, tasks, work } = await begin()
    const proxy = await Proxy.before(url)
    onTestFinished(() => proxy.close())
    const client = createClient({ url: proxy.url(url) })
    const { id } = await app.submit(chain(tasks.wait.s('one'), tasks.wait.si('two')))
    const events = client.collection(id).follow()[Symbol.asyncIterator]()
    await events.next()
    await work()
    const heard: CollectionEvent[] = [await until(events, (event) => event.type === 'progress')]
    proxy.reset()
    stage.open('one')
    stage.open('two')
    for (let next = await events.next(); !next.done; next = await events.next()) heard.push(next.value)
    expect(told(heard)).toEqual([
      'progress',
      'succeeded 1',
      'queued 0',
      'running 1',
      'progress',
      'succeeded 1',
      'settled',
    ])
  })
})

it('lets go of the line when nobody follows any more', async () => {
  const sockets = watchSockets()
  const { client } = await served()
  const { id } = await client.submit('add', [1, 2])
  const events = client.collection(id).follow()[Symbol.asyncIterator]()
  await events.next()
  await events.return?.()
  const [socket] = sockets
  await new Promise((resolve) => socket!.addEventListener('close', resolve))
})

it('streams where sockets are not let through', async () => {
  // Nobody listens there.
  const sockets = watchSockets((Real) => new Real('ws://127.0.0.1:1'))
  const { client, work } = await served()
  const collection = await client.submit('add', [1, 2])
  const following = await gather(collection.follow())
  await work()
  expect(told(await following.whole)).toEqual(['snapshot', 'running 1', 'succeeded 1', 'settled'])
  expect(sockets).toHaveLength(2)
})
