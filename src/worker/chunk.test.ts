import { expect, test } from 'vitest'
import { chain, currentJob, each } from 'celeriac'
import { working } from '../../test/fixtures/working.ts'
import type { Note } from '../engine/work.ts'
import { Notes } from './notes.ts'

const open = (known: readonly Note[] = []) => {
  const clock = { now: 0, told: 0 }
  const tell = (): void => void clock.told++
  return { clock, notes: new Notes({ known, startedAt: 0, elapsed: () => clock.now, tell }) }
}

test('an attempt that succeeds sends nothing of what it kept; any other sends it before its outcome', () => {
  const { clock, notes } = open()
  notes.keep('a', 1)
  notes.flush(true)
  expect([clock.told, notes.take()]).toEqual([0, []])
  notes.keep('a', 1)
  notes.keep('b', { x: [] })
  notes.flush(false)
  expect(clock.told).toBe(1)
  const taken = notes.take()
  expect(taken).toEqual([
    { name: 'a', value: '1' },
    { name: 'b', value: '{"x":[]}' },
  ])
  notes.giveBack(taken)
  notes.keep('c', null)
  expect(notes.take().map(({ name }) => name)).toEqual(['a', 'b', 'c'])
})

test('it is sent once in a second, however much there is', () => {
  const { clock, notes } = open()
  for (let n = 0; n < 100; n++, clock.now += 100) notes.keep(String(n), n)
  expect(clock.told).toBe(9)
})

test('a job keeps up to 1 MiB, with what it kept before, and leaves out what JSON does not carry', () => {
  const half = 'x'.repeat(524_288)
  const { notes } = open([{ name: 'before', value: JSON.stringify(half) }])
  notes.keep('bad', 1n)
  notes.keep('large', half)
  notes.keep('small', 'x')
  expect(notes.get('before')).toBe(JSON.stringify(half))
  expect(notes.take()).toEqual([{ name: 'small', value: '"x"' }])
})

test('every element has another key, in one chunk and in two', async () => {
  const { app, worker } = working()
  const key = app.task('key', (_: number) => currentJob().key)
  const list = app.task('list', () => [0, 1, 2])
  await worker.start()
  const keys = await (await app.submit(chain(list.s(), each(key, { chunk: 2 })))).result()
  expect(new Set(keys).size).toBe(3)
})
