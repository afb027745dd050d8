import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import type { ChangeOfProgress } from '../core/event.ts'
import { hash53 } from '../core/hash.ts'
import { Told } from './events.ts'

const progress = (message: string, attempt = 1): ChangeOfProgress =>
  ({
    type: 'progress',
    cursor: 'c',
    collectionId: 'c',
    jobId: 'j',
    at: 0,
    attempt,
    progress: { done: 1, message },
  }) as never

test('progress is news unless it says the same as the last of that attempt, and its message is not kept', () => {
  const told = new Told()
  const long = 'x'.repeat(8_000)
  expect([long, long, `${long}y`, long].map((message) => told.isNews(progress(message)))).toEqual([
    true,
    false,
    true,
    true,
  ])
  expect(told.isNews(progress(long, 2))).toBe(true)
  told.note({ id: 'j', version: 1, attempt: 2, progress: { done: 2, message: 'm' } } as never)
  expect(told.isNews({ ...progress('m', 2), progress: { done: 2, message: 'm' } })).toBe(false)
})

test('what is remembered of a job is as small for a long message as for none', () => {
  const heldFor = (message: (n: number) => string): number => {
    const told = new Told()
    global.gc?.()
    const before = process.memoryUsage().heapUsed
    for (let n = 0; n < 2_000; n++) told.isNews({ ...progress(message(n)), jobId: `j${n}` })
    global.gc?.()
    const held = process.memoryUsage().heapUsed - before
    expect(told.isNews({ ...progress(message(0)), jobId: 'j0' })).toBe(false)
    return held
  }
  setFlagsFromString('--expose-gc')
  global.gc ??= runInNewContext('gc') as NodeJS.GCFunction
  // 2,000 messages of 8 KiB are 16 MB.
  expect(heldFor((n) => `${n}${'x'.repeat(8_000)}`.split('').join(''))).toBeLessThan(4_000_000)
})

test('texts that differ a little have other numbers', () => {
  const texts = Array.from({ length: 50_000 }, (_, n) => `1/${n}/undefined/step ${n % 7}`)
  const numbers = texts.map(hash53)
  expect(new Set(numbers).size).toBe(texts.length)
  expect(numbers.every(Number.isSafeInteger)).toBe(true)
  expect(hash53('')).toBe(hash53(''))
})
