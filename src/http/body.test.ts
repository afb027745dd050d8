import { expect, test } from 'vitest'
import { nextTurn } from '../core/by-pages.ts'
import { systemRuntime } from '../core/runtime.ts'
import { isLarge, readJson } from './body.ts'

const most = 16_384
const request = (length: number): Request => {
  const body = JSON.stringify('x'.repeat(length - 2))
  const headers = { 'content-type': 'application/json', 'content-length': String(body.length) }
  return new Request('http://localhost', { method: 'POST', headers, body })
}
/** Lets everything run that is ready to. */
const settle = async (): Promise<void> => {
  for (let n = 0; n < 50; n++) await new Promise((resolve) => void setImmediate(resolve))
}

test('of large bodies that are complete at once, one is gone on with in each turn of the event loop', async () => {
  const later: (() => void)[] = []
  const runtime = { ...systemRuntime, soon: (call: () => void) => void later.push(call) }
  const read = (length: number, done: string[]): Promise<unknown> =>
    readJson(request(length), runtime).then(() => done.push(String(length)))
  const [large, small]: string[][] = [[], []]
  const all = [1, 2, 3].map(async () => read(most + 1, large!))
  all.push(read(most, small!))
  await settle()
  expect([large!.length, small!.length]).toEqual([0, 1])
  // They share the turns with whatever else is large in this process.
  const page = nextTurn(runtime)
  for (const count of [1, 2, 3]) {
    later.shift()?.()
    await settle()
    expect(large!.length).toBe(count)
  }
  later.shift()?.()
  await Promise.all([...all, page])
  expect(later).toEqual([])
})

test.each([
  ['as long as a small one', request(most), false],
  ['longer', request(most + 1), true],
])('a body that says it is %s', (_, asked, large) => {
  expect(isLarge(asked)).toBe(large)
})
