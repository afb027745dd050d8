import { expect, test } from 'vitest'
import type { CollectionSummary, JobSummary } from '../core/handle.ts'
import { Body } from './body.ts'
import type { CallbackPayload } from './payload.ts'

const at = (second: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, second))
const failure = { name: 'Error', message: 'Oh', stack: 'at /srv/secret.ts', attempt: 2, at: at(2).toISOString() }

function job(id: string, about: Partial<JobSummary> = {}): JobSummary {
  const facts = {
    task: 't',
    collectionId: 'c',
    state: 'succeeded',
    role: 'main',
    queue: 'default',
    priority: 0,
  } as const
  const counts = { attempt: 1, failures: 0, round: 1, cancelling: false, continued: false }
  return { id, ...facts, ...counts, args: [1], after: [], tags: [], createdAt: at(0), ...about }
}

function collection(about: Partial<CollectionSummary> = {}): CollectionSummary {
  const counts = { waiting: 0, scheduled: 0, queued: 0, running: 1, succeeded: 9, failed: 0, cancelled: 0, skipped: 0 }
  const facts = { id: 'c', state: 'succeeded', round: 1, tags: [], counts, progress: { done: 1, total: 1 } } as const
  return {
    ...facts,
    createdAt: at(0),
    settledAt: at(3),
    cancelling: false,
    callbackUrl: 'https://a.example/?t=1',
    ...about,
  }
}

const read = (body: Body): CallbackPayload => JSON.parse(String(body)) as CallbackPayload
const nothing = { value: undefined }

test('what is known is told by names in snake_case, what is not there is left out', () => {
  const cause = { ...failure, message: 'Because' }
  const failed = { state: 'failed', failure: { ...failure, cause }, failedJobId: 'b' } as const
  const jobs = [
    job('a', { tags: ['x'], description: 'First', startedAt: at(1), finishedAt: at(2), parentId: 'p' }),
    job('b', { ...failed, reason: 'timeout', attempt: 3, failures: 2, round: 2 }),
  ]
  const about = { round: 2, description: 'All', actor: { id: 'u' }, tags: ['y'] }
  const body = new Body(collection({ ...failed, ...about }), jobs, nothing)
  expect(body.addResult('a', { value: { someKey: [null, 'as it was'] } })).toBe(true)
  const told = { name: 'Error', message: 'Oh', attempt: 2, at: '2026-01-01T00:00:02.000Z' }
  const toldFailure = { ...told, cause: { ...told, message: 'Because' } }
  const same = { task: 't', role: 'main', queue: 'default', tags: [], created_at: '2026-01-01T00:00:00.000Z' }
  expect(read(body)).toStrictEqual({
    type: 'collection.settled',
    timestamp: '2026-01-01T00:00:03.000Z',
    data: {
      ...{ id: 'c', state: 'failed', ...about, progress: { done: 1, total: 1 } },
      counts: { waiting: 0, scheduled: 0, queued: 0, running: 0, succeeded: 1, failed: 1, cancelled: 0, skipped: 0 },
      ...{ created_at: '2026-01-01T00:00:00.000Z', settled_at: '2026-01-01T00:00:03.000Z' },
      ...{ failure: toldFailure, failed_job_id: 'b' },
      jobs: [
        {
          ...{ ...same, id: 'a', state: 'succeeded', tags: ['x'], description: 'First', parent_id: 'p', attempt: 1 },
          ...{ failures: 0, round: 1, started_at: '2026-01-01T00:00:01.000Z', finished_at: '2026-01-01T00:00:02.000Z' },
          result: { someKey: [null, 'as it was'] },
        },
        {
          ...{ ...same, id: 'b', state: 'failed', reason: 'timeout', attempt: 3, failures: 2, round: 2 },
          ...{ failure: toldFailure, failed_job_id: 'b' },
        },
      ],
    },
  })
})

test('neither the address nor the callback itself is in it, nor do jobs count that were not needed', () => {
  const jobs = [
    job('a'),
    job('s', { role: 'side', state: 'skipped', reason: 'not-needed' }),
    job('k', { role: 'callback', state: 'running', task: 'celeriac.callback' }),
  ]
  const { data } = read(new Body(collection(), jobs, nothing))
  expect(data.jobs.map(({ id }) => id)).toEqual(['a', 's'])
  expect(Object.entries(data.counts).filter(([, count]) => count > 0)).toEqual([['succeeded', 1]])
  expect(JSON.stringify(data)).not.toContain('a.example')
})

test('nothing that was returned is no result, and null is one', () => {
  const body = new Body(collection(), [job('a'), job('b')], { value: null })
  body.addResult('a', nothing)
  body.addResult('b', { value: null })
  const { data } = read(body)
  expect(data).toHaveProperty('result', null)
  expect(data.jobs[0]).not.toHaveProperty('result')
  expect(data.jobs[1]).toHaveProperty('result', null)
})

test('only what succeeded has a result to wait for', () => {
  const body = new Body(collection(), [job('a'), job('b', { state: 'failed', failure }), job('c')], nothing)
  expect(body.awaiting).toEqual(['a', 'c'])
  body.addResult('a', nothing)
  expect(body.awaiting).toEqual(['c'])
})

const sizeOf = (body: Body): number => Buffer.byteLength(String(body))

test('it is never larger than the limit: results are left out first, the last ones before the others', () => {
  const jobs = ['a', 'b', 'c'].map((id) => job(id))
  const full = (limit?: number): Body => {
    const body = new Body(collection(), jobs, { value: 'ö'.repeat(1_000) }, limit)
    for (const id of body.awaiting) if (!body.addResult(id, { value: '🐘'.repeat(100) })) break
    return body
  }
  const most = sizeOf(full())
  const least = sizeOf(new Body(collection(), [], nothing)) + '"truncated":true,'.length
  const told = new Set<string>()
  for (let limit = least; limit < most + 100; limit += 7) {
    const body = full(limit)
    const { data } = read(body)
    expect(sizeOf(body)).toBeLessThanOrEqual(limit)
    const isWhole = data.jobs.length === 3 && data.jobs.every((one) => 'result' in one) && 'result' in data
    expect('truncated' in data).toBe(!isWhole)
    told.add(`${'result' in data} ${data.jobs.map((one) => one.id + ('result' in one ? '!' : '')).join('')}`)
  }
  expect([...told]).toEqual([
    ...['false ', 'false a', 'false ab', 'false abc', 'false a!bc', 'false a!b!c', 'false a!b!c!'],
    ...['true ', 'true a', 'true ab', 'true abc', 'true a!bc', 'true a!b!c', 'true a!b!c!'],
  ])
})

test('the limit is 1 MiB', () => {
  const body = new Body(collection(), [job('a')], { value: 'x'.repeat(1024 * 1024) })
  expect(read(body).data).toMatchObject({ truncated: true, jobs: [{ id: 'a' }] })
  const fits = new Body(collection(), [job('a')], { value: 'x'.repeat(1024 * 1024 - 1_000) })
  expect(read(fits).data).not.toHaveProperty('truncated')
})
