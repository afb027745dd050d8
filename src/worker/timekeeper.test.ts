import { expect, test } from 'vitest'
import { manualRuntime } from '../../test/fixtures/clock.ts'
import { CeleriacError } from '../core/errors.ts'
import type { SweepAnswer } from '../engine/work.ts'
import { createReporter } from './report.ts'
import { Timekeeper } from './timekeeper.ts'

function start(sweep: (now: number) => Promise<SweepAnswer>) {
  const runtime = manualRuntime()
  const times: string[] = []
  const notices: string[] = []
  const startedAt = runtime.now()
  const note = (what: string): void => void times.push(`${what} ${runtime.now() - startedAt}`)
  const timekeeper = new Timekeeper({
    runtime,
    reporter: createReporter(({ message }) => void notices.push(message)),
    longest: 1_500,
    onDue: () => note('wake'),
    store: {
      sweep: () => {
        note('sweep')
        return sweep(runtime.now())
      },
    },
  })
  timekeeper.start()
  /** Moves time on by steps, so that what is awaited in between is done at its own instant. */
  const pass = async (ms: number): Promise<void> => {
    for (let step = 0; step < ms; step += 10) {
      runtime.pass(10)
      await Promise.resolve().then(() => {})
    }
  }
  return { runtime, timekeeper, times, notices, pass, sweeps: () => times.filter((time) => time.startsWith('sweep')) }
}

const nothing = (): Promise<SweepAnswer> => Promise.resolve({ released: 0, nextAt: null })

test('with nothing foreseen it sweeps at long intervals, and wakes the worker after every other one', async () => {
  const { times, pass } = start(nothing)
  await pass(3_100)
  expect(times).toEqual(['sweep 0', 'wake 10', 'sweep 1510', 'sweep 3010', 'wake 3010'])
})

test('it sweeps when the store says that something will be due', async () => {
  const { sweeps, pass } = start((now) => Promise.resolve({ released: 0, nextAt: now + 700 }))
  await pass(1_500)
  expect(sweeps()).toEqual(['sweep 0', 'sweep 700', 'sweep 1400'])
})

test('it wakes the worker when the next delayed job is due, once', async () => {
  const { runtime, timekeeper, times, pass } = start(nothing)
  timekeeper.claimDueAt(runtime.now() + 200)
  timekeeper.claimDueAt(runtime.now() + 200)
  await pass(400)
  expect(times.filter((time) => time !== 'wake 10')).toEqual(['sweep 0', 'wake 200'])
})

test('an earlier instant takes the place of a later one, and none of any', async () => {
  const { runtime, timekeeper, times, pass } = start(nothing)
  timekeeper.claimDueAt(runtime.now() + 500)
  timekeeper.claimDueAt(runtime.now() + 100)
  await pass(600)
  timekeeper.claimDueAt(runtime.now() + 100)
  timekeeper.claimDueAt(null)
  await pass(200)
  expect(times).toEqual(['sweep 0', 'wake 10', 'wake 100'])
})

test('what is due and stays due is asked for quickly at first, then with patience', async () => {
  const { sweeps, pass } = start(() => Promise.resolve({ released: 0, nextAt: 0 }))
  await pass(1_000)
  const early = sweeps().length
  await pass(1_000)
  expect(early).toBeGreaterThan(50)
  expect(sweeps().length - early).toBeLessThanOrEqual(20)
})

test('a sweep that fails is told once, and tried again', async () => {
  let isAway = true
  const { notices, sweeps, pass } = start(() =>
    isAway ? Promise.reject(new CeleriacError('STORE_UNREACHABLE', 'It is away.')) : nothing(),
  )
  await pass(3_100)
  expect(sweeps()).toHaveLength(3)
  expect(notices).toEqual(['Upkeep failed: It is away. Trying again.'])
  isAway = false
  await pass(1_500)
  expect(notices).toHaveLength(2)
})

test('what fails within a sweep is told once, and that it has not failed for a minute', async () => {
  const error = new CeleriacError('STORE_FAILED', 'It is broken.')
  let faults = [{ item: 'values', error }]
  const { notices, pass } = start(() => Promise.resolve({ released: 0, nextAt: null, faults }))
  await pass(6_100)
  expect(notices).toEqual(['Upkeep of values failed: It is broken. Trying again.'])
  faults = []
  await pass(50_000)
  expect(notices).toHaveLength(1)
  await pass(15_000)
  expect(notices.slice(1)).toEqual(['Upkeep of values has not failed for a minute.'])
})

test('once stopped it does nothing more', async () => {
  const { runtime, timekeeper, times, pass } = start(nothing)
  await pass(20)
  timekeeper.claimDueAt(runtime.now() + 20)
  timekeeper.stop()
  await pass(3_000)
  expect(times).toEqual(['sweep 0', 'wake 10'])
  expect(runtime.pending).toBe(0)
})

test.each<[string, (swept: PromiseWithResolvers<SweepAnswer>) => void]>([
  ['fails', ({ reject }) => reject(new CeleriacError('CLOSED', 'The store has been closed.'))],
  [
    'was faulty',
    ({ resolve }) =>
      resolve({
        released: 0,
        nextAt: null,
        faults: [{ item: 'values', error: new CeleriacError('CLOSED', 'Closed.') }],
      }),
  ],
])('of a sweep that %s after the stop it says nothing', async (_, end) => {
  const swept = Promise.withResolvers<SweepAnswer>()
  const { runtime, timekeeper, times, notices, pass } = start(() => swept.promise)
  await pass(20)
  timekeeper.stop()
  end(swept)
  await pass(3_000)
  expect(notices).toEqual([])
  expect(times).toEqual(['sweep 0'])
  expect(runtime.pending).toBe(0)
})
