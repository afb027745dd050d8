import { expect, onTestFinished, test, vi } from 'vitest'
import { manualRuntime } from '../../test/fixtures/clock.ts'
import { type FailedRequest, Faults, logFault, type OnError } from './faults.ts'
import { RequestError } from './problem.ts'

function open() {
  const clock = manualRuntime()
  const told: [string, FailedRequest][] = []
  const faults = new Faults((error, request) => void told.push([(error as Error).message, request]), clock)
  const report = (error: unknown, path = '/api/jobs'): void => faults.report(error, { method: 'GET', path })
  return { clock, told, report }
}

test('a kind of failure is reported at once, and then once a minute with a count', () => {
  const { clock, told, report } = open()
  const fail = (): void => report(new Error('away'))
  for (let n = 0; n < 100; n++) fail()
  expect(told).toEqual([['away', { method: 'GET', path: '/api/jobs', repeats: 0 }]])
  clock.pass(59_999)
  expect(told).toHaveLength(1)
  clock.pass(1)
  expect(told.slice(1)).toEqual([['away', { method: 'GET', path: '/api/jobs', repeats: 99 }]])
  fail()
  clock.pass(60_000)
  expect(told.slice(2)).toMatchObject([['away', { repeats: 1 }]])
  // It stopped for a minute: the next one is news.
  clock.pass(60_000)
  expect([told.length, clock.pending]).toEqual([3, 0])
  fail()
  expect(told.slice(3)).toMatchObject([['away', { repeats: 0 }]])
})

test('another failure is not held back, and however many kinds there are, few are reported', () => {
  const { clock, told, report } = open()
  const why = (cause: unknown) => Object.assign(new RequestError('INTERNAL', 'x'), { cause })
  const kinds = [new Error('a'), new TypeError('a'), new Error('b'), why(new Error('c')), why(new RangeError('c')), 'd']
  for (const error of [...kinds, ...kinds]) report(error)
  expect(told).toHaveLength(kinds.length)
  for (let n = 0; n < 1_000; n++) report(new Error(`of my own making: ${n}`))
  expect(told).toHaveLength(21)
  clock.pass(60_000)
  // Those repeated once each, and all the others together.
  expect(told.slice(21).map(([, { repeats }]) => repeats)).toEqual([...kinds.map(() => 1), 1_000 - 15])
})

test('a report that throws, or fails later, harms nobody', async () => {
  const unhandled = vi.fn()
  process.on('unhandledRejection', unhandled)
  onTestFinished(() => void process.off('unhandledRejection', unhandled))
  const clock = manualRuntime()
  const fails: readonly OnError[] = [
    () => {
      throw new Error('no log')
    },
    async () => Promise.reject(new Error('no log')),
  ]
  for (const fail of fails) {
    const faults = new Faults(fail, clock)
    for (let n = 0; n < 2; n++) faults.report(new Error('away'), { method: 'GET', path: '/' })
    clock.pass(60_000)
  }
  await new Promise((resolve) => setImmediate(resolve))
  expect(unhandled).not.toHaveBeenCalled()
})

test('a report to the log is bounded, and has no escapes in it', () => {
  const log = vi.spyOn(console, 'error').mockImplementation(() => undefined)
  onTestFinished(() => log.mockRestore())
  const { told, report } = open()
  const error = new Error(`\u001b[31m${'long '.repeat(100_000)}`)
  report(error, `/${'p'.repeat(16_000)}`)
  expect(told[0]![1].path).toHaveLength(200)
  logFault(error, { ...told[0]![1], repeats: 7 })
  const [line] = log.mock.lastCall as [string]
  expect(line.length).toBeLessThan(8_400)
  expect(line).toMatch(/^celeriac: GET \/p+ \(and 7 more like it within the last minute\): Error: /)
  expect(line).not.toContain('\u001b')
})
