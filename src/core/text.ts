/** The number of bytes in UTF-8 of a text without lone surrogates. */
export function utf8Length(text: string): number {
  let bytes = text.length
  for (let n = 0; n < text.length; n++) {
    const code = text.charCodeAt(n)
    // Half of a pair counts two, so that a pair counts its four.
    if (code > 0x7f) bytes += code > 0x7ff && (code < 0xd800 || code > 0xdfff) ? 2 : 1
  }
  return bytes
}

/**
 * The text as every store takes it, and of at most so many bytes in UTF-8: lone surrogates and NUL characters become
 * `\ufffd`, and what is cut off ends in `…`.
 */
export function storable(text: string, bytes: number): string {
  // A character takes at least a byte, so nothing beyond so many can stay: a text of 10 MB is not gone through.
  const clean = text
    .slice(0, bytes + 1)
    .toWellFormed()
    .replaceAll('\0', '\ufffd')
  return text.length <= bytes && utf8Length(clean) <= bytes ? clean : `${cut(clean, bytes - 3)}…`
}

/** The longest beginning of a well-formed text that has at most so many bytes. */
function cut(text: string, bytes: number): string {
  let end = 0
  for (const character of text) {
    bytes -= utf8Length(character)
    if (bytes < 0) break
    end += character.length
  }
  return text.slice(0, end)
}

/** The text with its ASCII letters small: what stores do alike, whatever their language. */
export const lowerAscii = (text: string): string => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())

/** A value in an error, short: a text in quotes, a number as it is, an object only by its sort. */
export function shown(value: unknown): string {
  if (typeof value === 'string') {
    const start = value.length > 60 ? `${value.slice(0, 60)}…` : value
    // Escaped, so that a line break or a control character stays visible and does no harm to a terminal.
    return `'${JSON.stringify(start).slice(1, -1)}'`
  }
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}
