import { describe, expect, it } from 'vitest'
import { createIds, createTokens, isId } from './id.ts'
import { type Runtime, systemRuntime } from './runtime.ts'

/** A runtime whose clock stands where it is put, and which counts how often it is asked for random bytes. */
function clockAt(start: number): Runtime & { time: number; draws: number } {
  return {
    ...systemRuntime,
    time: start,
    draws: 0,
    now() {
      return this.time
    },
    randomBytes(into) {
      this.draws++
      systemRuntime.randomBytes(into)
    },
  }
}

const millisecondOf = (id: string): number => Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)

describe('createIds', () => {
  it('makes UUIDs of version 7 with the time in front', () => {
    const newId = createIds(clockAt(0x0198_1d2b_6c4e))
    expect(newId()).toMatch(/^01981d2b-6c4e-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(isId(newId())).toBe(true)
  })

  it('makes each id greater than the one before, while the clock stands still, goes back and goes on', () => {
    const runtime = clockAt(1_000_000)
    const newId = createIds(runtime)
    const ids: string[] = []
    for (const time of [1_000_000, 999_000, 1_000_001, 0, 1_000_002, 2_000_000]) {
      runtime.time = time
      for (let n = 0; n < 5000; n++) ids.push(newId())
    }
    expect(ids.slice(1).filter((id, n) => id <= ids[n]!)).toEqual([])
    expect(ids.every(isId)).toBe(true)
    expect(millisecondOf(ids.at(-1)!)).toBeLessThan(2_000_000 + 4)
  })

  it('leaves room for at least 2,048 ids in a millisecond, and begins anywhere below that', () => {
    const first = new Set<string>()
    for (let n = 0; n < 100; n++) {
      const newId = createIds(clockAt(5))
      const ids = Array.from({ length: 2049 }, newId)
      expect(millisecondOf(ids.at(-1)!)).toBe(5)
      first.add(ids[0]!.slice(15, 18))
    }
    expect(first.size).toBeGreaterThan(50)
  })

  it('draws random bytes for hundreds of ids at a time, and never hands out the same ones', () => {
    const runtime = clockAt(7)
    const newId = createIds(runtime)
    const tails = new Set(Array.from({ length: 10_000 }, () => newId().slice(19)))
    expect(tails.size).toBe(10_000)
    expect(runtime.draws).toBeLessThan(50)
  })
})

describe('createTokens', () => {
  it('makes whole numbers from 1 to 2^53 − 1 that use the whole range', () => {
    const tokens = Array.from({ length: 10_000 }, createTokens(systemRuntime))
    expect(tokens.every((token) => Number.isSafeInteger(token) && token > 0)).toBe(true)
    expect(new Set(tokens).size).toBe(10_000)
    expect(Math.max(...tokens)).toBeGreaterThan(2 ** 52.9)
    expect(tokens.some((token) => token % 2 === 1)).toBe(true)
  })

  it('never makes 0, and makes the greatest exactly', () => {
    expect(createTokens({ ...systemRuntime, randomBytes: (into) => void into.fill(0) })()).toBe(1)
    expect(createTokens({ ...systemRuntime, randomBytes: (into) => void into.fill(255) })()).toBe(2 ** 53 - 1)
  })
})

describe('isId', () => {
  it('takes what createIds makes and nothing like it', () => {
    const id = '01981d2b-6c4e-7a31-9f0c-52d6a8b1e370'
    expect(isId(id)).toBe(true)
    for (const other of ['', id.toUpperCase(), ` ${id}`, `${id}\n`, id.slice(1), id.replaceAll('-', ''), `${id}0`]) {
      expect(isId(other)).toBe(false)
    }
  })
})
