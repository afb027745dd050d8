import { describe, expect, it } from 'vitest'
import { callTerms, submitTerms, taskTerms } from './call-options.ts'
import type { CallOptions, SubmitOptions, TaskOptions } from './options.ts'

const call = (options: unknown) => callTerms(options as CallOptions, 'math.add')
const submit = (options: unknown) => submitTerms(options as SubmitOptions, 'submit')
const task = (options: unknown) => taskTerms(options as TaskOptions, 'math.add')

describe('callTerms', () => {
  it('parts what its jobs are given from what belongs to the call', () => {
    const options = {
      priority: 5,
      startIn: '5m',
      idempotencyKey: 'k',
      description: 'by hand\n',
      actor: { id: 'user-7' },
    }
    expect(call(options)).toStrictEqual({
      job: { priority: 5, startIn: 300_000 },
      idempotencyKey: 'k',
      description: 'by hand\n',
      actor: { id: 'user-7' },
    })
    expect(call({})).toStrictEqual({ job: {} })
    expect(call({ description: '', actor: undefined })).toStrictEqual({ job: {}, description: '' })
  })

  it('fills in how a unique key is held', () => {
    expect(call({ unique: { key: 'k' } }).unique).toStrictEqual({ key: 'k', until: 'settled', onConflict: 'existing' })
    expect(call({ unique: { key: 'k', until: '5m', onConflict: 'reject' } }).unique).toStrictEqual({
      key: 'k',
      until: 300_000,
      onConflict: 'reject',
    })
    expect(call({ unique: { key: 'k', until: 'started', onConflict: 'replace' } }).unique).toMatchObject({
      until: 'started',
    })
  })

  it('keeps a transaction apart from what is stored, and looks no closer at it', () => {
    const within = { query() {} }
    expect(call({ within, queue: 'x' })).toStrictEqual({ job: { queue: 'x' }, within })
    expect(call({ within }).within).toBe(within)
    expect(submit({ within, callbackUrl: 'https://a.example' })).toMatchObject({ job: {}, within })
    expect(call({ within: undefined })).toStrictEqual({ job: {} })
    for (const none of [null, 'begin', true, 5, () => within]) {
      expect(() => call({ within: none })).toThrow(
        /^math\.add: within: an open transaction is needed: a client of pg, a transaction of Kysely or Drizzle, a DatabaseSync, not /,
      )
    }
  })

  it('stores of an actor only the id', () => {
    expect(call({ actor: { id: 'user-7', password: 'x' } }).actor).toStrictEqual({ id: 'user-7' })
  })

  it.each([
    [{ priorty: 1 }, 'math.add: there is no option "priorty": did you mean "priority"?'],
    [{ idempotencykey: 'x' }, 'math.add: there is no option "idempotencykey": did you mean "idempotencyKey"?'],
    [{ priority: 1e9 }, /^math\.add: priority: a whole number/],
    [{ startIn: 1, startAt: 1 }, 'math.add: give startIn or startAt, not both'],
    [{ idempotencyKey: '' }, 'math.add: idempotencyKey: it is empty'],
    [{ idempotencyKey: 'x'.repeat(257) }, /idempotencyKey: it has 257 characters, the most are 256/],
    [{ description: 'x'.repeat(1001) }, 'math.add: description: it has 1001 characters, the most are 1000'],
    [{ description: 'a\0' }, /description: it has a NUL/],
    [{ description: 5 }, 'math.add: description: a text is needed, not 5'],
    [{ actor: 'user-7' }, "math.add: actor: write { id: … }, not 'user-7'"],
    [{ actor: null }, 'math.add: actor: write { id: … }, not null'],
    [{ actor: {} }, 'math.add: actor.id: a text is needed, not undefined'],
    [{ actor: { id: '' } }, 'math.add: actor.id: it is empty'],
    [{ unique: 'k' }, "math.add: unique: options are given as an object, this is 'k'"],
    [{ unique: {} }, 'math.add: unique: the key is missing'],
    [{ unique: { key: () => 'k' } }, /unique: key: a function cannot be stored: give it in the options of the task/],
    [
      { unique: { key: 'k', until: 'soon' } },
      /unique: until \('started', 'settled' or a duration\): 'soon' is not a duration/,
    ],
    [{ unique: { key: 'k', until: 0 } }, /until .*: it is 0, more than 0 is needed/],
    [
      { unique: { key: 'k', onConflict: 'fail' } },
      "math.add: unique: onConflict: one of 'existing', 'replace', 'reject' is needed, not 'fail'",
    ],
    [
      { callbackUrl: 'https://a.example/' },
      'math.add: callbackUrl: it is for a submission: app.submit(task.s(…), { callback: { url } })',
    ],
    [{ callback: { url: 'https://a.example/' } }, /^math\.add: callback: it is for a submission/],
    [{ concurrency: { key: 'x', limit: 1 } }, /concurrency: this is reserved/],
    [{ isolate: 'thread' }, /there is no option "isolate"/],
  ])('refuses %o', (options, message) => {
    expect(() => call(options)).toThrow(message)
  })
})

describe('submitTerms', () => {
  it.each([
    ['https://a.example/hook?x=1', 'https://a.example/hook?x=1'],
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8080'],
    [new URL('https://a.example'), 'https://a.example/'],
  ])('takes %s to call back', (callbackUrl, stored) => {
    const called = { job: { queue: 'x' }, callback: { url: stored, results: 'exit' } }
    expect(submit({ callbackUrl, queue: 'x' })).toStrictEqual(called)
    expect(submit({ callback: { url: callbackUrl }, queue: 'x' })).toStrictEqual(called)
    expect(submit({ callback: { url: callbackUrl, results: 'none' } })).toStrictEqual({
      job: {},
      callback: { url: stored, results: 'none' },
    })
  })

  it.each([
    '',
    'a.example/hook',
    '/hook',
    'ftp://a.example',
    'javascript:alert(1)',
    'https://',
    'http://a b',
    'https://user@a.example',
    'https://user:hunter2@a.example/',
    'https://:hunter2@a.example/',
    5,
    `https://a.example/${'x'.repeat(2048)}`,
  ])('refuses %.30s to call back', (callbackUrl) => {
    expect(() => submit({ callbackUrl })).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }))
    expect(() => submit({ callbackUrl })).toThrow(/^submit: callbackUrl: /)
    expect(() => submit({ callbackUrl })).toThrow(/^(?!.*hunter2)/)
    expect(() => submit({ callback: { url: callbackUrl } })).toThrow(/^(?!.*hunter2)submit: callback: url: /)
  })

  it.each([
    [{ callback: 'https://a.example/' }, 'submit: callback: options are given as an object, this is '],
    [{ callback: {} }, "submit: callback: the url is missing: write { url: 'https://…' }"],
    [{ callback: { url: 'https://a.example/', results: 'some' } }, "results: one of 'none', 'exit', 'all' is needed"],
    [{ callback: { url: 'https://a.example/', result: 'all' } }, 'submit: callback: there is no option "result"'],
    [
      { callback: { url: 'https://a.example/' }, callbackUrl: 'https://a.example/' },
      'submit: callback and callbackUrl both say who is called back: give one of them',
    ],
  ])('refuses %o', (options, message) => {
    expect(() => submit(options)).toThrow(message)
  })
})

describe('taskTerms', () => {
  it('keeps functions apart from what is stored', () => {
    const when = (): boolean => true
    const terms = task({ retry: { limit: 2, when }, queue: 'shop', description: 'adds', input: Symbol('schema') })
    expect(terms).toStrictEqual({
      job: { queue: 'shop', retry: { limit: 2, base: 1000, factor: 2, max: 3_600_000, jitter: true } },
      when,
      description: 'adds',
    })
    expect(task({})).toStrictEqual({ job: {} })
  })

  it('computes a unique key from the arguments of a call', () => {
    const { unique } = task({ unique: { key: (shop: string, n: number) => `${shop}/${n}`, until: 'started' } })
    expect(unique?.(['ikea', 3])).toStrictEqual({ key: 'ikea/3', until: 'started', onConflict: 'existing' })
    expect(task({ unique: { key: 'only one' } }).unique?.([])).toMatchObject({ key: 'only one', until: 'settled' })
  })

  it('refuses a computed key that is no key, at the call', () => {
    const { unique } = task({ unique: { key: (shop: unknown) => shop } })
    expect(() => unique?.([5])).toThrow('math.add: unique: key: a text is needed, not 5')
    expect(() => unique?.([''])).toThrow('math.add: unique: key: it is empty')
  })

  it.each([
    [{ retry: { limit: 1, when: true } }, 'math.add: retry: when: a function is needed, not true'],
    [{ retry: 3 }, 'math.add: retry: write { limit: … }, not 3'],
    [{ retries: 3 }, /^math\.add: there is no option "retries"/],
    [{ isolate: 'thread' }, 'math.add: isolate: this is reserved and not built yet: leave it out'],
    [{ startIn: '5m' }, 'math.add: startIn: it is for one call or submission: give it to task.with or submit'],
    [{ actor: { id: '1' } }, /actor: it is for one call or submission/],
    [{ within: {} }, /within: it is for one call or submission/],
    [{ unique: { key: '' } }, 'math.add: unique: key: it is empty'],
    [{ timeout: '0ms' }, /timeout: it is '0ms', more than 0/],
  ])('refuses %o', (options, message) => {
    expect(() => task(options)).toThrow(message)
  })
})
