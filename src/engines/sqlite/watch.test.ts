import { expect, test } from 'vitest'
import { manualRuntime } from '../../../test/fixtures/clock.ts'
import { Watch } from './watch.ts'

/** How often a store is asked in so many milliseconds, another process changing it every so many. */
function askedIn(milliseconds: number, changedEvery: number): number {
  const clock = manualRuntime()
  let [asked, at] = [0, 0]
  const watch = new Watch(clock, () => {
    asked++
    return Math.floor(at / changedEvery)
  })
  const unsubscribe = watch.subscribe(() => {})
  asked = 0
  for (; at < milliseconds; at++) clock.pass(1)
  unsubscribe()
  return asked
}

test('a store that is left alone is asked 25 times a second', () => {
  expect(askedIn(4_000, Infinity)).toBe(100)
})

test('one that changes now and then, as by heartbeats, no more often', () => {
  expect(askedIn(4_000, 500)).toBe(100)
})

test('one that changes again and again is asked 100 times a second', () => {
  const asked = askedIn(4_000, 100)
  expect(asked).toBeGreaterThan(370)
  expect(asked).toBeLessThanOrEqual(400)
})

test('and no more once it is left alone again', () => {
  const clock = manualRuntime()
  let [asked, version] = [0, 0]
  const watch = new Watch(clock, () => (asked++, version))
  const heard: number[] = []
  const unsubscribe = watch.subscribe(() => heard.push(version))
  for (let at = 0; at < 1_000; at += 10) {
    if (at % 100 === 0) version++
    clock.pass(10)
  }
  expect(heard.at(-1)).toBe(10)
  clock.pass(400)
  asked = 0
  clock.pass(4_000)
  expect(asked).toBe(100)
  unsubscribe()
})
