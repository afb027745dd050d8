import { expect, it } from 'vitest'
import { collectionSnapshot, jobSummary, later } from '../../test/fixtures/snapshots.ts'
import type { CollectionEvent } from '../core/handle.ts'
import { Followed } from '../core/followed.ts'
import { formatTimeOfDay } from './instant.ts'
import { PlainLog } from './plain-log.ts'

const failure = { name: 'Error', message: 'no\nsuch \x1b[2Jshop', attempt: 1, at: '' }

it('tells a line for each change', () => {
  const jobs = [jobSummary({ id: 'a', state: 'queued' }), jobSummary({ id: 'b', after: ['a'] })]
  const start = collectionSnapshot(jobs, { description: 'Buy a table', progress: { done: 0, total: 2 } })
  const followed = new Followed(start)
  const log = new PlainLog(followed)
  const tell = (event: CollectionEvent): string => {
    followed.hear(event)
    const known = followed.job('a')
    if (known && followed.lacking.has('a')) followed.complete({ ...known, failure })
    return log.tell(event).join('\n')
  }
  const at = later(0)
  const time = formatTimeOfDay(at)
  const about = { cursor: '', at, jobId: 'a' }
  expect(tell({ type: 'snapshot', cursor: '', collection: start })).toBe(
    `following ${start.id} Buy a table: 0 of 2 done`,
  )
  expect(tell({ type: 'state', ...about, state: 'running', attempt: 1 })).toBe(`${time} shop.order running`)
  expect(tell({ type: 'progress', ...about, done: 1, total: 10 })).toBe('')
  expect(tell({ type: 'progress', ...about, done: 3, total: 10, message: 'third' })).toBe(
    `${time} shop.order 30%: third`,
  )
  expect(tell({ type: 'progress', ...about, done: 4, total: 10 })).toBe('')
  expect(tell({ type: 'state', ...about, state: 'scheduled', attempt: 1 })).toBe(
    `${time} shop.order scheduled: no such \\x1b[2Jshop`,
  )
  expect(tell({ type: 'state', ...about, state: 'running', attempt: 2 })).toBe(`${time} shop.order running (attempt 2)`)
  expect(tell({ type: 'jobs', cursor: '', jobs: [jobSummary({ id: 'c' })] })).toBe('a job joined')
  expect(tell({ type: 'settled', cursor: '', at, state: 'failed', round: 1 })).toBe(
    `${time} failed after 0 ms: 2 waiting, 1 running`,
  )
  expect(tell({ type: 'round', cursor: '', round: 2 })).toBe('round 2 began')
})

it('tells why something had failed before', () => {
  const jobs = [
    jobSummary({ id: 'a', state: 'failed', failure, finishedAt: later(5) }),
    jobSummary({ id: 'b', state: 'succeeded' }),
  ]
  const start = collectionSnapshot(jobs, { state: 'failed', progress: { done: 2, total: 2 } })
  const log = new PlainLog(new Followed(start))
  expect(log.tell({ type: 'snapshot', cursor: '', collection: start })).toEqual([
    `following ${start.id}: 2 of 2 done`,
    `${formatTimeOfDay(later(5))} shop.order failed: no such \\x1b[2Jshop`,
  ])
})
