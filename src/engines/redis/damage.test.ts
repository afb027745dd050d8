import { expect, test } from 'vitest'
import { manualRuntime, type ManualRuntime } from '../../../test/fixtures/clock.ts'
import { alone, chainOf, graphOf, groupOf, jobId, submission } from '../../../test/fixtures/graphs.ts'
import { goOn, hand } from '../../../test/fixtures/hand.ts'
import { closedAfterEach, ownRedis } from '../../../test/servers/own.ts'
import type { Engine } from '../../engine/engine.ts'
import { systemRuntime } from '../../core/runtime.ts'
import { Database } from './database.ts'
import { longArgs } from './keys.ts'
import { readSettings } from './options.ts'
import { redis } from './redis.ts'

const own = ownRedis()
const closing = closedAfterEach()

let count = 0
interface Opened {
  readonly engine: Engine
  readonly clock: ManualRuntime
  readonly send: (command: string, name: string, ...rest: string[]) => Promise<unknown>
  readonly numberOf: (jobId: string) => Promise<string>
  readonly upkeep: () => Promise<string | undefined>
}
async function open(): Promise<Opened> {
  const options = { url: own.server.url, namespace: `damage_${++count}`, clock: 'process' as const }
  const clock = manualRuntime()
  const engine = redis(options)(clock)
  const db = new Database(readSettings(options), systemRuntime, async () => undefined)
  closing.push(
    () => engine.close(),
    () => db.close(),
  )
  await engine.sweep()
  clock.pass(1_000)
  const send: Opened['send'] = (command, name, ...rest) => db.send(command, `${db.prefix}${name}`, ...rest)
  return {
    engine,
    clock,
    send,
    numberOf: async (id) => (await send('HGET', 'ids', id)) as string,
    upkeep: async () => (await engine.diagnose()).find(({ check }) => check === 'upkeep')?.level,
  }
}

type Damage = (store: Opened, number: string) => Promise<unknown>
const onARow: readonly (readonly [what: string, spoil: Damage])[] = [
  ['its row is no row', ({ send }, number) => send('SET', `j:${number}`, 'damaged')],
  ['its row has too few fields', ({ send }, number) => send('SET', `j:${number}`, '1,2,3\n\nid')],
  ['its row is gone', ({ send }, number) => send('DEL', `j:${number}`)],
  ['how it stands cannot be read', ({ send }, number) => send('SET', `s:${number}`, 'x,y,z')],
  ['how it stands has too few fields', ({ send }, number) => send('SET', `s:${number}`, '3,2,1,4')],
  ['how it stands ends too early', ({ send }, number) => send('SET', `s:${number}`, '3,2,1,4,5,6,;1')],
]
const ofAnotherType = (name: string): readonly [string, Damage] => [
  `${name} is of another type`,
  async ({ send }, number) => {
    await send('DEL', `${name}:${number}`)
    await send(name === 'log' || name === 'a' || name === 'notes' ? 'SET' : 'LPUSH', `${name}:${number}`, 'x')
  },
]

test.for([...onARow, ...['j', 's', 'a', 'notes', 'g'].map(ofAnotherType)])(
  'a running job holds up no other of its lost worker: %s',
  async ([, spoil]) => {
    const store = await open()
    const { engine, clock } = store
    const graphs = ['one', 'two', 'three'].map((task) => alone(task, { timeout: 600_000 }))
    await engine.submit(graphs.map((graph) => submission(graph)))
    const [first, second] = [await hand(engine), await hand(engine)]
    await first.claim(2)
    await second.claim(1)
    await spoil(store, await store.numberOf(graphs[0]!.id))
    const worker = await hand(engine)
    await goOn({ engine, clock }, 60_000, worker)
    expect((await worker.drain()).sort()).toEqual(expect.arrayContaining(['three', 'two']))
  },
)

test.for([...onARow, ...['j', 's', 'g'].map(ofAnotherType)])(
  'a queued job holds up no other in line: %s',
  async ([, spoil]) => {
    const store = await open()
    const { engine } = store
    const graph = groupOf('one', 'two', 'three')
    const jobs = graph.jobs.map((job) => ({ ...job, args: JSON.stringify(['x'.repeat(longArgs)]) }))
    await engine.submit([submission({ ...graph, jobs }), submission(alone('four'))])
    await spoil(store, await store.numberOf(jobId(graph, 'one')))
    const worker = await hand(engine)
    const taken = [...(await worker.claim(2)), ...(await worker.claim(10)), ...(await worker.claim(10))]
    expect(taken.map(({ task }) => task)).toEqual(expect.arrayContaining(['two', 'three', 'four']))
  },
)

test.for([...onARow, ...['j', 's'].map(ofAnotherType)])(
  'a delayed and an expired job hold up no other: %s',
  async ([, spoil]) => {
    const store = await open()
    const { engine, clock } = store
    const [bad, late] = ['bad', 'late'].map((task) => alone(task, { startIn: 5_000 })) as [
      ReturnType<typeof alone>,
      ReturnType<typeof alone>,
    ]
    const [spoiled, expired] = ['spoiled', 'expired'].map((task) =>
      alone(task, { expires: 5_000, startIn: 600_000 }),
    ) as [ReturnType<typeof alone>, ReturnType<typeof alone>]
    await engine.submit([bad, late, spoiled, expired].map((graph) => submission(graph)))
    for (const graph of [bad, spoiled]) await spoil(store, await store.numberOf(graph.id))
    for (const key of ['due', 'expiring', 'deadlines', 'marked'])
      await store.send('ZADD', key, '1', 'no number', '1', '99999')
    const worker = await hand(engine)
    await goOn({ engine, clock }, 60_000, worker)
    expect((await worker.drain()).sort()).toEqual(expect.arrayContaining(['late']))
    expect(await engine.job(expired.id)).toMatchObject({ state: 'cancelled', reason: 'expired' })
  },
)

test.for([
  ['the row is no row', ({ send }, number) => send('SET', `c:${number}`, 'damaged')],
  ['the row is gone', ({ send }, number) => send('DEL', `c:${number}`)],
  ['how it stands cannot be read', ({ send }, number) => send('SET', `k:${number}`, 'damaged')],
  ...['c', 'k', 'm'].map(ofAnotherType),
] as readonly (readonly [string, Damage])[])(
  'a collection holds up neither claims, nor what expires, nor removal of others: %s',
  async ([, spoil]) => {
    const store = await open()
    const { engine, clock } = store
    const soon = { expires: 5_000, startIn: 600_000 }
    const bad = graphOf({ bad: { feeds: 0, options: soon }, beside: { feeds: 0 } }, [{}])
    const [good, other] = [groupOf('good'), alone('other', soon)]
    await engine.submit([
      submission(bad, { retention: 1_000 }),
      submission(good, { retention: 1_000 }),
      submission(other),
    ])
    await engine.cancel({ collectionId: bad.id })
    await spoil(store, await store.numberOf(bad.id))
    await store.send('ZADD', 'leaving', '1', 'nonsense', '1', '1:99999', '1', `1:${await store.numberOf(bad.id)}`)
    const worker = await hand(engine)
    expect(await worker.drain()).toEqual(expect.arrayContaining(['good']))
    await goOn({ engine, clock }, 90_000, worker)
    expect(await engine.job(other.id)).toMatchObject({ state: 'cancelled', reason: 'expired' })
    expect(await engine.collection(good.id)).toBeNull()
  },
)

test.for([
  'no item',
  '0,99,1,0,0',
  '0,0,99999,0,0',
  '0,1,99999,0,0',
  '0,4,99999,0,0',
  '0,5,99999,0,0',
  '0,6,99999,0,0',
  '0,7,99999,1,0',
  '0,8,99999,0,0',
  '0,9,99999,0,0',
  '0,10,99999,1,0',
])('what is left of a large change holds up nothing, whatever it says: %s', async (item) => {
  const { engine, clock, send, upkeep } = await open()
  await send('ZADD', 'work', '0', item)
  const large = graphOf(Object.fromEntries(Array.from({ length: 900 }, (_, n) => [`job-${n}`, { feeds: 0 }])), [{}])
  const brief = alone('brief')
  await engine.submit([submission(brief, { retention: 1_000 }), submission(large)])
  const worker = await hand(engine)
  await worker.succeed(await worker.take('brief'))
  await engine.cancel({ collectionId: large.id })
  await goOn({ engine, clock }, 90_000, worker)
  expect(await engine.job(brief.id)).toBeNull()
  expect((await engine.collection(large.id, { jobs: false }))?.state).toBe('cancelled')
  if (!item.startsWith('no') && !item.startsWith('0,99,')) return
  expect(await upkeep()).toBe('warning')
  // It is tried again some time.
  expect(await send('ZRANGE', 'work-later', '0', '-1')).toEqual([item])
})

test.for([...onARow, ...['j', 's', 'r', 'f', 'p', 'g'].map(ofAnotherType)])(
  'a job holds up no list, no count and no snapshot of others: %s',
  async ([, spoil]) => {
    const store = await open()
    const { engine } = store
    const [bad, good] = [groupOf('one', 'two', 'three'), alone('good')]
    const lone = graphOf({ lone: { args: JSON.stringify(['x'.repeat(longArgs)]) } })
    await engine.submit([submission(bad), submission(good), submission(lone)])
    const worker = await hand(engine)
    await worker.fail(await worker.take('one'))
    for (const id of [jobId(bad, 'one'), lone.id]) await spoil(store, await store.numberOf(id))
    for (const query of [{}, { text: 'good' }, { tag: 'none' }, { task: 'g*' }, { states: ['queued' as const] }]) {
      const { items } = await engine.jobs({ limit: 100, ...query })
      if (!('tag' in query)) expect(items.map(({ task }) => task)).toContain('good')
      await engine.collections({ limit: 100, ...('tag' in query ? query : {}) })
    }
    expect((await engine.collections({ limit: 100 })).items.map(({ id }) => id)).toContain(good.id)
    await engine.counts({})
    await engine.queues()
    await engine.workers()
    expect((await engine.collection(good.id))?.jobs.length).toBe(1)
    expect((await engine.collection(bad.id))?.jobs.map(({ task }) => task)).toEqual(
      expect.arrayContaining(['two', 'three']),
    )
  },
)

test('members of what a session runs that are no jobs hold up neither its beats nor its recovery', async () => {
  const store = await open()
  const { engine, clock, send } = store
  const graphs = ['one', 'two'].map((task) => alone(task))
  await engine.submit(graphs.map((graph) => submission(graph)))
  const first = await hand(engine)
  await first.claim(2)
  const session = (await send('HGET', 'sessions', first.session.id)) as string
  await send('SADD', `run:${session}`, 'no number', '99999', '-1', '1e400')
  await first.beat()
  const worker = await hand(engine)
  await goOn({ engine, clock }, 60_000, worker)
  expect((await worker.drain()).sort()).toEqual(['one', 'two'])
})

test.each(['string', 'list'])('what a session runs that is a %s holds up no other session', async (type) => {
  const store = await open()
  const { engine, clock, send } = store
  await engine.submit(['one', 'two'].map((task) => submission(alone(task))))
  const [first, second] = [await hand(engine), await hand(engine)]
  await first.claim(1)
  await second.claim(1)
  const session = (await send('HGET', 'sessions', first.session.id)) as string
  await send('DEL', `run:${session}`)
  await send(type === 'list' ? 'LPUSH' : 'SET', `run:${session}`, 'x')
  const worker = await hand(engine)
  await goOn({ engine, clock }, 60_000, worker)
  expect(await worker.drain()).toContain('two')
})

test.for([
  ['the row is no row', ({ send }, number) => send('SET', `c:${number}`, 'damaged')],
  ['how it stands cannot be read', ({ send }, number) => send('SET', `k:${number}`, 'damaged')],
  ...['c', 'k', 'm'].map(ofAnotherType),
] as readonly (readonly [string, Damage])[])(
  'a collection holds up no list and no count of others: %s',
  async ([, spoil]) => {
    const store = await open()
    const { engine } = store
    const [bad, good] = [groupOf('one', 'two'), groupOf('good', 'other')]
    await engine.submit([submission(bad, { tags: ['wanted'] }), submission(good, { tags: ['wanted'] })])
    await spoil(store, await store.numberOf(bad.id))
    for (const query of [{}, { tag: 'wanted' }, { state: 'running' as const }])
      expect((await engine.collections({ limit: 100, ...query })).items.map(({ id }) => id)).toContain(good.id)
    for (const query of [{}, { text: 'good' }, { task: 'g*' }])
      expect((await engine.jobs({ limit: 100, ...query })).items.map(({ task }) => task)).toContain('good')
    await engine.counts({})
    await engine.queues()
    expect((await engine.collection(good.id))?.jobs.length).toBe(2)
  },
)

const ofWrongType = async ({ send }: Opened, name: string, type: string): Promise<void> => {
  await send('DEL', name)
  await send(type === 'list' ? 'LPUSH' : 'SET', name, 'x')
}
const indexes = [
  ...['deadlines', 'marked', 'leaving', 'more', 'due', 'expiring', 'suspects', 'lines', 'waiting', 'scheduled'],
  ...[
    'queue:default',
    'runs:default',
    'suspects:default',
    'session',
    'tokens',
    'cancelling',
    'holds',
    'leases',
    'losing',
  ],
  ...['work', 'work-later', 'faults', 'ended', 'queues', 'unique-until', 'events', 'events-end', 'tallies', 'uploads'],
]
test.for(indexes.flatMap((name) => ['string', 'list'].map((type) => [name, type] as const)))(
  'an index of another type holds up neither recovery nor what is sent, and is told of: %s is a %s',
  async ([index, type]) => {
    const store = await open()
    const { engine, clock, send } = store
    const timed = { timeout: 600_000 }
    await engine.submit(['held', 'suspect'].map((task) => submission(alone(task, timed))))
    const [first, dead] = [await hand(engine), await hand(engine)]
    const held = await first.take('held')
    await dead.claim(1)
    const numberOf = async ({ session }: typeof dead) => (await send('HGET', 'sessions', session.id)) as string
    const whole: Readonly<Record<string, string>> = {
      session: `session:${await numberOf(dead)}`,
      tokens: `tokens:${await numberOf(first)}`,
      tallies: `tallies:${Math.floor(clock.now() / 3_600_000)}`,
    }
    await ofWrongType(store, whole[index] ?? index, type)
    const [sent, cancelled] = [chainOf('a', 'b'), alone('no', { startIn: 600_000 })]
    const later = alone('later', { startIn: 5_000, expires: 600_000 })
    const answers = await engine.submit([sent, later, alone('fresh'), cancelled].map((graph) => submission(graph)))
    expect(answers.map((answer) => answer.type)).toEqual(['created', 'created', 'created', 'created'])
    const tally = {
      minute: clock.now(),
      task: 'a',
      succeeded: 1,
      failed: 0,
      retried: 0,
      cancelled: 0,
      ran: 1,
      longest: 1,
    }
    const progress = { ref: held.ref, token: held.token, progress: { done: 1 } }
    await first.beat({ tallies: [tally], progress: [progress] })
    await first.claim(0)
    await engine.cancel({ collectionId: cancelled.id })
    const worker = await hand(engine)
    await goOn({ engine, clock }, 60_000, worker)
    expect((await worker.drain()).sort()).toEqual(['a', 'b', 'fresh', 'held', 'later', 'suspect'])
    await engine.queues()
    await engine.workers()
    expect((await engine.collections({ limit: 100 })).items.length).toBe(6)
    // What is kept of faults tells nothing of itself: with the next one it is begun anew. Tokens are a list.
    const isTold = index !== 'faults' && !(index === 'tokens' && type === 'list')
    expect(await store.upkeep()).toBe(isTold ? 'warning' : 'ok')
  },
)

test.each(['string', 'list'])('a queue that is a %s holds up no other, and takes jobs again', async (type) => {
  const store = await open()
  const { engine, send, upkeep } = store
  const to = (queue: string, task: string) => submission(alone(task, { queue }))
  await engine.submit([to('first', 'one'), to('bad', 'lost'), to('last', 'two')])
  for (const name of ['queue:bad', 'runs:bad']) await ofWrongType(store, name, type)
  const worker = await hand(engine)
  expect(await worker.drain()).toEqual(['one', 'two'])
  // There was none of it in line any more.
  expect(await send('ZSCORE', 'lines', 'bad')).toBeNull()
  await ofWrongType(store, 'queue:bad', type)
  await engine.submit([submission(alone('urgent', { queue: 'bad', priority: 1 })), to('last', 'three')])
  expect(await worker.drain()).toEqual(['urgent', 'three'])
  expect(await upkeep()).toBe('warning')
})

test.each(['waiting', 'scheduled'])('a count of %s jobs that is no number fails nothing', async (kind) => {
  const store = await open()
  const { engine, clock, send, upkeep } = store
  const other = alone('other', { queue: 'other', startIn: 600_000 })
  await engine.submit([submission(other), submission(chainOf('x', 'y'))])
  for (const queue of ['default', 'other']) await send('HSET', kind, queue, 'x')
  await engine.queues()
  const graphs = [chainOf('a', 'b'), alone('later', { startIn: 5_000 })]
  const answers = await engine.submit(graphs.map((graph) => submission(graph)))
  expect(answers.map(({ type }) => type)).toEqual(['created', 'created'])
  const worker = await hand(engine)
  expect((await worker.drain()).sort()).toEqual(['a', 'b', 'x', 'y'])
  await goOn({ engine, clock }, 9_000, worker)
  expect(await worker.drain()).toEqual(['later'])
  await engine.cancel({ collectionId: other.id })
  expect(await upkeep()).toBe('warning')
  expect((await engine.queues()).map(({ name, counts }) => [name, counts.waiting, counts.scheduled])).toEqual([
    ['default', 0, 0],
  ])
})

test('what is no job in an index holds up nothing', async () => {
  const { engine, clock, send } = await open()
  const worker = await hand(engine)
  await engine.submit([submission(alone('run')), submission(alone('late', { timeout: 1_000, queue: 'late' }))])
  for (const member of ['nan', 'inf', '1e300', '99999999999999999999']) {
    for (const key of ['due', 'expiring', 'deadlines', 'marked']) await send('ZADD', key, '1', member)
    await send('ZADD', 'runs:default', '1e300', member)
    await send('ZADD', 'runs:default', '-1', `-${member}`)
  }
  const dead = await hand(engine, { queues: ['late'] })
  await dead.claim(1)
  await goOn({ engine, clock }, 30_000, worker, dead)
  await engine.queues()
  expect(await worker.drain()).toEqual(['run'])
  expect((await engine.jobs({ limit: 10 })).items.map(({ state }) => state).sort()).toEqual(['failed', 'succeeded'])
})

/** As large as texts may make them: a loop over them would hold the server, or its client, for ever. */
const endless = '99999999999999999999'
const setPart = async ({ send }: Opened, key: string, line: number, at: number | null, text: string): Promise<void> => {
  const lines = ((await send('GET', key)) as string).split('\n')
  const parts = (lines[line] as string).split(',')
  if (at !== null) parts[at] = text
  lines[line] = at === null ? text : parts.join(',')
  await send('SET', key, lines.join('\n'))
}
const barrierOf = async (store: Opened, number: string): Promise<string> => {
  const [, base, , , , , , , , , feeds] = ((await store.send('GET', `j:${number}`)) as string).split(',')
  return `b:${Number(base) + Number(feeds)}`
}
test.for<readonly [what: string, spoil: (store: Opened, collection: string, job: string) => Promise<unknown>]>([
  ...['0-' + endless, `${endless}-${endless}`, '0-99999999', '0-9/0'].flatMap((runs) =>
    [1, 2, 3].map(
      (line) =>
        [
          `runs ${runs} in line ${line} of a barrier`,
          async (store: Opened, _: string, job: string) =>
            setPart(store, await barrierOf(store, job), line, null, runs),
        ] as const,
    ),
  ),
  ...[0, 3, 4].map(
    (at) =>
      [
        `number ${at} of a barrier`,
        async (store: Opened, _: string, job: string) => setPart(store, await barrierOf(store, job), 0, at, endless),
      ] as const,
  ),
  ...[1, 2, 3, 4].flatMap((at) =>
    ['99999999999', endless].map(
      (text) =>
        [
          `number ${at} of a collection is ${text}`,
          (store: Opened, collection: string) => setPart(store, `c:${collection}`, 0, at, text),
        ] as const,
    ),
  ),
  ...['99999999999,1', '1,99999999999', `${endless},${endless}`].map(
    (span) =>
      [
        `a continuation of ${span} jobs and barriers`,
        (store: Opened, collection: string) => store.send('ZADD', `m:${collection}`, '5', `5,${span}`),
      ] as const,
  ),
  [
    'jobs to be removed',
    (store: Opened) => store.send('ZADD', 'leaving', '1', `1:1-${endless}`, '1', '1:5-99999999999'),
  ],
])('numbers that are too large hold up neither the server nor a client: %s', async ([, spoil]) => {
  const store = await open()
  const { engine, clock } = store
  const bad = graphOf(
    { a: { feeds: 0 }, b: { feeds: 0 }, behind: { behind: 0, feeds: 1, input: { from: 'results', shape: 'list' } } },
    [{ inputs: 2 }, {}],
  )
  await engine.submit([submission(bad), submission(groupOf('good', 'other'))])
  const worker = await hand(engine)
  await worker.take('a')
  await spoil(store, await store.numberOf(bad.id), await store.numberOf(jobId(bad, 'a')))
  for (const query of [{}, { collectionId: bad.id }, { text: 'good' }]) await engine.jobs({ limit: 100, ...query })
  await engine.collections({ limit: 100 })
  await engine.collection(bad.id).catch(() => undefined)
  await engine.counts({})
  await engine.queues()
  expect(await worker.drain()).toEqual(expect.arrayContaining(['good', 'other']))
  await engine.cancel({ collectionId: bad.id })
  await goOn({ engine, clock }, 60_000, worker)
})
