import { expect, test } from 'vitest'
import { StoreUnavailable } from '../../core/errors.ts'
import { systemRuntime } from '../../core/runtime.ts'
import { alone, submission } from '../../../test/fixtures/graphs.ts'
import { closedAfterEach, ownPostgres } from '../../../test/servers/own.ts'
import { postgres } from './postgres.ts'
import { Turns } from './turns.ts'

const own = ownPostgres()
const closing = closedAfterEach()

test('reads that take longer together than one may wait for a connection are all answered', async () => {
  const engine = postgres({ url: own.server.url, schema: 'turns', size: 2, timeout: 1_000 })(systemRuntime)
  closing.push(() => engine.close())
  const graph = alone()
  await engine.submit([submission(graph)])
  const began = performance.now()
  const read = async (): Promise<number> => {
    const found = await Promise.all(Array.from({ length: 1_000 }, () => engine.job(graph.id, { history: false })))
    expect(found.filter((job) => job?.id === graph.id)).toHaveLength(1_000)
    return performance.now() - began
  }
  // One read is enough to know how many are too many.
  const tooMany = Math.ceil(3_000 / (await read()))
  await Promise.all(Array.from({ length: tooMany }, read))
}, 60_000)

test('those who wait for a turn are told that the store is away as soon as nobody was answered', async () => {
  const turns = new Turns(() => 0)
  const gone = Promise.withResolvers<never>()
  const reads = [
    turns.take(() => gone.promise),
    turns.take(() => Promise.resolve(1)),
    turns.take(() => Promise.resolve(2)),
  ]
  const away = new StoreUnavailable('It is away.', { mayBeStored: false })
  gone.reject(away)
  expect(await Promise.allSettled(reads)).toEqual(reads.map(() => ({ status: 'rejected', reason: away })))
  expect(await turns.take(() => Promise.resolve(3))).toBe(3)
})

test('one read that fails while others are answered fails alone', async () => {
  const turns = new Turns(() => 2)
  const late = Promise.withResolvers<never>()
  const first = turns.take(() => late.promise)
  const reads = [1, 2].map((n) => turns.take(() => Promise.resolve(n)))
  await reads[0]
  late.reject(new StoreUnavailable('It is slow.', { mayBeStored: true }))
  await expect(first).rejects.toThrow('It is slow.')
  expect(await Promise.all(reads)).toEqual([1, 2])
})
