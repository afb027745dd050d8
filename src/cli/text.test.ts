import { describe, expect, it } from 'vitest'
import { clip, displayWidth, fit, printable, wrap } from './text.ts'

describe('printable', () => {
  it('leaves what can be shown as it is', () => {
    expect(printable('a plain sentence')).toBe('a plain sentence')
    expect(printable('поръчка 注文 👩‍👩‍👧 café')).toBe('поръчка 注文 👩‍👩‍👧 café')
  })

  it('keeps to one line', () => {
    expect(printable(' two\r\n\tlines  \n')).toBe('two lines')
  })

  it('spells out what could move the cursor, colour the rest or turn the line around', () => {
    expect(printable('\x1b[2Jgone')).toBe('\\x1b[2Jgone')
    expect(printable('\x9b31mred\x07\x00')).toBe('\\x9b31mred\\x07\\x00')
    expect(printable('exe\u202egnp.txt\u2066')).toBe('exe\\u{202e}gnp.txt\\u{2066}')
    expect(printable('half \ud800 pair')).toBe('half \\u{d800} pair')
  })
})

describe('displayWidth', () => {
  it.each([
    ['abc', 3],
    ['поръчка', 7],
    ['注文', 4],
    ['ﾊﾝｶｸ', 4],
    ['cafe\u0301', 4],
    ['👩‍👩‍👧!', 3],
    ['✓ …', 3],
    ['한국어', 6],
    ['', 0],
  ])('%s takes %i columns', (text, width) => {
    expect(displayWidth(text)).toBe(width)
  })
})

describe('clip and fit', () => {
  it('tells that something is missing', () => {
    expect(clip('abcdef', 6)).toBe('abcdef')
    expect(clip('abcdef', 5)).toBe('abcd…')
    expect(clip('abcdef', 0)).toBe('')
    expect(clip('abcdef', 2, '...')).toBe('')
  })

  it('never cuts through a wide character', () => {
    expect(clip('注文注文', 6)).toBe('注文…')
    expect(displayWidth(fit('注文注文', 6))).toBe(6)
  })

  it('fills up on the side asked for', () => {
    expect(fit('ab', 4)).toBe('ab  ')
    expect(fit('ab', 4, 'right')).toBe('  ab')
  })
})

describe('wrap', () => {
  it('breaks between words', () => {
    expect(wrap('connect to the archive refused', 12)).toEqual(['connect to', 'the archive', 'refused'])
  })

  it('breaks a word that is longer than a line', () => {
    expect(wrap('aaaaaaaaaaaaaaa bb', 6)).toEqual(['aaaaaa', 'aaaaaa', 'aaa bb'])
    expect(wrap('注文注文', 5)).toEqual(['注文', '注文'])
  })

  it('cuts off what is more than the limit', () => {
    expect(wrap('one two three four', 5, 2)).toEqual(['one', 'two…'])
    expect(wrap('', 5)).toEqual([])
  })
})
