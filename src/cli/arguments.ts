import { UsageError } from './mistake.ts'
import { clip, printable } from './text.ts'

/**
 * Arguments as they are written in a shell: JSON, and a plain word is a text. What looks like JSON and is not, is a
 * mistake: a missing quote must not send a text where an object was meant.
 */
export function readArguments(texts: readonly string[]): unknown[] {
  return texts.map((text, index) => readArgument(text, index + 1))
}

function readArgument(text: string, place: number): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    if (!/^\s*[[{"]/.test(text)) return text
    const reason = error instanceof Error ? printable(error.message) : ''
    throw new UsageError(`Argument ${place} is not JSON: ${clip(printable(text), 60)} (${reason})`)
  }
}
