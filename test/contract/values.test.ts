import { expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { allValues, type ValueKind } from '../../src/engine/values.ts'
import { listKeys } from '../../src/http/keys.ts'
import { sweepAll } from '../fixtures/hand.ts'
import { transferOf } from '../fixtures/pairs.ts'
import { redelivering } from '../fixtures/redelivery.ts'
import { onEveryEngine } from '../fixtures/store.ts'

interface Given {
  readonly kind?: ValueKind
  readonly id?: string
  readonly text?: string
  readonly lifetime?: number | null
}

const put = (engine: Engine, given: Given, conflict: 'replace' | 'keep' = 'replace'): Promise<string> =>
  engine.putValue({ kind: 'key', id: 'one', text: 'text', lifetime: null, ...given }, conflict)

/** What is kept, given or not. */
const kept = async (engine: Engine): Promise<number> => (await transferOf(engine).census()).rows.values

onEveryEngine((open) => {
  test('a text is found under its kind and id, from any connection', async () => {
    const { engine, second } = await open()
    expect(await engine.value('key', 'one')).toBeNull()
    expect(await engine.values('key')).toEqual([])
    expect(await put(engine, { text: 'a\nb "☃"' })).toBe('a\nb "☃"')
    expect(await second().value('key', 'one')).toBe('a\nb "☃"')
    expect(await engine.value('ticket', 'one')).toBeNull()
    expect(await engine.value('key', 'two')).toBeNull()
  })

  test('texts and ids may be empty, and have anything in them', async () => {
    const { engine } = await open()
    for (const id of ['', '*', '%_\\', 'a\nb', "it's", '{x}', 'ß😀']) {
      expect(await put(engine, { id, text: '' })).toBe('')
      expect(await put(engine, { id, text: id }, 'keep')).toBe('')
      expect(await engine.value('key', id)).toBe('')
    }
    expect(await engine.values('key')).toHaveLength(7)
    // No engine need keep such an id, but anybody may ask for it.
    expect(await engine.value('key', 'a\0b')).toBeNull()
    expect(await engine.takeValue('key', 'a\0b')).toBeNull()
  })

  test('more than fit into one answer come page by page, each once', async () => {
    const { engine, clock } = await open()
    const text = JSON.stringify({ name: 'n', scopes: ['read'], hash: '', createdAt: 0, expiresAt: null })
    const ids = Array.from({ length: 2_100 }, (_, n) => `k${String(n).padStart(4, '0')}`)
    for (let from = 0; from < ids.length; from += 100)
      await Promise.all(
        ids.slice(from, from + 100).map((id, n) => put(engine, { id, text, lifetime: n % 2 ? 1_000 : null })),
      )
    await put(engine, { kind: 'secret', id: 'l' })
    const first = await engine.values('key')
    expect(first.map(({ id }) => id)).toEqual(ids.slice(0, 1_000))
    expect((await engine.values('key', 'k1999')).map(({ id }) => id)).toEqual(ids.slice(2_000))
    expect((await allValues(engine, 'key')).map(({ id }) => id)).toEqual(ids)
    expect((await listKeys(engine)).map(({ id }) => id)).toEqual(ids)
    clock.pass(1_000)
    expect((await allValues(engine, 'key')).map(({ id }) => id)).toEqual(ids.filter((_, n) => n % 2 === 0))
    expect(await engine.values('key', 'l')).toEqual([])
  })

  test('replaces, with its time', async () => {
    const { engine, clock } = await open()
    await put(engine, { text: 'old', lifetime: 1_000 })
    expect(await put(engine, { text: 'new' })).toBe('new')
    clock.pass(1_000)
    await sweepAll(engine, clock.now())
    expect(await engine.values('key')).toEqual([{ id: 'one', text: 'new', expiresAt: null }])
    await put(engine, { text: 'newer', lifetime: 500 })
    expect(await engine.values('key')).toEqual([{ id: 'one', text: 'newer', expiresAt: clock.now() + 500 }])
    clock.pass(500)
    expect(await engine.value('key', 'one')).toBeNull()
  })

  test('keeps what is there, with its time, until that is over', async () => {
    const { engine, clock } = await open()
    await put(engine, { text: 'first', lifetime: 1_000 }, 'keep')
    expect(await put(engine, { text: 'second', lifetime: 9_000 }, 'keep')).toBe('first')
    expect(await engine.values('key')).toEqual([{ id: 'one', text: 'first', expiresAt: clock.now() + 1_000 }])
    clock.pass(1_000)
    expect(await put(engine, { text: 'third' }, 'keep')).toBe('third')
    expect(await put(engine, { text: 'fourth' }, 'keep')).toBe('third')
    expect(await engine.values('key')).toEqual([{ id: 'one', text: 'third', expiresAt: null }])
  })

  test('of several that each make one at the same instant, all get the same', async () => {
    const { engine, second } = await open()
    const engines = [engine, ...Array.from({ length: 5 }, () => second())]
    await Promise.all(engines.map((each) => each.migrate()))
    const given = await Promise.all(
      engines.flatMap((each, at) =>
        [0, 1, 2].map((nth) => put(each, { kind: 'secret', id: 'cookies', text: `${at}.${nth}` }, 'keep')),
      ),
    )
    expect(new Set(given).size).toBe(1)
    expect(await engine.value('secret', 'cookies')).toBe(given[0])
  })

  test('of all who take it at the same instant, one gets it', async () => {
    const { engine, second } = await open()
    const engines = [engine, ...Array.from({ length: 5 }, () => second())]
    await Promise.all(engines.map((each) => each.migrate()))
    for (const lifetime of [null, 1_000]) {
      await put(engine, { kind: 'ticket', lifetime })
      const taken = await Promise.all(engines.flatMap((each) => [1, 2].map(() => each.takeValue('ticket', 'one'))))
      expect(taken.filter((text) => text !== null)).toEqual(['text'])
    }
    expect(await kept(engine)).toBe(0)
  })

  test('what was taken is gone, and may be put again', async () => {
    const { engine } = await open()
    expect(await engine.takeValue('ticket', 'one')).toBeNull()
    await put(engine, { kind: 'ticket' })
    expect(await engine.takeValue('key', 'one')).toBeNull()
    expect(await engine.takeValue('ticket', 'one')).toBe('text')
    expect(await engine.value('ticket', 'one')).toBeNull()
    expect(await engine.values('ticket')).toEqual([])
    expect(await put(engine, { kind: 'ticket', text: 'again' }, 'keep')).toBe('again')
  })

  test('sent again after a lost reply, it is stored once, and taken once', async () => {
    const { engine } = await open()
    const twice = redelivering(engine)
    expect(await put(twice, { text: 'first' }, 'keep')).toBe('first')
    expect(await put(twice, { text: 'second' })).toBe('second')
    expect(await twice.takeValue('key', 'one')).toBe('second')
    expect(await engine.takeValue('key', 'one')).toBeNull()
  })

  test('is given until its time is over, and not at that instant', async () => {
    const { engine, clock } = await open()
    await put(engine, { kind: 'ticket', lifetime: 1_000 })
    clock.pass(999)
    expect(await engine.value('ticket', 'one')).toBe('text')
    expect(await engine.values('ticket')).toHaveLength(1)
    clock.pass(1)
    expect(await engine.value('ticket', 'one')).toBeNull()
    expect(await engine.values('ticket')).toEqual([])
    expect(await engine.takeValue('ticket', 'one')).toBeNull()
    await put(engine, { kind: 'ticket', lifetime: 0 })
    expect(await engine.value('ticket', 'one')).toBeNull()
  })

  test('what has run out is swept away, and nothing else', async () => {
    const { engine, clock } = await open()
    await put(engine, { id: 'stays' })
    await put(engine, { id: 'longer', lifetime: 200_000 })
    for (let at = 0; at < 20; at++) await put(engine, { kind: 'ticket', id: `t${at}`, lifetime: 1_000 })
    expect(await kept(engine)).toBe(22)
    clock.pass(100_000)
    await sweepAll(engine, clock.now())
    expect(await kept(engine)).toBe(2)
    expect((await engine.values('key')).map(({ id }) => id)).toEqual(['longer', 'stays'])
  })

  test('all of a kind are listed in the order of their ids, at most a thousand', async () => {
    const { engine, clock } = await open()
    for (const id of ['b', '10', 'é', 'B', '9', 'a', '😀', '～']) await put(engine, { id })
    await put(engine, { kind: 'secret', id: 'other' })
    expect((await engine.values('key')).map(({ id }) => id)).toEqual(['10', '9', 'B', 'a', 'b', 'é', '～', '😀'])
    const ids = Array.from({ length: 1_001 }, (_, at) => `t${String(at).padStart(4, '0')}`)
    await Promise.all(ids.map((id, at) => put(engine, { kind: 'ticket', id, lifetime: at < 500 ? 1_000 : null })))
    expect((await engine.values('ticket')).map(({ id }) => id)).toEqual(ids.slice(0, 1_000))
    // Those whose time is over do not stand in the way of those behind them.
    clock.pass(1_000)
    expect((await engine.values('ticket')).map(({ id }) => id)).toEqual(ids.slice(500))
  })
})
