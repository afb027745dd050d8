import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { failureFrom } from './failure.ts'
import { utf8Length } from './text.ts'

const about = { attempt: 2, at: Date.UTC(2026, 2, 1, 12) }
const failureOf = (thrown: unknown) => failureFrom(thrown, about)
const messageOf = (thrown: unknown): string => failureOf(thrown).message

describe('failureFrom', () => {
  it('tells an Error with its stack and its causes', () => {
    const failure = failureOf(new TypeError('no shop', { cause: new Error('no connection', { cause: 'refused' }) }))
    expect(failure).toEqual({
      name: 'TypeError',
      message: 'no shop',
      stack: expect.stringContaining('failure.test.ts') as string,
      attempt: 2,
      at: '2026-03-01T12:00:00.000Z',
      cause: expect.objectContaining({ name: 'Error', message: 'no connection' }) as object,
    })
    expect(failure.cause?.cause).toEqual({ name: 'Error', message: 'refused', attempt: 2, at: failure.at })
    expect(failure.cause?.cause).not.toHaveProperty('stack')
  })

  it('keeps the name that a class or a library gave', () => {
    class Expected extends Error {
      override name = 'Expected'
    }
    expect(failureOf(new Expected('x')).name).toBe('Expected')
    expect(failureOf({ name: 'HttpError', message: 'gone' })).toMatchObject({ name: 'HttpError', message: 'gone' })
    expect(failureOf({ name: 5, message: 'x' }).name).toBe('Error')
    expect(failureOf(Object.assign(new Error('x'), { name: '' })).name).toBe('Error')
  })

  it.each([
    [null, 'null was thrown, not an Error'],
    [undefined, 'undefined was thrown, not an Error'],
    ['just text', 'just text'],
    ['', ''],
    [42, '42 was thrown, not an Error'],
    [5n, '5 was thrown, not an Error'],
    [Symbol('s'), 'Symbol(s) was thrown, not an Error'],
    [() => 1, 'a function was thrown, not an Error'],
    [[1, 2], 'a list of 2 was thrown, not an Error'],
    [{}, 'an object was thrown, not an Error'],
    [
      { status: 503, body: { a: 1 }, text: 'x', f: () => 1 },
      "{ status: 503, body: {…}, text: 'x', f: (…) } was thrown, not an Error",
    ],
    [{ message: 5 }, '{ message: 5 } was thrown, not an Error'],
    [Object.create(null), 'an object was thrown, not an Error'],
  ])('tells %o', (thrown, message) => {
    expect(failureOf(thrown)).toMatchObject({ name: 'Error', message, attempt: 2 })
  })

  it('shows only the first properties of a large object', () => {
    const large = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`key${n}`, 'x'.repeat(10_000)]))
    expect(messageOf(large)).toMatch(/^\{ key0: 'x{200}', .*, … \} was thrown/)
    expect(messageOf(large).length).toBeLessThan(3000)
  })

  it('lists the errors of an AggregateError', () => {
    expect(messageOf(new AggregateError([new Error('a'), 'b', { code: 1 }], 'all failed'))).toBe(
      'all failed\n1. a\n2. b\n3. { code: 1 }',
    )
    expect(messageOf(new AggregateError([new Error('connect ECONNREFUSED ::1:5432')]))).toBe(
      '1 error\n1. connect ECONNREFUSED ::1:5432',
    )
    const many = new AggregateError(Array.from({ length: 5000 }, (_, n) => new Error(`e${n}`)))
    expect(messageOf(many).split('\n')).toHaveLength(12)
    expect(messageOf(many)).toMatch(/^5000 errors\n1\. e0\n.*\n10\. e9\nand 4990 more$/s)
    expect(messageOf(Object.assign(new Error('invalid'), { errors: ['x'] }))).toBe('invalid')
  })

  it('ends a circle of causes, and goes at most 8 causes deep', () => {
    const [one, two] = [new Error('one'), new Error('two')]
    Object.assign(one, { cause: two })
    Object.assign(two, { cause: one })
    expect(failureOf(one).cause?.message).toBe('two')
    expect(failureOf(one).cause?.cause).toBeUndefined()
    const itself = new Error('self')
    expect(failureOf(Object.assign(itself, { cause: itself })).cause).toBeUndefined()

    let chain = new Error('0')
    for (let n = 1; n < 1000; n++) chain = new Error(String(n), { cause: chain })
    const messages: string[] = []
    for (let link = failureOf(chain).cause; link; link = link.cause) messages.push(link.message)
    expect(messages).toEqual(['998', '997', '996', '995', '994', '993', '992', '991'])

    let next = 0
    const endless = (): object => ({
      message: `e${next++}`,
      get cause() {
        return endless()
      },
    })
    expect(JSON.stringify(failureOf(endless())).length).toBeLessThan(2000)
  })

  it('cuts a message of 10 MB to 8 KiB, and the stack to 16 KiB without losing the calls', () => {
    const failure = failureOf(new Error('ö'.repeat(10_000_000)))
    expect(utf8Length(failure.message)).toBeLessThanOrEqual(8 * 1024)
    expect(utf8Length(failure.message)).toBeGreaterThan(8 * 1024 - 8)
    expect(failure.message).toMatch(/^ö+…$/)
    expect(utf8Length(failure.stack!)).toBeLessThanOrEqual(16 * 1024)
    expect(failure.stack).toContain('failure.test.ts')
    const long = failureOf(Object.assign(new Error('x'), { name: 'N'.repeat(1000), stack: 'y'.repeat(100_000) }))
    expect(long.stack).toHaveLength(16 * 1024 - 2)
    expect(long.name.length).toBeLessThanOrEqual(200)
  })

  it('replaces what a store would refuse', () => {
    const failure = failureOf(Object.assign(new Error('a\0b\ud800c👋'), { name: '\udc00', stack: '\0' }))
    expect(failure).toMatchObject({ name: '\ufffd', message: 'a\ufffdb\ufffdc👋', stack: '\ufffd' })
  })

  it('survives what throws when it is looked at', () => {
    const thrower = (): never => {
      throw new Error('gotcha')
    }
    const traps = ['get', 'has', 'ownKeys', 'getPrototypeOf', 'getOwnPropertyDescriptor'] as const
    const proxy = new Proxy({}, Object.fromEntries(traps.map((trap) => [trap, thrower])))
    expect(messageOf(proxy)).toBe('an object that cannot be read was thrown, not an Error')
    expect(messageOf(new Error('outer', { cause: proxy }))).toBe('outer')
    expect(failureOf(Object.defineProperty(new Error('x'), 'message', { get: thrower })).name).toBe('Error')
    expect(failureOf(Object.defineProperty(new Error('x'), 'stack', { get: thrower }))).not.toHaveProperty('stack')
    expect(
      messageOf({
        get status() {
          return thrower()
        },
      }),
    ).toBe('{ status: undefined } was thrown, not an Error')
    const revoked = Proxy.revocable(() => 1, {})
    revoked.revoke()
    expect(messageOf(revoked.proxy)).toBe('a function was thrown, not an Error')
    const aggregate = new AggregateError([])
    aggregate.errors = new Proxy([], { get: (_, name) => (name === 'length' ? 2 ** 40 : thrower()) })
    expect(messageOf(aggregate)).toContain('1. undefined')
    const oddLength = new Proxy([], { get: () => Symbol('s') })
    expect(messageOf(Object.assign(new AggregateError([]), { errors: oddLength }))).toBe('0 errors')
  })

  it('tells anything at all as data that every store takes', () => {
    const odd = {
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withSparseArray: true,
    }
    const messages = fc.oneof(
      fc.anything(),
      fc.string({
        unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
        maxLength: 2000,
        size: 'max',
      }),
    )
    const errors = fc.record(
      { name: messages, message: messages, stack: messages, cause: fc.anything(odd), errors: fc.anything() },
      { requiredKeys: [] },
    )
    const thrown = fc.oneof(
      fc.anything(odd),
      errors,
      errors.map((parts) => Object.assign(new Error(), parts)),
    )
    fc.assert(
      fc.property(thrown, (value) => {
        const failure = failureOf(value)
        const text = JSON.stringify(failure)
        expect(JSON.parse(text)).toEqual(failure)
        for (const part of [failure.name, failure.message, failure.stack ?? '']) {
          expect(part.isWellFormed() && !part.includes('\0') && utf8Length(part) <= 16 * 1024).toBe(true)
        }
      }),
      { numRuns: 300 },
    )
  })
})
