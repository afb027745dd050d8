import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CeleriacError } from './errors.ts'
import { argumentLimits, argumentsText, type JsonProblem, jsonText, resultText } from './json.ts'
import { kind } from './kind.ts'

/** What is thrown for an argument, as `CODE: message`. */
function refusalOf(value: unknown): string {
  try {
    return `carried as ${argumentsText([value])}`
  } catch (error) {
    if (!(error instanceof CeleriacError)) throw error
    return `${error.code}: ${error.message}`
  }
}

/** The sentence of the type level, checked by the compiler, is the one of the run time. */
function expectSame<Sentence extends string>(value: unknown, sentence: Sentence): void {
  expect(refusalOf(value)).toBe(`NOT_JSON: ${sentence}`)
}

describe('what is refused', () => {
  it('is told in the words of the type level', () => {
    const date: JsonProblem<{ when: Date }, 'args[0]'> =
      'JSON cannot carry args[0].when: it is a Date, send its toISOString()'
    const deep: JsonProblem<{ rows: { at: Map<string, 1> }[] }, 'args[0]'> =
      'JSON cannot carry args[0].rows[].at: it is a Map'
    expectSame({ when: new Date(0) }, date)
    expectSame({ rows: [{ at: new Map() }] }, deep.replace('[]', '[0]'))
    expectSame(new Set(), 'JSON cannot carry args[0]: it is a Set' satisfies JsonProblem<Set<1>, 'args[0]'>)
    expectSame(1n, 'JSON cannot carry args[0]: it is a bigint' satisfies JsonProblem<bigint, 'args[0]'>)
    expectSame(Symbol('s'), 'JSON cannot carry args[0]: it is a symbol' satisfies JsonProblem<symbol, 'args[0]'>)
    expectSame(() => 1, 'JSON cannot carry args[0]: it is a function' satisfies JsonProblem<() => 1, 'args[0]'>)
    expectSame(class {}, 'JSON cannot carry args[0]: it is a class' satisfies JsonProblem<new () => object, 'args[0]'>)
    expectSame(/x/, 'JSON cannot carry args[0]: it is a RegExp' satisfies JsonProblem<RegExp, 'args[0]'>)
    const binary = 'JSON cannot carry args[0]: it is binary data' satisfies JsonProblem<Uint8Array, 'args[0]'>
    expectSame(new Uint8Array(1), binary)
    expectSame(Buffer.from('x'), binary)
    expectSame(new ArrayBuffer(1), binary)
    expectSame(new DataView(new ArrayBuffer(1)), binary)
    const error = 'JSON cannot carry args[0]: it is an Error, send its message' satisfies JsonProblem<Error, 'args[0]'>
    expectSame(new Error('x'), error)
    expectSame(new (class Special extends TypeError {})(), error)
    expectSame(new DOMException('stopped', 'AbortError'), error)
    const promise = 'JSON cannot carry args[0]: it is a promise, await it first' satisfies JsonProblem<
      Promise<1>,
      'args[0]'
    >
    expectSame(Promise.resolve(1), promise)
    expectSame({ then: () => 1 }, promise)
    expectSame(
      new (class Query {
        then(): void {}
      })(),
      promise,
    )
    const list = 'JSON cannot carry undefined in the list args[0]: use null' satisfies JsonProblem<
      undefined[],
      'args[0]'
    >
    expectSame([undefined], list)

    expectSame([1, , 3], list)
    expectSame(new Array(5), list)
  })

  it('names tasks, canvases and handles by their mark, be they functions, instances or plain objects', () => {
    const task = Object.assign(() => 1, { [kind]: 'task' as const })
    expect(refusalOf(task)).toContain('args[0]: it is a task, return task.s(…)')
    expect(
      refusalOf([
        new (class {
          readonly [kind] = 'canvas'
        })(),
      ]),
    ).toContain('args[0][0]: it is a canvas, ')
    expect(refusalOf({ job: { [kind]: 'handle', result: () => 1 } })).toContain('args[0].job: it is a handle, ')
    expect(refusalOf({ [kind]: 'constructor', f: () => 1 })).toContain('args[0].f: it is a function')
    expect(refusalOf({ [kind]: 'nonsense', a: 1 })).toBe('carried as [{"a":1}]')
  })

  it('includes numbers and texts that JSON or a store would change', () => {
    expect(refusalOf(Number.NaN)).toBe('NOT_JSON: JSON cannot carry args[0]: it is NaN, use null')
    expect(refusalOf([-1 / 0])).toBe('NOT_JSON: JSON cannot carry args[0][0]: it is -Infinity, use null')
    expect(refusalOf({ a: 'x\0y' })).toMatch(/args\[0\]\.a: it is text with a NUL/)
    expect(refusalOf('\ud800')).toMatch(/args\[0\]: it is text with half of a surrogate pair/)
    expect(refusalOf({ 'x\udc00': 1 })).toMatch(/args\[0\]\["x\\udc00"\]: it is text with half/)
    expect(refusalOf({ a: { 'x\0': 1 } })).toMatch(/args\[0\]\.a\["x\\u0000"\]: it is text with a NUL/)
    expect(refusalOf(JSON.parse('{"__proto__":{"admin":true}}'))).toMatch(/args\[0\]\.__proto__: use another name/)
  })

  it('includes instances that are more than their own properties', () => {
    expect(refusalOf(new URL('https://a.example/'))).toContain('it is a URL, send its href')
    expect(refusalOf(new Number(1))).toContain('it is a Number object')
    expect(refusalOf(new WeakMap())).toContain('it is a WeakMap')
    expect(refusalOf(new Headers())).toContain('it is a Headers')
    class Amount {
      toJSON(): string {
        return '1'
      }
    }
    expect(refusalOf({ price: new Amount() })).toContain('args[0].price: it is an Amount, send what its toJSON() gives')
    class Rows extends Array<unknown> {
      toJSON(): string {
        return 'rows'
      }
    }
    expect(refusalOf(Rows.of(1))).toContain('args[0]: it is a Rows, send what its toJSON() gives')
    expect(refusalOf({ [Symbol.toStringTag]: 'constructor' })).toBe('carried as [{}]')
    expect(
      refusalOf(
        new (class {
          readonly [Symbol.toStringTag] = 'constructor'
        })(),
      ),
    ).toContain('it is a constructor')
  })

  it('includes what cannot be read', () => {
    const throwing = {
      get x(): never {
        throw new Error('no')
      },
    }
    expect(refusalOf([throwing])).toBe(
      'NOT_JSON: JSON cannot carry args[0][0].x: it is unreadable, reading it threw Error: no',
    )
    const unspeakable = {
      get x(): never {
        throw Object.create(null) as Error
      },
    }
    expect(refusalOf(unspeakable)).toContain('reading it threw something')
    const closed = new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error('closed')
        },
      },
    )
    expect(refusalOf(closed)).toContain('args[0]: it is unreadable, reading it threw Error: closed')
    const { proxy, revoke } = Proxy.revocable([], {})
    revoke()
    expect(refusalOf({ proxy })).toContain('args[0].proxy: it is unreadable')
  })

  it('tells a circle from mere depth, and where it closes', () => {
    const circle: { children: unknown[] } = { children: [] }
    circle.children.push({ parent: circle })
    expect(refusalOf(circle)).toBe(
      'NOT_JSON: JSON cannot carry args[0].children[0].parent: it is args[0] again, a circle',
    )
    const twice = { a: 1 }
    expect(refusalOf([twice, twice])).toBe('carried as [[{"a":1},{"a":1}]]')
    expect(refusalOf(nested(65))).toMatch(/^TOO_DEEP: args(\[0\])+…(\[0\])+ is nested deeper than the 64 levels/)
    expect(refusalOf(nested(64))).toMatch(/^carried as/)
    expect(() => resultText(nested(65))).toThrow(/result\[0\].* is nested deeper than the 64 levels/)
    expect(resultText(nested(64))).toBe('['.repeat(64) + ']'.repeat(64))
    const endless: object = new Proxy(
      {},
      {
        ownKeys: () => ['a'],
        get: () => endless,
        getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
      },
    )
    expect(refusalOf(endless)).toContain('a circle')
  })

  it('keeps names and ways that are long or odd readable', () => {
    expect(refusalOf({ 'first name': [1n] })).toContain('args[0]["first name"][0]: it')
    expect(refusalOf({ größe: 1n })).toContain('args[0].größe: it')
    expect(refusalOf({ ['x'.repeat(1000)]: 1n }).length).toBeLessThan(200)
  })
})

const nested = (levels: number): unknown => (levels === 1 ? [] : [nested(levels - 1)])

describe('the limits', () => {
  const limits = { bytes: 20, depth: 3 }
  it('counts bytes of UTF-8, quotes and all', () => {
    expect(jsonText('x'.repeat(18), 'it', limits)).toHaveLength(20)
    expect(() => jsonText('x'.repeat(19), 'it', limits)).toThrow('it: more than 20 bytes as JSON is not carried')
    expect(jsonText('ö'.repeat(9), 'it', limits)).toBe(`"${'ö'.repeat(9)}"`)
    expect(() => jsonText('ö'.repeat(10), 'it', limits)).toThrow('20 bytes')
    expect(jsonText('👋👋👋👋', 'it', limits)).toHaveLength(10)
    expect(() => jsonText('👋👋👋👋👋', 'it', limits)).toThrow('20 bytes')
    expect(jsonText('€€€€€€', 'it', limits)).toHaveLength(8)
    expect(() => jsonText('€€€€€€x', 'it', limits)).toThrow('20 bytes')
  })

  it('is 256 KiB for all arguments together and 1 MiB for a result', () => {
    const half = 'x'.repeat(128 * 1024 - 4)
    expect(argumentsText([half, half + 'x'])).toHaveLength(256 * 1024)
    expect(() => argumentsText([half, half + 'xx'])).toThrow(/^args: more than 256 KiB/)
    expect(resultText('x'.repeat(1024 * 1024 - 2))).toHaveLength(1024 * 1024)
    expect(() => resultText('x'.repeat(1024 * 1024 - 1))).toThrow(/^result: more than 1024 KiB/)
  })

  it('ends the work early on values that are far larger in text than in memory', () => {
    let many: unknown = 'x'
    for (let level = 0; level < 50; level++) many = Array.from({ length: 100 }, () => many)
    expect(refusalOf(many)).toMatch(/^TOO_LARGE/)
    const nothings = Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`k${n}`, undefined]))
    let none: unknown = nothings
    for (let level = 0; level < 50; level++) none = [none, none, none, none]
    expect(refusalOf(none)).toMatch(/^TOO_LARGE/)
    // Together more than a string can be: whoever only looked at the end would not get there.
    const long = 'x'.repeat(250_000)
    expect(refusalOf(Array.from({ length: 3000 }, () => long))).toMatch(/^TOO_LARGE/)
    expect(refusalOf(Object.fromEntries(Array.from({ length: 3000 }, (_, n) => [n, long])))).toMatch(/^TOO_LARGE/)
    expect(refusalOf(new Array(4_000_000_000))).toMatch(/^TOO_LARGE/)
    const lying = new Proxy([], { get: (_, name) => (name === 'length' ? Number.NaN : 1) })
    expect(refusalOf(lying)).toMatch(/^TOO_LARGE/)
  })
})

describe('what is carried', () => {
  it('leaves out what is undefined or has a symbol for a name, and gives −0 as 0', () => {
    expect(argumentsText([{ a: undefined, b: -0, [Symbol('s')]: 1 }])).toBe('[{"b":0}]')
    expect(argumentsText([{ ['__proto__']: undefined, ['\0']: undefined }])).toBe('[{}]')
  })

  it('takes instances of classes by their own properties', () => {
    class Point {
      readonly x = 1
      readonly #secret = 2
      get sum(): number {
        return this.x + this.#secret
      }
    }
    expect(argumentsText([new Point()])).toBe('[{"x":1}]')
    expect(argumentsText([Object.assign(Object.create(null) as object, { a: 1 })])).toBe('[{"a":1}]')
    expect(argumentsText(['ab'.match(/a(b)/)])).toBe('[["ab","b"]]')
  })

  it('drops arguments at the end that are undefined, and no others', () => {
    expect(argumentsText([])).toBe('[]')
    expect(argumentsText([1, undefined, undefined])).toBe('[1]')
    expect(() => argumentsText([1, undefined, 3])).toThrow(
      'JSON cannot carry args[1]: it is undefined and not the last, use null',
    )
    expect(() => argumentsText([[1, undefined]])).toThrow('JSON cannot carry undefined in the list args[0]: use null')
  })

  it('knows a result that is nothing from one that is null', () => {
    expect(resultText(undefined)).toBeNull()
    expect(resultText(null)).toBe('null')
  })

  it('reads each property once, so that what was checked is what is sent', () => {
    let reads = 0
    const shifting = {
      get x(): unknown {
        return reads++ === 0 ? 1 : Number.NaN
      },
    }
    expect(argumentsText([shifting])).toBe('[{"x":1}]')
  })

  it('does not mind properties that were added to every object', () => {
    const prototype = Object.prototype as { added?: unknown; toJSON?: unknown }
    try {
      prototype.added = 1n
      prototype.toJSON = () => 'wrong'
      expect(argumentsText([{ a: 1 }, [2]])).toBe('[{"a":1},[2]]')
    } finally {
      delete prototype.added
      delete prototype.toJSON
    }
  })
})

describe('for any value', () => {
  /** What a value means as data; throws where it means none. Written without regard to cost. */
  function meaning(value: unknown): unknown {
    if (value === null || typeof value === 'boolean') return value
    if (typeof value === 'number' && Number.isFinite(value)) return value === 0 ? 0 : value
    if (typeof value === 'string' && value.isWellFormed() && !value.includes('\0')) return value
    if (Array.isArray(value)) return Array.from(value, meaning)
    const isPlain = typeof value === 'object' && [Object.prototype, null].includes(Object.getPrototypeOf(value) as null)
    if (!isPlain) throw new Error('no data')
    const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
    if (entries.some(([name]) => name === '__proto__')) throw new Error('no data')
    return Object.fromEntries(entries.map(([name, inner]) => [meaning(name), meaning(inner)]))
  }

  const odd = {
    withBigInt: true,
    withBoxedValues: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withSparseArray: true,
    withObjectString: true,
  }
  const anything = fc.anything({ ...odd, withNullPrototype: true, withUnicodeString: true, maxDepth: 4 })
  const strings = fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)) })
  const values = fc.oneof(
    anything,
    strings,
    fc.dictionary(strings, fc.double()),
    fc.jsonValue({ stringUnit: 'grapheme' }),
  )

  it('either carries what it means or refuses it, exactly when it means nothing', () => {
    fc.assert(
      fc.property(values, (value) => {
        let means: unknown
        try {
          means = meaning(value)
        } catch {
          expect(() => jsonText(value, 'it', argumentLimits)).toThrow(CeleriacError)
          return
        }
        const text = jsonText(value, 'it', argumentLimits)
        expect(JSON.parse(text)).toStrictEqual(means)
        expect(text).toBe(JSON.stringify(value))
      }),
      { numRuns: 2000 },
    )
  })

  it('ends with an answer on objects that lie', () => {
    const behaviour = fc.constantFrom('honest', 'throws', 'itself', 'function', 'nonsense', 'huge')
    const trap = (how: string, target: object, honest: unknown): unknown => {
      if (how === 'throws') throw Object.create(null) as Error
      if (how === 'itself') return target
      if (how === 'function') return () => 1
      if (how === 'huge') return 2 ** 53
      return how === 'nonsense' ? Symbol('s') : honest
    }
    const lying = fc.record({
      get: behaviour,
      ownKeys: behaviour,
      descriptor: behaviour,
      prototype: behaviour,
      isList: fc.boolean(),
    })
    fc.assert(
      fc.property(lying, fc.jsonValue(), (how, inside) => {
        const target: object = how.isList ? [inside] : { inside }
        const proxy: object = new Proxy(target, {
          get: (_, name) => trap(how.get, proxy, (target as Record<PropertyKey, unknown>)[name]),
          ownKeys: () => trap(how.ownKeys, target, Reflect.ownKeys(target)) as string[],
          getPrototypeOf: () => trap(how.prototype, target, Reflect.getPrototypeOf(target)) as object,
          getOwnPropertyDescriptor: (_, name) =>
            trap(how.descriptor, target, Reflect.getOwnPropertyDescriptor(target, name)) as PropertyDescriptor,
        })
        try {
          JSON.parse(argumentsText([proxy]))
        } catch (error) {
          expect(error).toBeInstanceOf(CeleriacError)
        }
      }),
      { numRuns: 500 },
    )
  })
})
