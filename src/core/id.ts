import type { Runtime } from './runtime.ts'

/**
 * Returns the function that makes ids: UUIDv7 text (RFC 9562), each greater than the one before, also when the clock
 * stands still or goes back. Ids of jobs, collections and sessions are made by it. Make it once for a process.
 *
 * @example
 * const newId = createIds(systemRuntime)
 * newId() // '01981d2b-6c4e-7a31-9f0c-52d6a8b1e370'
 */
export function createIds(runtime: Runtime): () => string {
  const draw = createDraws(runtime)
  let millisecond = -1
  let counter = 0
  let prefix = ''
  return () => {
    const now = runtime.now()
    counter++
    if (now > millisecond || counter > 0xfff) {
      // A counter that is used up borrows from the next millisecond, as the standard allows.
      millisecond = Math.max(now, millisecond + 1)
      // The upper half stays free, so that at least 2,048 ids fit into a millisecond.
      counter = draw() & 0x7ff
      prefix = timeText(millisecond)
    }
    // Up to 12 characters are joined by copying; more becomes a tree, which costs as much again to flatten.
    const middle = hex(counter) + '-' + variants[draw() & 3] + hex(draw()) + '-'
    return prefix + middle + (hex(draw()) + hex(draw()) + hex(draw()) + hex(draw()))
  }
}

/** Returns the function that makes claim tokens: random whole numbers from 1 up to 2^53 − 1, exact in every store. */
export function createTokens(runtime: Runtime): () => number {
  const draw = createDraws(runtime)
  return () => {
    let token = draw() & 0x1f
    for (let n = 0; n < 4; n++) token = token * 4096 + draw()
    return token === 0 ? 1 : token
  }
}

const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Is this text an id as `createIds` makes them (a lower-case UUID)? Tells a mistyped id from one that is not stored. */
export function isId(text: string): boolean {
  return pattern.test(text)
}

/** Twelve random bits at a call, drawn 4 KiB at a time: drawing for each id cost 17 % of the throughput of submissions. */
function createDraws(runtime: Runtime): () => number {
  const bytes = new Uint8Array(4096)
  const words = new Uint16Array(bytes.buffer)
  let next = words.length
  return () => {
    if (next === words.length) {
      runtime.randomBytes(bytes)
      next = 0
    }
    return words[next++]! & 0xfff
  }
}

const variants = '89ab'
const hexOfTwelveBits = Array.from({ length: 4096 }, (_, bits) => bits.toString(16).padStart(3, '0'))
const hex = (bits: number): string => hexOfTwelveBits[bits]!

function timeText(millisecond: number): string {
  const text = millisecond.toString(16).padStart(12, '0')
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-7`
}
