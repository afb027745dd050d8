import { describe, expect, it } from 'vitest'
import type { JobOptions } from './options.ts'
import { inherit, noOptions, storedOptions } from './stored-options.ts'

const stored = (options: unknown) => storedOptions(options as JobOptions, 'canvas.with')
/** What is thrown for options that are no good, as `CODE: message`. */
function refusalOf(options: unknown): string {
  try {
    return `stored as ${JSON.stringify(stored(options))}`
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`
  }
}

describe('storedOptions', () => {
  it('puts every option into the form it is stored in', () => {
    const options = {
      queue: 'shop',
      priority: -1000,
      startIn: '5m',
      expires: '1h',
      retry: { limit: 5, backoff: { base: '200ms', factor: 3, max: '1m', jitter: false } },
      timeout: 1500,
      retention: '1w',
      tags: ['a', 'b', 'a'],
    } as const
    expect(stored(options)).toStrictEqual({
      queue: 'shop',
      priority: -1000,
      startIn: 300_000,
      expires: 3_600_000,
      retry: { limit: 5, base: 200, factor: 3, max: 60_000, jitter: false },
      timeout: 1500,
      retention: 604_800_000,
      tags: ['a', 'b'],
    })
    expect(stored({ startAt: new Date(5) })).toStrictEqual({ startAt: 5 })
  })

  it('leaves out what is undefined', () => {
    expect(stored({ queue: undefined, retry: undefined, startIn: undefined, startAt: 5 })).toStrictEqual({ startAt: 5 })
    expect(stored({})).toStrictEqual({})
  })

  it('fills in the defaults of a retry policy', () => {
    const defaults = { limit: 2, base: 1000, factor: 2, max: 3_600_000, jitter: true }
    expect(stored({ retry: { limit: 2 } }).retry).toStrictEqual(defaults)
    expect(stored({ retry: { limit: 2, backoff: undefined } }).retry).toStrictEqual(defaults)
    expect(stored({ retry: { limit: 0, backoff: {} } }).retry).toStrictEqual({ ...defaults, limit: 0 })
    expect(stored({ retry: { limit: 2, backoff: { base: '2h' } } }).retry).toMatchObject({
      base: 7_200_000,
      max: 7_200_000,
    })
  })

  it('is data that JSON gives back as it was', () => {
    const all = stored({ priority: -0, retry: { limit: -0 }, tags: ['x'], startAt: -0 })
    expect(JSON.parse(JSON.stringify(all))).toStrictEqual(all)
  })

  it.each([
    [{ priorty: 1 }, 'BAD_OPTION: canvas.with: there is no option "priorty": did you mean "priority"?'],
    [{ attempts: 3 }, /^BAD_OPTION: canvas\.with: there is no option "attempts": the options are queue, priority, /],
    // What is not built yet, or does not belong here, is no option that there is.
    [{ attempts: 3 }, /^(?!.*(concurrency|isolate|description))/],
    [{ toString: 1 }, /there is no option "toString"/],
    [JSON.parse('{"__proto__":1}'), /there is no option "__proto__"/],
    [{ chunked: true }, /there is no option "chunked"/],
    [
      { retry: { limit: 1, backof: {} } },
      'BAD_OPTION: canvas.with: retry: there is no option "backof": did you mean "backoff"?',
    ],
    [null, 'BAD_OPTION: canvas.with: options are given as an object, this is null'],
    ['shop', "BAD_OPTION: canvas.with: options are given as an object, this is 'shop'"],
    [[], 'BAD_OPTION: canvas.with: options are given as an object, this is a list'],
    [{ priority: 1.5 }, 'BAD_OPTION: canvas.with: priority: a whole number from -1000 to 1000 is needed, not 1.5'],
    [{ priority: 1001 }, /priority: a whole number/],
    [{ priority: '5' }, "BAD_OPTION: canvas.with: priority: a whole number from -1000 to 1000 is needed, not '5'"],
    [{ priority: Number.NaN }, /not NaN/],
    [{ priority: null }, /not null/],
    [{ queue: '' }, 'BAD_OPTION: canvas.with: queue: it is empty'],
    [{ queue: 'x'.repeat(129) }, 'BAD_OPTION: canvas.with: queue: it has 129 characters, the most are 128'],
    [{ queue: 'a\nb' }, /queue: .* has a control character/],
    [{ queue: 'a\0b' }, /queue: .*NUL/],
    [{ queue: '\ud800' }, /queue: .*half of a surrogate pair/],
    [{ queue: 5 }, 'BAD_OPTION: canvas.with: queue: a text is needed, not 5'],
    [{ tags: 'shop' }, "BAD_OPTION: canvas.with: tags: a list of texts is needed, not 'shop'"],
    [{ tags: ['a', ''] }, 'BAD_OPTION: canvas.with: tags[1]: it is empty'],
    [{ tags: ['a', 5] }, /tags\[1\]: a text is needed, not 5/],

    [{ tags: ['a', , 'b'] }, /tags\[1\]: a text is needed, not undefined/],
    [{ tags: Array.from({ length: 33 }, String) }, /tags: there are 33 tags, the most are 32/],
    [{ startIn: '5 minutes' }, /^BAD_DURATION: canvas\.with: startIn: '5 minutes' is not a duration/],
    [{ startIn: -1 }, /^BAD_DURATION: .*startIn: -1 is negative/],
    [{ startAt: 'soon' }, /^BAD_INSTANT: canvas\.with: startAt: 'soon' is not an instant/],
    [{ startIn: 1, startAt: 1 }, 'BAD_OPTION: canvas.with: give startIn or startAt, not both'],
    [{ timeout: 0 }, /^BAD_OPTION: canvas\.with: timeout: it is 0, more than 0 is needed/],
    [{ timeout: '0s' }, /^BAD_OPTION: canvas\.with: timeout: it is '0s', more than 0/],
    [{ expires: 0 }, /^BAD_OPTION: canvas\.with: expires: it is 0/],
    [{ retention: '-1d' }, /^BAD_DURATION: .*retention/],
    [{ retry: 5 }, 'BAD_OPTION: canvas.with: retry: write { limit: … }, not 5'],
    [{ retry: null }, /retry: options are given as an object, this is null/],
    [{ retry: {} }, /^BAD_OPTION: canvas\.with: retry: the limit is missing/],
    [{ retry: { limit: -1 } }, /retry: limit: a whole number from 0 to 1000000 is needed, not -1/],
    [{ retry: { limit: Number.POSITIVE_INFINITY } }, /retry: limit: .* not Infinity/],
    [
      { retry: { limit: 1, backoff: { factor: 0.5 } } },
      /retry: backoff: factor: a number from 1 to 1000 is needed, not 0.5/,
    ],
    [{ retry: { limit: 1, backoff: { factor: Number.NaN } } }, /factor: .* not NaN/],
    [{ retry: { limit: 1, backoff: { jitter: 'yes' } } }, /retry: backoff: jitter: true or false is needed/],
    [
      { retry: { limit: 1, backoff: { base: '2s', max: '1s' } } },
      /backoff\.max \(1000 ms\) is less than backoff\.base \(2000 ms\)/,
    ],
    [
      { retry: { limit: 1, when: () => true } },
      /retry: when: a function cannot be stored: give it in the options of the task/,
    ],
    [
      { concurrency: { key: 'x', limit: 1 } },
      'BAD_OPTION: canvas.with: concurrency: this is reserved and not built yet: leave it out',
    ],
    ...['idempotencyKey', 'unique', 'description', 'actor', 'callback', 'callbackUrl', 'within'].map(
      (name) =>
        [
          { [name]: 'x' },
          `BAD_OPTION: canvas.with: ${name}: it is for one call or submission: give it to task.with or submit, not to a whole canvas`,
        ] as const,
    ),
  ] as readonly (readonly [unknown, string | RegExp])[])('refuses %o', (options, message) => {
    if (typeof message === 'string') expect(refusalOf(options)).toBe(message)
    else expect(refusalOf(options)).toMatch(message)
  })
})

describe('inherit', () => {
  it('takes from around what a job does not set itself', () => {
    const outer = {
      queue: 'x',
      priority: 3,
      tags: ['a'],
      retry: { limit: 1, base: 1, factor: 2, max: 9, jitter: true },
    }
    expect(inherit({ queue: 'own', tags: [] }, outer)).toEqual({ ...outer, queue: 'own', tags: [] })
    expect(inherit(noOptions, outer)).toEqual(outer)
    expect(inherit(outer, noOptions)).toEqual(outer)
    expect(inherit({ priority: 0 }, { priority: 5 })).toEqual({ priority: 0 })
  })

  it('lets the nearer of the two ways to hold back hide the other', () => {
    expect(inherit({ startIn: 0 }, { startAt: 5, queue: 'x' })).toEqual({ startIn: 0, queue: 'x' })
    expect(inherit({ startAt: 5 }, { startIn: 0 })).toEqual({ startAt: 5 })
    expect(inherit({ queue: 'x' }, { startIn: 7 })).toEqual({ queue: 'x', startIn: 7 })
  })

  it('changes neither', () => {
    const [own, outer] = [Object.freeze({ startIn: 1 }), Object.freeze({ startAt: 2, queue: 'x' })]
    inherit(own, outer)
    expect([own, outer]).toEqual([{ startIn: 1 }, { startAt: 2, queue: 'x' }])
  })
})
