import { expect, test } from 'vitest'
import type { StoredResult } from '../core/job.ts'
import type { ClaimedJob, JobInput } from '../engine/work.ts'
import { readArguments } from './input.ts'

const job = (input: JobInput, args = '["own"]'): ClaimedJob =>
  ({ args, input, collectionId: 'collection' }) as unknown as ClaimedJob
const nowhere = { results: () => Promise.reject(new Error('There is nothing to load.')) }
const json = (value: unknown): StoredResult => ({ json: JSON.stringify(value) })

/** Results at barriers, a page of two at a time. */
function stored(barriers: Readonly<Record<string, readonly StoredResult[]>>) {
  const asked: string[] = []
  return {
    asked,
    results(barrier: unknown, after: string | null) {
      asked.push(`${String(barrier)} ${after ?? 'first'}`)
      const from = Number(after ?? 0)
      const all = barriers[barrier as string] ?? []
      const next = from + 2 < all.length ? `${from + 2}` : null
      return Promise.resolve({ results: all.slice(from, from + 2), next })
    },
  }
}

test('with nothing before it a job has its own arguments', () => {
  expect(readArguments(job({ from: 'nothing' }), nowhere)).toEqual(['own'])
  expect(readArguments(job({ from: 'nothing' }, '[]'), nowhere)).toEqual([])
})

test('results that came along are put first, nested by their shape, without waiting', () => {
  const input: JobInput = { from: 'results', shape: '[.[2.]]', barrier: 'b', results: [1, 2, 3].map(json) }
  expect(readArguments(job(input), nowhere)).toEqual([[1, [2, 3]], 'own'])
})

test('results that were too large to come along are read by pages, in order', async () => {
  const store = stored({ b: [1, 2, 3, 4, 5].map(json) })
  const input: JobInput = { from: 'results', shape: '[5.]', barrier: 'b', results: null }
  expect(await readArguments(job(input), store)).toEqual([[1, 2, 3, 4, 5], 'own'])
  expect(store.asked).toEqual(['b first', 'b 2', 'b 4'])
})

test('results that lie behind another job are followed, however they were left out', async () => {
  const store = stored({
    outer: [json(1), { shape: '[2.]', barrier: 'inner', results: null }],
    inner: [json(2), json(3)],
  })
  const input: JobInput = { from: 'results', shape: '[2.]', barrier: 'outer', results: null }
  expect(await readArguments(job(input), store)).toEqual([[1, [2, 3]], 'own'])
  const partly: StoredResult = { shape: '[2.]', barrier: 'inner', results: null }
  const half: JobInput = { from: 'results', shape: '.', barrier: 'outer', results: [partly] }
  expect(await readArguments(job(half), store)).toEqual([[2, 3], 'own'])
})

test('results that are too large altogether are refused before all are read', async () => {
  const large: StoredResult = { json: `"${'x'.repeat(20 * 1024 * 1024)}"` }
  const store = stored({ b: Array<StoredResult>(20).fill(large) })
  const input: JobInput = { from: 'results', shape: '[20.]', barrier: 'b', results: null }
  await expect(readArguments(job(input), store)).rejects.toMatchObject({ code: 'INPUT_TOO_LARGE' })
  expect(store.asked).toEqual(['b first', 'b 2'])
})

test('a report of a failure and a summary are told as the handler is promised them', () => {
  const failure = { name: 'Error', message: 'Expected', attempt: 1, at: '2026-01-01T00:00:00.000Z' }
  const report = { job: 'j', task: 't', collection: 'c', reason: 'failed', failure } as const
  expect(readArguments(job({ from: 'failure', report }), nowhere)).toEqual([report, 'own'])
  const counts = { waiting: 0, scheduled: 0, queued: 0, running: 0, succeeded: 2, failed: 0, cancelled: 0, skipped: 0 }
  const [summary] = readArguments(
    job({ from: 'summary', state: 'succeeded', counts, failure: null }),
    nowhere,
  ) as unknown[]
  expect(summary).toEqual({ collection: 'collection', state: 'succeeded', counts })
})
