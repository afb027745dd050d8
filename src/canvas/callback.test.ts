import { expect, test } from 'vitest'
import { chain, compiled, drawn, group, named } from '../../test/fixtures/drawing.ts'
import { compileContinuation } from './compile.ts'
import { retryDelay } from '../core/retry.ts'
import type { StoredOptions } from '../core/job.ts'
import { noOptions } from '../core/stored-options.ts'

const [a, b, c] = ['a', 'b', 'c'].map((name) => named(name)) as [any, any, any]
const calling = (canvas: unknown, options: StoredOptions = noOptions) => compiled(canvas, { callsBack: true, options })

test('it stands behind the exit, for whatever outcome, and last', () => {
  expect(drawn(calling(chain(a.s(), group(b.s(), c.s()).finally(a.s()))))).toEqual([
    'a() ▸ B0',
    'B0 ▸ b(.) ▸ B1',
    'B0 ▸ c(.) ▸ B1',
    'B1 ▸* a(summary 1..2) side',
    'B2 ▸* celeriac.callback() callback',
    'B0 counts 1',
    'B1 counts 2 ▸ B2 gate B0',
    'B2 counts 1 exit',
    '= [2.]',
  ])
})

test('a job with one is not alone', () => {
  expect(drawn(calling(a.s(1)))).toEqual(['a() ▸ B0', 'B0 ▸* celeriac.callback() callback', 'B0 counts 1 exit', '= .'])
})

test('a canvas without jobs has one', () => {
  expect(drawn(calling(group()))).toEqual(['B0 ▸* celeriac.callback() callback', 'B0 counts 0 exit', '= []'])
})

test('what a handler returns has none of its own', () => {
  const graph = compileContinuation(
    a.s().node,
    { role: 'main', options: {} },
    { newId: () => 'id', defaultsOf: () => noOptions },
  )
  expect(graph.jobs).toHaveLength(1)
})

test('it waits in the queue of the submission, else in that of the first job', () => {
  const queueOf = (canvas: unknown, options?: StoredOptions) => calling(canvas, options).jobs.at(-1)!.options.queue
  const inShop = chain(a.with({ queue: 'shop' }).s(), b.with({ queue: 'bank' }).s())
  expect(queueOf(inShop)).toBe('shop')
  expect(queueOf(inShop, { queue: 'office' })).toBe('office')
  expect(queueOf(a.s())).toBeUndefined()
})

test('it takes over what side branches do, and not when, how long or how often the others are tried', () => {
  const taken = { priority: 3, retention: 5, tags: ['x'] }
  const submitted = { ...taken, startIn: 1, expires: 2, timeout: 3, retry: { ...policyOf(a.s()), limit: 0 } }
  const { retry, ...rest } = calling(a.s(), submitted).jobs.at(-1)!.options
  expect(rest).toEqual(taken)
  expect(retry).toEqual(policyOf(a.s()))
})

test('it is tried for about a day, at first soon', () => {
  const policy = policyOf(a.s())
  const waits = (random: number) =>
    Array.from({ length: policy.limit }, (_, n) => retryDelay(policy, n + 1, random) / 1000)
  expect(waits(1)).toEqual([5, 20, 80, 320, 1280, 5120, 20_480, 28_800, 28_800, 28_800])
  const hours = (random: number) => waits(random).reduce((sum, wait) => sum + wait, 0) / 3600
  expect([hours(0), hours(0.5), hours(1)].map((sum) => sum.toFixed(1))).toEqual(['15.8', '23.7', '31.6'])
})

const policyOf = (canvas: unknown) => calling(canvas).jobs.at(-1)!.options.retry!
