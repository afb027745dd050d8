/**
 * Text as it stands on a terminal: columns rather than characters, and nothing in it that could move the cursor. What
 * tasks, failures and messages are called comes from outside, so all of it goes through `printable` before it is shown.
 */

const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
const plain = /^[\x20-\x7e]*$/
// Controls, line and paragraph separators, the marks that turn the direction of a line, halves of a pair, a byte order mark.
const unprintable = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu
const markOnly = /^[\p{M}\p{Cf}]+$/u
const wide =
  /\p{Emoji_Presentation}|\ufe0f|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18cff}\u{1b000}-\u{1b2ff}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]/u

/** On one line, harmless: blanks of any kind become one space, whatever else does not print is spelled out. */
export function printable(text: string): string {
  if (plain.test(text) && !text.includes('  ')) return text.trim()
  return text.replaceAll(/\s+/g, ' ').trim().replaceAll(unprintable, spellOut)
}

/** How many columns it takes. */
export function displayWidth(text: string): number {
  if (plain.test(text)) return text.length
  let width = 0
  for (const { segment } of segmenter.segment(text)) width += graphemeWidth(segment)
  return width
}

/** At most so many columns; what is cut off is told by the last of them. */
export function clip(text: string, width: number, ellipsis = '…'): string {
  if (width <= 0) return ''
  if (displayWidth(text) <= width) return text
  const room = width - displayWidth(ellipsis)
  return room < 0 ? '' : takeColumns(text, room).trimEnd() + ellipsis
}

/** Exactly so many columns. */
export function fit(text: string, width: number, align: 'left' | 'right' = 'left', ellipsis = '…'): string {
  const clipped = clip(text, width, ellipsis)
  const blank = ' '.repeat(Math.max(0, width - displayWidth(clipped)))
  return align === 'left' ? clipped + blank : blank + clipped
}

/** Broken between words into lines of at most so many columns; what is more than `limit` lines is cut off. */
export function wrap(text: string, width: number, limit = Infinity, ellipsis = '…'): string[] {
  const lines: string[] = []
  let rest = printable(text)
  while (rest !== '' && lines.length + 1 < limit && displayWidth(rest) > width) {
    const head = takeColumns(rest, width) || firstGrapheme(rest)
    const space = rest[head.length] === ' ' ? head.length : head.lastIndexOf(' ')
    const line = space > width / 3 ? rest.slice(0, space) : head
    lines.push(line)
    rest = rest.slice(line.length).trimStart()
  }
  return rest === '' ? lines : [...lines, clip(rest, width, ellipsis)]
}

const firstGrapheme = (text: string): string => segmenter.segment(text).containing(0)?.segment ?? ''

function takeColumns(text: string, width: number): string {
  if (plain.test(text)) return text.slice(0, Math.max(0, width))
  let taken = ''
  let left = width
  for (const { segment } of segmenter.segment(text)) {
    left -= graphemeWidth(segment)
    if (left < 0) break
    taken += segment
  }
  return taken
}

function graphemeWidth(grapheme: string): number {
  if (markOnly.test(grapheme)) return 0
  return wide.test(grapheme) ? 2 : 1
}

function spellOut(character: string): string {
  const code = character.codePointAt(0) ?? 0
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
}
