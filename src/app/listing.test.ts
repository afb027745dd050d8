import { expect, test } from 'vitest'
import { appByHand } from '../../test/fixtures/app-by-hand.ts'
import { hand } from '../../test/fixtures/hand.ts'
import { chain } from '../canvas/chain.ts'
import type { JobQuery } from './listing.ts'

async function stage() {
  const made = appByHand()
  const { app, engine, clock } = made
  const buy = app.task('tables.buy', { queue: 'shop', tags: ['table'] }, (x: number) => x)
  const send = app.task('mail.send', (x: number) => x)
  const first = await buy.with({ actor: { id: 'ann' } }).delay(1)
  clock.pass(60 * 60_000)
  const second = await app.submit(chain(buy.s(2), buy.s()), { actor: { id: 'ben' }, tags: ['two'] })
  clock.pass(60_000)
  const third = await send.delay(3)
  const worker = await hand(engine, { queues: ['default'] })
  await worker.fail(await worker.take())
  const ids = async (query: JobQuery) => (await app.jobs.list(query)).items.map(({ id }) => id)
  const [a, b] = (await second.snapshot()).jobs.map(({ id }) => id)
  return { ...made, ids, first: first.id, third: third.id, second: second.id, a: a!, b: b! }
}

test('every filter finds what fits, newest first', async () => {
  const { ids, first, third, second, a, b } = await stage()
  expect(await ids({})).toEqual([third, b, a, first])
  expect(await ids({ state: 'failed' })).toEqual([third])
  expect(await ids({ state: ['failed', 'waiting'] })).toEqual([third, b])
  expect(await ids({ task: 'tables.*' })).toEqual([b, a, first])
  expect(await ids({ task: 'tables.buy', queue: 'shop', state: 'queued' })).toEqual([a, first])
  expect(await ids({ collection: second })).toEqual([b, a])
  expect(await ids({ actor: 'ann' })).toEqual([first])
  expect(await ids({ tag: 'table' })).toEqual([first])
  expect(await ids({ text: 'EXPECTED' })).toEqual([third])
  expect(await ids({ text: '[1]', task: 'tables.*' })).toEqual([first])
  expect(await ids({ after: '-30m' })).toEqual([third, b, a])
  expect(await ids({ before: '-30m' })).toEqual([first])
  expect(await ids({ after: -30 * 60_000, before: new Date(Date.UTC(2026, 0, 1, 1)) })).toEqual([])
})

test('collections are listed as summaries, jobs alone among them', async () => {
  const { app, first, second, third } = await stage()
  const { items } = await app.collections.list()
  expect(items.map(({ id, state }) => [id, state])).toEqual([
    [third, 'failed'],
    [second, 'running'],
    [first, 'running'],
  ])
  expect(items[1]).toMatchObject({ progress: { done: 0, total: 2 }, actor: { id: 'ben' }, tags: ['two'] })
  expect(items[1]).not.toHaveProperty('settledAt')
  expect((await app.collections.list({ tag: 'two', state: 'running', after: '-1h' })).items).toHaveLength(1)
})

test('pages follow one another to the end', async () => {
  const { app, first, third, a, b } = await stage()
  const seen: string[] = []
  let cursor: string | undefined
  do {
    const page = await app.jobs.list({ limit: 3, cursor })
    seen.push(...page.items.map(({ id }) => id))
    cursor = page.next
  } while (cursor !== undefined)
  expect(seen).toEqual([third, b, a, first])
})

test.each([
  [{ limit: 0 }, 'BAD_OPTION', 'from 1 to 200'],
  [{ limit: 201 }, 'BAD_OPTION', 'from 1 to 200'],
  [{ limit: 1.5 }, 'BAD_OPTION', 'from 1 to 200'],
  [{ state: 'faild' }, 'BAD_OPTION', "'failed'"],
  [{ state: ['failed', 'none'] }, 'BAD_OPTION', "'none'"],
  [{ queu: 'x' }, 'BAD_OPTION', 'did you mean "queue"'],
  [{ task: 5 }, 'BAD_OPTION', 'text'],
  [{ text: '' }, 'BAD_OPTION', 'empty'],
  [{ text: 'a\0' }, 'BAD_OPTION', 'NUL'],
  [{ text: 'x'.repeat(201) }, 'BAD_OPTION', '200'],
  [{ cursor: 'nonsense' }, 'BAD_CURSOR', 'next'],
  [{ cursor: 5 }, 'BAD_CURSOR', 'next'],
  [{ after: '1h' }, 'BAD_OPTION', "'-1h'"],
  [{ after: 3_600_000 }, 'BAD_OPTION', '-3600000'],
  [{ after: '-1 hour' }, 'BAD_DURATION', "'5m'"],
  [{ before: new Date(Number.NaN) }, 'BAD_INSTANT', 'Date'],
] as const)('a filter that is wrong is refused: %j', async (query, code, words) => {
  const { app } = appByHand()
  await expect(app.jobs.list(query as object)).rejects.toMatchObject({
    code,
    message: expect.stringContaining(words) as string,
  })
})
