import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { manualRuntime } from '../../../test/fixtures/clock.ts'
import { alone, submission } from '../../../test/fixtures/graphs.ts'
import { hand } from '../../../test/fixtures/hand.ts'
import type { CeleriacError } from '../../core/errors.ts'
import type { Engine } from '../../engine/engine.ts'
import { Celeriac } from '../../index.ts'
import { parts } from '../../app/parts.ts'
import { sqlite, type SqliteOptions } from './sqlite.ts'

function freshPath(name = 'store.db'): string {
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-within-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, name)
}

function opened(path: string, options: ConstructorParameters<typeof DatabaseSync>[1] = {}): DatabaseSync {
  const database = new DatabaseSync(path, options)
  onTestFinished(() => {
    if (database.isOpen) database.close()
  })
  return database
}

/** A store whose waiting passes by itself, ten milliseconds at a time. */
function connect(options: SqliteOptions): Engine {
  const clock = manualRuntime()
  const engine = sqlite({ mode: 'fast', ...options })(clock)
  const turning = setInterval(() => clock.pass(10), 1)
  onTestFinished(() => engine.close())
  onTestFinished(() => clearInterval(turning))
  return engine
}

const turns = async (count: number): Promise<void> => {
  for (let n = 0; n < count; n++) await new Promise((resolve) => void setImmediate(resolve))
}

test('the connection that the jobs are on is the user’s own: nothing before the commit, all of it after', async () => {
  const database = opened(freshPath())
  const engine = connect({ database })
  const worker = await hand(engine)
  database.exec('begin')
  await engine.submit([submission(alone('sent'))], database)
  database.exec('commit')
  database.exec('begin')
  await engine.submit([submission(alone('never'))], database)
  database.exec('rollback')
  expect(await worker.drain()).toEqual(['sent'])
})

test('everything else waits for a transaction that is open on the user’s own connection, and sees what it left', async () => {
  const database = opened(freshPath())
  const engine = connect({ database })
  const worker = await hand(engine)
  database.exec('begin')
  await engine.submit([submission(alone('within'))], database)
  const order: string[] = []
  const claiming = worker.claim(10).then((jobs) => void order.push(`claimed ${jobs.length}`))
  const reading = engine.queues().then(() => void order.push('read'))
  const sending = engine.submit([submission(alone('beside'))]).then(() => void order.push('sent'))
  await turns(20)
  order.push('committed')
  database.exec('commit')
  await Promise.all([claiming, reading, sending])
  expect(order[0]).toBe('committed')
  expect(order).toHaveLength(4)
  expect(order).toContain('claimed 1')
})

test('one that stays open for too long is told of in words, and nothing was stored', async () => {
  const database = opened(freshPath())
  const clock = manualRuntime()
  const engine = sqlite({ database, mode: 'fast' })(clock)
  onTestFinished(() => engine.close())
  await engine.migrate()
  database.exec('begin')
  const sending = engine.submit([submission(alone())])
  const turning = setInterval(() => clock.pass(500), 1)
  onTestFinished(() => clearInterval(turning))
  await expect(sending).rejects.toMatchObject({
    code: 'STORE_BUSY',
    message: expect.stringContaining('or send with { within: it }') as string,
  })
  database.exec('commit')
  expect((await engine.jobs({ limit: 10 })).items).toEqual([])
})

test('the first thing that a fresh store is asked may be asked within a transaction', async () => {
  const path = freshPath()
  const database = opened(path)
  const engine = connect({ path })
  for (const end of ['rollback', 'commit']) {
    database.exec('begin immediate')
    await engine.submit([submission(alone(end))], database)
    database.exec(end)
  }
  expect(await (await hand(engine)).drain()).toEqual(['commit'])
})

test('the same where the jobs are on that connection', async () => {
  const database = opened(freshPath())
  const engine = connect({ database })
  for (const end of ['rollback', 'commit']) {
    database.exec('begin')
    await engine.submit([submission(alone(end))], database)
    database.exec(end)
  }
  expect(await (await hand(engine)).drain()).toEqual(['commit'])
})

test('a transaction that is only begun takes its place among those who write when something is sent', async () => {
  const path = freshPath()
  const [engine, other] = [connect({ path }), connect({ path })]
  await other.submit([submission(alone('first'))])
  const database = opened(path)
  database.exec('begin')
  await engine.submit([submission(alone('second'))], database)
  database.exec('commit')
  database.exec('begin')
  database.prepare('select count(*) from celeriac_jobs').get()
  await other.submit([submission(alone('third'))])
  await expect(engine.submit([submission(alone('never'))], database)).rejects.toMatchObject({
    code: 'STORE_BUSY',
    message: expect.stringContaining('BEGIN IMMEDIATE') as string,
  })
  database.exec('rollback')
  expect(await (await hand(engine)).drain()).toEqual(['first', 'second', 'third'])
})

test('a connection that reads large numbers and lists in its own way is as good', async () => {
  const path = freshPath()
  const engine = connect({ path })
  await engine.submit([submission(alone('before'))])
  const database = opened(path, { readBigInts: true, returnArrays: true })
  database.exec('begin immediate')
  const unique = { key: 'u', until: 'settled', onConflict: 'existing' } as const
  const first = alone('first')
  await engine.submit([submission(first, { unique })], database)
  expect(await engine.submit([submission(alone(), { unique })], database)).toEqual([
    { type: 'existing', collectionId: first.id },
  ])
  database.exec('commit')
  expect(await (await hand(engine)).drain()).toEqual(['before', 'first'])
})

test('a connection to anything else is refused, with what it is and what would be right', async () => {
  const [path, shop] = [freshPath(), freshPath('shop.db')]
  const graph = alone()
  const refusal = async (engine: Engine, database: DatabaseSync): Promise<string> => {
    if (database.isOpen) database.exec('begin')
    const error = await engine.submit([submission(graph)], database).then(
      () => new Error('It was stored.'),
      (thrown: Error) => thrown,
    )
    expect(error).toMatchObject({ code: 'BAD_ARGUMENT' })
    if (database.isOpen) database.exec('rollback')
    return error.message
  }
  const engine = connect({ path })
  await engine.migrate()
  expect(await refusal(engine, opened(shop))).toBe(
    `within: this DatabaseSync is open on ${shop}, and the jobs are kept in ${path}.`,
  )
  expect(await refusal(engine, opened(':memory:'))).toContain('open on a database in memory')
  expect(await refusal(connect({ path: ':memory:' }), opened(path))).toContain('engine: sqlite({ database })')
  const closed = opened(path)
  closed.close()
  expect(await refusal(engine, closed)).toBe('within: this DatabaseSync has been closed.')
  expect(await engine.job(graph.id)).toBeNull()
})

test('the same file by another name is the same file', async () => {
  const path = freshPath()
  const engine = connect({ path })
  await engine.migrate()
  const database = opened(join(path, '..', '.', 'store.db'))
  database.exec('begin immediate')
  await engine.submit([submission(alone())], database)
  database.exec('commit')
  expect(await (await hand(engine)).drain()).toEqual(['task'])
})

test('while a job is completed others are read and sent, the sending after it', async () => {
  const path = freshPath()
  const engine = connect({ path })
  await engine.submit([submission(alone('task'))])
  const worker = await hand(engine)
  const job = await worker.take()
  const order: string[] = []
  let sending: Promise<unknown> | undefined
  await engine.settleWithin(job, async () => {
    sending = engine.submit([submission(alone('beside'))]).then(() => order.push('sent'))
    await engine.queues()
    order.push('read')
    await turns(20)
    order.push('completed')
    return null
  })
  await sending
  expect(order).toEqual(['read', 'completed', 'sent'])
})

for (const kind of ['the user’s own connection', 'memory', 'a file that only one connection may have'] as const) {
  test(`a job is completed on the one connection there is: ${kind}`, async () => {
    const path = freshPath()
    const engine = connect(
      kind === 'memory'
        ? { path: ':memory:' }
        : kind === 'the user’s own connection'
          ? { database: opened(path) }
          : { path, version: '3.51.2' },
    )
    await engine.submit([submission(alone('a')), submission(alone('b'))])
    const worker = await hand(engine)
    const [a, b] = await worker.claim(2)
    const write = async (database: unknown): Promise<string> => {
      const own = database as DatabaseSync
      own.exec('create table if not exists notes (text text)')
      own.prepare('insert into notes values (?)').run('note')
      await turns(3)
      return String(own.prepare('select count(*) as count from notes').get()!['count'])
    }
    await expect(
      engine.settleWithin(a!, async (database) => {
        await write(database)
        throw new Error('Expected')
      }),
    ).rejects.toThrow('Expected')
    const answers = await Promise.all([a!, b!].map((job) => engine.settleWithin(job, write)))
    expect(answers).toEqual(['accepted', 'accepted'])
    const results = await Promise.all([a!, b!].map(async ({ id }) => (await engine.job(id))?.result))
    expect(results).toEqual([{ json: '1' }, { json: '2' }])
  })
}

test('what else is written waits ten seconds for a callback, and an app’s submission for its sendTimeout', async () => {
  const clock = manualRuntime()
  const app = new Celeriac({ engine: () => sqlite({ path: freshPath(), mode: 'fast' })(clock), runtime: clock })
  onTestFinished(() => app.close())
  const task = app.task('task', () => {})
  const sent = await task.delay()
  const { engine } = await app[parts].connect()
  const job = await (await hand(engine)).take()
  const failures: string[] = []
  const waitFor = (what: string, write: Promise<unknown>): void =>
    void write.catch((error: unknown) => failures.push(`${what}: ${(error as CeleriacError).code}`))
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 25) {
      clock.pass(25)
      await turns(2)
    }
  }
  await engine.settleWithin(job, async () => {
    waitFor('cancel', sent.cancel())
    waitFor('delay', task.delay())
    await pass(4_500)
    expect(failures).toEqual([])
    await pass(1_000)
    expect(failures).toEqual(['delay: STORE_UNREACHABLE'])
    await pass(4_000)
    expect(failures).toHaveLength(1)
    await pass(1_500)
    expect(failures).toContain('cancel: STORE_BUSY')
    return null
  })
})

test('a callback that ends the transaction itself does not complete the job', async () => {
  const engine = connect({ path: freshPath() })
  await engine.submit([submission(alone())])
  const worker = await hand(engine)
  const job = await worker.take()
  for (const end of ['commit', 'rollback']) {
    const ending = engine.settleWithin(job, async (database) => {
      ;(database as DatabaseSync).exec(end)
      return null
    })
    await expect(ending).rejects.toThrow('leave out commit and rollback')
  }
  const closing = engine.settleWithin(job, async (database) => {
    ;(database as DatabaseSync).close()
    return null
  })
  await expect(closing).rejects.toThrow('leave out commit')
  expect(await engine.settleWithin(job, async () => null)).toBe('accepted')
})
