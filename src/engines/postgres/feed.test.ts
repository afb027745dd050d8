import pg from 'pg'
import { expect, test } from 'vitest'
import { systemRuntime } from '../../core/runtime.ts'
import type { Engine } from '../../engine/engine.ts'
import { seededRandom } from '../../../test/fixtures/clock.ts'
import { alone, submission } from '../../../test/fixtures/graphs.ts'
import { closedAfterEach, ownPostgres } from '../../../test/servers/own.ts'
import { postgres } from './postgres.ts'

const own = ownPostgres()

const closing = closedAfterEach()

let count = 0
/** A store with one job in it, whose progress tells which transaction a change came from. */
async function furnished(): Promise<{ engine: Engine; start: string; schema: string }> {
  const schema = `followed_${++count}`
  const engine = postgres({ url: own.server.url, schema })(systemRuntime)
  closing.push(() => engine.close())
  await engine.submit([submission(alone())])
  return { engine, start: await engine.cursor(), schema }
}

async function client(url = own.server.url): Promise<pg.Client> {
  const made = new pg.Client(url)
  await made.connect()
  closing.push(() => made.end())
  return made
}

/** Writes an event as the calls of the engine do, in a transaction that goes on. */
async function write(by: pg.Client, schema: string, number: number): Promise<void> {
  await by.query(
    `select ${schema}.write_event(0, ',20,0,' || (select seq from ${schema}.jobs) || ',1', ',{"done":${number}}', null, null, null)`,
  )
}

/** Reads on from a cursor until there is no more at once. */
async function readOn(engine: Engine, from: string, into: number[], limit = 3, pages = Infinity): Promise<string> {
  let cursor = from
  for (let more = true, read = 0; more && read < pages; read++) {
    const page = await engine.events({ after: cursor, collections: null, limit })
    expect(page.gap).toBe(false)
    into.push(...page.changes.flatMap((change) => (change.type === 'progress' ? [change.progress.done] : [])))
    cursor = page.cursor
    more = page.more
  }
  return cursor
}

test('what is committed late is told when it is there, and nothing twice', async () => {
  const { engine, start, schema } = await furnished()
  const [slow, quick] = [await client(), await client()]
  await slow.query('begin')
  await write(slow, schema, 1)
  await write(quick, schema, 2)
  const seen: number[] = []
  let cursor = await readOn(engine, start, seen)
  expect(seen).toEqual([2])
  await write(quick, schema, 3)
  cursor = await readOn(engine, cursor, seen)
  expect(seen).toEqual([2, 3])
  await slow.query('commit')
  cursor = await readOn(engine, cursor, seen)
  expect(seen).toEqual([2, 3, 1])
  expect(await readOn(engine, cursor, seen)).toBe(await engine.cursor())
  expect(seen).toEqual([2, 3, 1])
})

test('a cursor taken while something was under way tells it when it comes', async () => {
  const { engine, schema } = await furnished()
  const [slow, quick] = [await client(), await client()]
  await slow.query('begin')
  await write(slow, schema, 1)
  await write(quick, schema, 2)
  const cursor = await engine.cursor()
  await slow.query('commit')
  const seen: number[] = []
  await readOn(engine, cursor, seen)
  expect(seen).toEqual([1])
})

test('a number that was rolled back is given up, also while a transaction of another database stays open', async () => {
  const { engine, start, schema } = await furnished()
  await own.admin.query(`create database elsewhere_${count}`)
  const other = await client(Object.assign(new URL(own.server.url), { pathname: `/elsewhere_${count}` }).href)
  // With an identity of its own: the oldest transaction of the server.
  await other.query('begin; select pg_current_xact_id()')
  const [unlucky, quick] = [await client(), await client()]
  await unlucky.query('begin')
  await write(unlucky, schema, 1)
  await write(quick, schema, 2)
  const seen: number[] = []
  const during = await readOn(engine, start, seen)
  expect(during).toMatch(/:/)
  await unlucky.query('rollback')
  let cursor = during
  for (let reads = 0; reads < 2; reads++) cursor = await readOn(engine, cursor, seen)
  expect(cursor).toMatch(/^[0-9a-f]+\.\d+$/)
  await write(quick, schema, 3)
  await readOn(engine, cursor, seen)
  expect(seen).toEqual([2, 3])
})

test('a number is not given up while the transaction that took it goes on, however many others come and go', async () => {
  const { engine, start, schema } = await furnished()
  const [slow, quick] = [await client(), await client()]
  await slow.query('begin')
  await write(slow, schema, 1)
  const seen: number[] = []
  let cursor = start
  for (let number = 2; number < 20; number++) {
    await quick.query('begin')
    await write(quick, schema, number)
    cursor = await readOn(engine, cursor, seen)
    await quick.query(number % 3 === 0 ? 'rollback' : 'commit')
    cursor = await readOn(engine, cursor, seen)
  }
  await slow.query('commit')
  await readOn(engine, cursor, seen)
  const committed = Array.from({ length: 18 }, (_, n) => n + 2).filter((number) => number % 3 !== 0)
  expect(seen).toEqual([...committed, 1])
})

test('under many transactions side by side a reader misses nothing and is told nothing twice', async () => {
  const { engine, start, schema } = await furnished()
  const random = seededRandom(11)
  const [sent, committed]: [number[], number[]] = [[], []]
  // One reads on for as long as it lasts, in pages that are always too small; others begin somewhere on the way.
  const readers: Reader[] = [{ cursor: start, seen: [], before: [], from: 0 }]
  let number = 0
  const writer = async (): Promise<void> => {
    const own = await client()
    for (let round = 0; round < 25 || readers.length < 4; round++) {
      await own.query('begin')
      const written: number[] = []
      for (let events = 1 + Math.floor(random() * 3); events > 0; events--) {
        written.push(++number)
        await write(own, schema, number)
      }
      // Some stay open across the turns of others.
      for (let turns = Math.floor(random() * 6); turns > 0; turns--) await own.query('select 1')
      const isKept = random() > 0.2
      if (isKept) sent.push(...written)
      await own.query(isKept ? 'commit' : 'rollback')
      if (isKept) committed.push(...written)
    }
  }
  let isOver = false
  const writing = Promise.all(Array.from({ length: 6 }, writer)).finally(() => (isOver = true))
  while (!isOver) {
    // On a busy machine they would follow whoever writes for ever.
    for (const reader of readers) reader.cursor = await readOn(engine, reader.cursor, reader.seen, 2, 10)
    if (readers.length === 4) continue
    const before = [...committed]
    readers.push({ cursor: await engine.cursor(), seen: [], before, from: sent.length })
  }
  await writing
  for (const { cursor, seen, before, from } of readers) {
    await readOn(engine, cursor, seen)
    expect(new Set(seen).size).toBe(seen.length)
    expect(seen.filter((known) => before.includes(known))).toEqual([])
    // What was being committed while the cursor was taken may be on either side of it.
    expect(sent.slice(from).filter((known) => !seen.includes(known))).toEqual([])
    expect(seen.filter((known) => !committed.includes(known))).toEqual([])
  }
  expect(readers).toHaveLength(4)
  expect(readers[0]?.seen).toHaveLength(committed.length)
})

interface Reader {
  cursor: string
  readonly seen: number[]
  /** What was there when its cursor was taken, and from where on what was sent must come behind it. */
  readonly before: readonly number[]
  readonly from: number
}
