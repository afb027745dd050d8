import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { shown, storable, utf8Length } from './text.ts'

const anyText = fc.string({
  unit: fc.oneof(
    fc.constantFrom('a', '\x7f', '\x80', 'ö', '\u07ff', '\u0800', '€', '\uffff', '👋', '\0', '\ud800', '\udc00'),
  ),
})

describe('utf8Length', () => {
  it('is what an encoder makes of well-formed text', () => {
    fc.assert(
      fc.property(anyText, (odd) => {
        const text = odd.toWellFormed()
        expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length)
      }),
    )
  })
})

describe('storable', () => {
  it('leaves alone what fits and is clean', () => {
    expect(storable('größe 👋', 12)).toBe('größe 👋')
    expect(storable('größe 👋', 11)).toBe('größe …')
    expect(storable('', 3)).toBe('')
  })

  it('is well-formed, without NUL, within its bytes, and as long as it can be', () => {
    fc.assert(
      fc.property(anyText, fc.integer({ min: 3, max: 30 }), (text, bytes) => {
        const kept = storable(text, bytes)
        const clean = text.toWellFormed().replaceAll('\0', '\ufffd')
        expect(kept.isWellFormed() && !kept.includes('\0')).toBe(true)
        expect(utf8Length(kept)).toBeLessThanOrEqual(bytes)
        if (utf8Length(clean) <= bytes) expect(kept).toBe(clean)
        else expect(utf8Length(kept)).toBeGreaterThan(bytes - 4)
        if (kept !== clean) expect(clean.startsWith(kept.slice(0, -1)) && kept.endsWith('…')).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('shown', () => {
  it('is short and never calls anything', () => {
    const hostile = {
      toString: () => {
        throw new Error('called')
      },
    }
    expect([null, undefined, 5, -0, true, 5n, 'x', [1], hostile, () => 1, Symbol('s')].map(shown)).toEqual([
      'null',
      'undefined',
      '5',
      '0',
      'true',
      '5',
      "'x'",
      'a list',
      'an object',
      'a function',
      'Symbol(s)',
    ])
    expect(shown('a\n\u001b[31m')).toBe("'a\\n\\u001b[31m'")
    expect(shown('x'.repeat(100))).toBe(`'${'x'.repeat(60)}…'`)
  })
})
