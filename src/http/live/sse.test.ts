import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { appByHand, type AppByHand } from '../../../test/fixtures/app-by-hand.ts'
import { hand } from '../../../test/fixtures/hand.ts'
import { pass, turns } from '../../../test/fixtures/working.ts'
import { chain } from '../../canvas/chain.ts'
import { group } from '../../canvas/group.ts'
import { createHandler } from '../handler.ts'
import { serve } from '../serve.ts'

interface Told {
  readonly id: string
  readonly event: string
  readonly data: any
}

/** An app whose time the test moves and whose jobs it settles, served. */
async function served(around: Parameters<typeof appByHand>[0] = {}) {
  const byHand = appByHand(around)
  const { app, clock } = byHand
  const add = app.task('add', (a: number, b: number) => a + b)
  const worker = await hand(byHand.engine)
  const handler = createHandler(app, { auth: 'none', onError: () => {} })
  const { url, close } = await serve(app, { port: 0, auth: 'none' })
  onTestFinished(async () => {
    const closed = close()
    clock.pass(2_000)
    await closed
    await turns()
  })
  return {
    ...byHand,
    add,
    worker,
    url,
    /** Over the network. */
    ask: (path: string, headers: Readonly<Record<string, string>> = {}, signal?: AbortSignal) =>
      fetch(`${url}${path}`, { headers, ...(signal && { signal }) }),
    /** Without one: what is not read waits in the stream itself. */
    askHere: (path: string, headers: Readonly<Record<string, string>> = {}) =>
      handler(new Request(`http://localhost${path}`, { headers })),
  }
}
type Served = Awaited<ReturnType<typeof served>>

/** Reads a stream one message at a time, and no further. */
function reading(answer: Response) {
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
  const body = answer.body!.getReader()
  onTestFinished(() => body.cancel().catch(() => {}))
  const decoder = new TextDecoder()
  let text = ''
  const line = async (): Promise<string | null> => {
    while (!text.includes('\n\n')) {
      const { done, value } = await body.read()
      if (done) return null
      text += decoder.decode(value as Uint8Array, { stream: true })
    }
    const end = text.indexOf('\n\n')
    const message = text.slice(0, end)
    text = text.slice(end + 2)
    return message
  }
  let count = 0
  const next = async (): Promise<Told | 'beat' | null> => {
    const message = await line()
    if (++count > 1_000) expect.fail('It is told the same for ever.')
    if (message === null || message === ': ') return message === null ? null : 'beat'
    const [, id, event, data] = /^id: (.*)\nevent: (.*)\ndata: (.*)$/.exec(message) as unknown as string[]
    return { id: id!, event: event!, data: JSON.parse(data!) }
  }
  const some = async (count: number): Promise<Told[]> => {
    const events: Told[] = []
    while (events.length < count) events.push((await next()) as Told)
    return events
  }
  const rest = async (): Promise<Told[]> => {
    const events: Told[] = []
    for (let one = await next(); one !== null; one = await next()) if (one !== 'beat') events.push(one)
    return events
  }
  return { next, some, rest, cancel: () => body.cancel() }
}

const briefly = (events: readonly Told[]): string[] =>
  events.map(({ event, data }) => [event, data.state].filter(Boolean).join(' '))

/** Without cursors, which say the same place in different ways: whoever reads in other pages counts from elsewhere. */
const facts = (events: readonly Told[]): unknown[] =>
  events.map(({ data }) => ({ ...data, cursor: undefined }) as unknown)

/** Resolves when as many timers are set as there were. */
async function untilLetGo({ clock }: Pick<AppByHand, 'clock'>, pending: number): Promise<void> {
  while (clock.pending !== pending) await turns()
}

/** Two jobs, one after the other. */
const submitTwo = ({ app, add }: Pick<Served, 'app' | 'add'>) => app.submit(chain(add.s(1, 2), add.s(3)))
const wholeLife = [
  'snapshot',
  'state running',
  'state succeeded',
  'state queued',
  'state running',
  'state succeeded',
  'settled succeeded',
]

/** Follows a collection from its beginning to its end. */
async function followed(there: Served) {
  const { id } = await submitTwo(there)
  const path = `/api/collections/${id}/events`
  const events = reading(await there.ask(path))
  const first = await events.some(1)
  await there.worker.drain()
  return { id, path, whole: [...first, ...(await events.rest())] }
}

describe('a stream of events', () => {
  it('begins with the snapshot, tells what happens, and ends once it has settled', async () => {
    const there = await served()
    const { id, whole } = await followed(there)
    expect(briefly(whole)).toEqual(wholeLife)
    expect(whole[0]!.data).toMatchObject({ type: 'snapshot', collection: { id, state: 'running', jobs: [{}, {}] } })
    expect(whole.at(-1)!.data).toMatchObject({ type: 'settled', state: 'succeeded', round: 1 })
    for (const { id, event, data } of whole) expect([data.cursor, data.type]).toEqual([id, event])
  })

  it('goes on after that where it is to be live', async () => {
    const there = await served()
    const { path } = await followed(there)
    const collection = await there.app.collection(path.split('/')[3]!)
    const events = reading(await there.ask(`${path}?live=true`))
    expect(briefly(await events.some(1))).toEqual(['snapshot'])
    await collection.retry({ mode: 'all' })
    const [round] = await events.some(1)
    expect(round!.data).toMatchObject({ type: 'round', round: 2 })
    await there.worker.drain()
    let last = round!
    while (last.event !== 'settled') [last] = (await events.some(1)) as [Told]
    expect(last.data).toMatchObject({ round: 2 })
    await events.cancel()
    const again = reading(await answered(there, there.ask(`${path}?live=true`, { 'last-event-id': last.id })))
    await collection.retry({ mode: 'all' })
    expect(await again.next()).toMatchObject({ event: 'round', data: { round: 3 } })
  })

  it('is let go of by who goes away: nobody follows any more, and no timer is left', async () => {
    const there = await served()
    const { clock, calls, app } = there
    const { id } = await submitTwo(there)
    const { pending } = clock
    const leaving = new AbortController()
    const paths = [`/api/collections/${id}/events`, `/api/jobs/${await firstJobOf(there, id)}/events`, '/api/events']
    for (const path of paths) await reading(await there.ask(path, {}, leaving.signal)).next()
    const here = reading(await there.askHere(paths[0]!))
    expect(clock.pending).toBeGreaterThan(pending)
    leaving.abort()
    await here.cancel()
    await untilLetGo(there, pending)
    calls.length = 0
    await pass(there, 10_000, 1_000)
    expect(calls).toEqual([])
    // Reading it still leads somewhere.
    expect((await (await app.collection(id)).snapshot()).state).toBe('running')
  })

  it('says every 15 seconds that it lives', async () => {
    const there = await served()
    const { id } = await submitTwo(there)
    const path = `/api/collections/${id}/events`
    const events = reading(await there.askHere(path))
    await events.next()
    const beats: number[] = []
    const begun = there.clock.elapsed()
    const reads = (async () => {
      while ((await events.next()) === 'beat') beats.push(there.clock.elapsed() - begun)
    })()
    await pass(there, 45_000, 1_000)
    expect(beats).toEqual([15_000, 30_000, 45_000])
    await there.worker.drain()
    await reads
    const far = reading(await there.ask('/api/events'))
    await far.next()
    there.clock.pass(15_000)
    expect(await far.next()).toBe('beat')
  })
})

describe('what goes wrong before a stream begins is a problem', () => {
  it.each(['', '?after=nonsense'])('in the address, or in the store (%s)', async (query) => {
    let left = Infinity
    const there = await served({
      intercept: (method, call) =>
        method === 'collection' && left-- <= 0 ? Promise.reject(new Error('no disk')) : call(),
    })
    const { id } = await submitTwo(there)
    const path = `/api/collections/${id}/events`
    const problemOf = async (path: string): Promise<unknown> => {
      const answer = await there.askHere(path)
      expect(answer.headers.get('content-type')).toBe('application/problem+json')
      return { asked: answer.status, ...((await answer.json()) as object) }
    }
    expect(await problemOf(`/api/collections/nobody/events${query}`)).toMatchObject({ asked: 404, code: 'NOT_FOUND' })
    const long = `/api/events?after=${'x'.repeat(5000)}`
    expect(await problemOf(long)).toMatchObject({ asked: 400, code: 'BAD_REQUEST' })
    expect(await problemOf(`${path}?before=x`)).toMatchObject({ asked: 400, code: 'BAD_REQUEST' })
    // It is looked up whether it may be seen, and only then followed.
    left = 1
    expect(await problemOf(path + query)).toMatchObject({ asked: 500 })
    expect(left).toBeLessThan(0)
  })
})

const pathsOf = async (there: Pick<Served, 'app'>, id: string) =>
  [
    [`/api/collections/${id}/events`, 'snapshot'],
    [`/api/jobs/${await firstJobOf(there, id)}/events`, 'snapshot'],
  ] as const

const firstJobOf = async ({ app }: Pick<Served, 'app'>, id: string): Promise<string> =>
  (await (await app.collection(id)).snapshot()).jobs[0]!.id

/** Who resumes and has nothing to hear is answered after a moment of its own. */
async function answered({ clock }: Pick<Served, 'clock'>, asked: Promise<Response>): Promise<Response> {
  let answer: Response | undefined
  void asked.then((known) => (answer = known))
  while (!answer) {
    await turns()
    clock.pass(50)
  }
  return answer
}

describe.each([
  ['last-event-id', (after: string) => ({ query: '', headers: { 'last-event-id': after } })],
  ['?after=', (after: string) => ({ query: `?after=${encodeURIComponent(after)}`, headers: {} })],
] as const)('who comes back with %s', (_name, from) => {
  const resume = (there: Served, path: string, after: string): Promise<Response> => {
    const { query, headers } = from(after)
    return there.ask(path + query, headers)
  }

  it('is told what came after that event, wherever it was cut', async () => {
    const there = await served()
    const { path, whole } = await followed(there)
    for (const [n, { id }] of whole.slice(0, -1).entries())
      expect(facts(await reading(await resume(there, path, id)).rest())).toEqual(facts(whole.slice(n + 1)))
  })

  it('misses nothing of what goes on meanwhile, and is told nothing twice', async () => {
    const there = await served()
    const { id } = await submitTwo(there)
    const path = `/api/collections/${id}/events`
    const uncut = reading(await there.ask(path))
    const cut = reading(await there.ask(path))
    const job = await there.worker.take()
    const before = await cut.some(2)
    await cut.cancel()
    await there.worker.succeed(job)
    const resumed = reading(await resume(there, path, before.at(-1)!.id))
    const after = await resumed.some(1)
    await there.worker.drain()
    after.push(...(await resumed.rest()))
    const whole = await uncut.rest()
    expect(briefly(whole)).toEqual(wholeLife)
    expect(facts([...before, ...after])).toEqual(facts(whole))
  })

  it('is answered although nothing has happened yet', async () => {
    const there = await served()
    const { id } = await submitTwo(there)
    const path = `/api/collections/${id}/events`
    const [snapshot] = await reading(await there.ask(path)).some(1)
    const events = reading(await answered(there, resume(there, path, snapshot!.id)))
    await there.worker.drain()
    expect(briefly(await events.rest())).toEqual(wholeLife.slice(1))
  })

  it('is told by 204 that there is nothing to come back for', async () => {
    const there = await served()
    const { id, path, whole } = await followed(there)
    const jobPath = `/api/jobs/${await firstJobOf(there, id)}/events`
    const [snapshot, none] = [await reading(await there.ask(path)).rest(), { status: 204, body: '' }]
    const ofJob = await reading(await there.ask(jobPath)).rest()
    expect([briefly(snapshot), briefly(ofJob)]).toEqual([['snapshot', 'settled succeeded'], ['snapshot']])
    const { pending } = there.clock
    for (const [path_, { id }] of [
      [path, whole.at(-1)!],
      [path, snapshot.at(-1)!],
      [jobPath, ofJob.at(-1)!],
    ] as const) {
      const answer = await resume(there, path_, id)
      expect({ status: answer.status, body: await answer.text() }).toEqual(none)
    }
    await untilLetGo(there, pending)
  })

  it('begins anew where that event is of no store of ours', async () => {
    const there = await served()
    const { id } = await submitTwo(there)
    for (const [path, event] of [...(await pathsOf(there, id)), ['/api/events', 'start']] as const)
      expect(await reading(await resume(there, path, 'nonsense')).next()).toMatchObject({ event })
  })
})

it('the header says more than the address, which a browser repeats as it was', async () => {
  const there = await served()
  const { path, whole } = await followed(there)
  const [early, late] = [whole[0]!.id, whole[3]!.id]
  const headers = { 'last-event-id': late }
  const resumed = reading(await there.ask(`${path}?after=${encodeURIComponent(early)}`, headers))
  expect(facts(await resumed.rest())).toEqual(facts(whole.slice(4)))
  const over = await there.ask(`${path}?after=${encodeURIComponent(early)}`, { 'last-event-id': whole.at(-1)!.id })
  expect(over.status).toBe(204)
})

describe('a reader that reads nothing', () => {
  it('is let go after 45 seconds, and resumes behind what it read last', async () => {
    const there = await served()
    const { clock, worker } = there
    const { id } = await submitTwo(there)
    const { pending } = clock
    const path = `/api/collections/${id}/events`
    const uncut = reading(await there.ask(path))
    const slow = reading(await there.askHere(path))
    const before = await slow.some(1)
    await worker.succeed(await worker.take())
    await turns()
    await pass(there, 45_000, 15_000)
    const held = clock.pending
    await pass(there, 15_000)
    // Its beat, and the end of its trust.
    expect(clock.pending).toBe(held - 2)
    await expect(slow.next()).rejects.toThrow('reads nothing')
    const resumed = reading(await there.ask(path, { 'last-event-id': before.at(-1)!.id }))
    await worker.drain()
    const after = await resumed.rest()
    expect(facts([...before, ...after])).toEqual(facts(await uncut.rest()))
    await untilLetGo(there, pending)
  })

  it('is not let go while it reads, however slowly', async () => {
    const there = await served()
    const { id } = await submitTwo(there)
    const events = reading(await there.askHere(`/api/collections/${id}/events`))
    const told = await events.some(1)
    await there.worker.drain()
    while (told.length < wholeLife.length) {
      await pass(there, 40_000, 5_000)
      const one = await events.next()
      if (one !== 'beat') told.push(one as Told)
    }
    expect(briefly(told)).toEqual(wholeLife)
  })

  it('has to show again who it is after an hour, and resumes', async () => {
    const there = await served()
    const { id } = await submitTwo(there)
    const said = vi.spyOn(console, 'error')
    const events = reading(await there.askHere(`/api/collections/${id}/events`))
    const elsewhere = reading(await there.ask(`/api/collections/${id}/events`))
    const before = await events.some(1)
    const told = (async () => {
      for (;;) expect(await events.next()).toBe('beat')
    })()
    told.catch(() => {})
    await pass(there, 3_599_000, 15_000)
    await there.worker.succeed(await there.worker.take())
    await pass(there, 1_000)
    await expect(told).rejects.toThrow('has to show again who it is')
    await expect(elsewhere.rest()).rejects.toThrow()
    expect(said).not.toHaveBeenCalled()
    const resumed = reading(await there.ask(`/api/collections/${id}/events`, { 'last-event-id': before[0]!.id }))
    expect(briefly(await resumed.some(2))).toEqual(wholeLife.slice(1, 3))
  })

  it('is not let go for the time in which there was nothing to read', async () => {
    const there = await served()
    const { id } = await submitTwo(there)
    const events = reading(await there.askHere(`/api/collections/${id}/events`))
    await events.next()
    for (let n = 0; n < 4; n++) {
      await pass(there, 15_000)
      expect(await events.next()).toBe('beat')
    }
    await there.worker.take()
    await pass(there, 40_000, 5_000)
    expect(await events.next()).toMatchObject({ event: 'state', data: { state: 'running' } })
  })

  it('is let go over the network too, where its connection ends', async () => {
    const there = await served()
    const { app, add, clock, url } = there
    // More than the network holds.
    const large = group(...Array.from({ length: 100 }, () => add.s(1, 'x'.repeat(200_000) as never)))
    const { id } = await app.submit(large)
    const { pending } = clock
    const said = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => said.mockRestore())
    const { port, host } = new URL(url)
    const socket = connect(Number(port), '127.0.0.1')
    socket.pause()
    socket.write(`GET /api/collections/${id}/events HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
    // One of the reader of the feed, one of the stream: the latter is there until the stream is not.
    while (clock.pending < pending + 2) await turns()
    while (clock.pending !== pending) await pass(there, 15_000)
    let text = ''
    socket.on('error', () => {}).on('data', (chunk) => (text = (text + chunk.toString()).slice(-10)))
    socket.resume()
    await once(socket, 'close')
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/)
  })
})

describe('of one job', () => {
  it('is told as of a collection, and ends with it', async () => {
    const there = await served()
    const { worker } = there
    const { id } = await submitTwo(there)
    const jobId = await firstJobOf(there, id)
    const path = `/api/jobs/${jobId}/events`
    const events = reading(await there.ask(path))
    const [snapshot] = await events.some(1)
    expect(snapshot!.data.job).toMatchObject({ id: jobId, state: 'queued', collection_id: id })
    const { ref, token } = await worker.take()
    await worker.beat({ progress: [{ ref, token, progress: { done: 1, total: 2, message: 'half' } }] })
    const before = await events.some(2)
    expect(before[1]!.data).toMatchObject({ type: 'progress', job_id: jobId, done: 1, total: 2, message: 'half' })
    await events.cancel()
    const resumed = reading(await answered(there, there.ask(path, { 'last-event-id': before[0]!.id })))
    expect(facts(await resumed.some(1))).toEqual(facts(before.slice(1)))
    await worker.settle({ ref, token } as never, { type: 'succeeded', result: null } as never)
    await worker.drain()
    expect(briefly(await resumed.rest())).toEqual(['state succeeded'])
  })
})

describe('of everything', () => {
  it('is told from the start on, without an end, and resumed like any', async () => {
    const there = await served()
    const { worker } = there
    await submitTwo(there)
    const uncut = reading(await there.ask('/api/events'))
    const cut = reading(await there.ask('/api/events'))
    const [start] = await cut.some(1)
    expect(start!.data).toEqual({ type: 'start', cursor: start!.id })
    const { id } = await submitTwo(there)
    await worker.succeed(await worker.take())
    const before = [start!, ...(await cut.some(3))]
    await cut.cancel()
    await worker.drain()
    const resumed = reading(await there.ask('/api/events', { 'last-event-id': before.at(-1)!.id }))
    const whole: Told[] = []
    const isLast = ({ event, data }: Told): boolean => event === 'collection' && data.collection_id === id
    const isOver = (): boolean => whole.some((told) => isLast(told) && told.data.state === 'succeeded')
    while (!isOver()) whole.push(...(await uncut.some(1)))
    const after = await resumed.some(whole.length - before.length)
    expect(facts([...before, ...after])).toEqual(facts(whole))
    there.clock.pass(15_000)
    expect([await uncut.next(), await resumed.next()]).toEqual(['beat', 'beat'])
  })
})
