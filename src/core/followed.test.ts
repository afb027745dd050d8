import { describe, expect, it } from 'vitest'
import { collectionSnapshot, jobSummary, later } from '../../test/fixtures/snapshots.ts'
import type { CollectionEvent, JobSummary } from './handle.ts'
import { Followed } from './followed.ts'

const state = (jobId: string, name: JobSummary['state'], ms: number, attempt = 1): CollectionEvent => ({
  type: 'state',
  cursor: '',
  at: later(ms),
  jobId,
  state: name,
  attempt,
})

const follow = (jobs: readonly JobSummary[], ...events: readonly CollectionEvent[]): Followed => {
  const followed = new Followed(collectionSnapshot(jobs))
  for (const event of events) followed.hear(event)
  return followed
}

const two = [jobSummary({ id: 'a', state: 'queued' }), jobSummary({ id: 'b', after: ['a'] })]

describe('Followed', () => {
  it('knows when a job began and ended, and how far the whole is', () => {
    const { snapshot } = follow(two, state('a', 'running', 10), state('a', 'succeeded', 25), state('b', 'queued', 25))
    expect(snapshot.jobs[0]).toMatchObject({ state: 'succeeded', startedAt: later(10), finishedAt: later(25) })
    expect(snapshot.progress).toEqual({ done: 1, total: 2 })
    expect(snapshot.counts).toMatchObject({ succeeded: 1, queued: 1, waiting: 0 })
  })

  it('keeps the newest progress until the attempt is over', () => {
    const progress = { type: 'progress', cursor: '', at: later(12), jobId: 'a', done: 3, total: 4 } as const
    const followed = follow(two, state('a', 'running', 10), progress)
    expect(followed.job('a')?.progress).toEqual({ done: 3, total: 4 })
    followed.hear(state('a', 'succeeded', 20))
    expect(followed.job('a')).not.toHaveProperty('progress')
  })

  it('asks for what an event does not tell of a failure', () => {
    const followed = follow(two, state('a', 'running', 10), state('a', 'scheduled', 20))
    expect([...followed.lacking]).toEqual(['a'])
    const failure = { name: 'Error', message: 'no such shop', attempt: 1, at: '' }
    followed.complete({ ...followed.job('a')!, state: 'running', failures: 1, failure, dueAt: later(99) })
    expect([...followed.lacking]).toEqual([])
    expect(followed.job('a')).toMatchObject({ state: 'scheduled', failures: 1, failure, dueAt: later(99) })
    expect(followed.job('a')).not.toHaveProperty('startedAt')
  })

  it('takes a job that has run and waits for one that returned a canvas, whose jobs join', () => {
    const joined = { type: 'jobs', cursor: '', jobs: [jobSummary({ id: 'x', parentId: 'a' })] } as const
    const { snapshot } = follow(two, state('a', 'running', 10), state('a', 'waiting', 20), joined)
    expect(snapshot.jobs[0]).toMatchObject({ continued: true, startedAt: later(10) })
    expect(snapshot.jobs.map(({ id }) => id)).toEqual(['a', 'b', 'x'])
  })

  it('settles, and begins another round', () => {
    const settled = { type: 'settled', cursor: '', at: later(30), state: 'failed', round: 1 } as const
    const followed = follow(two, settled)
    expect(followed.snapshot).toMatchObject({ state: 'failed', settledAt: later(30) })
    followed.hear({ type: 'round', cursor: '', round: 2 })
    expect(followed.snapshot).toMatchObject({ state: 'running', round: 2 })
    expect(followed.snapshot).not.toHaveProperty('settledAt')
  })

  it('begins anew with a fresh snapshot', () => {
    const fresh = collectionSnapshot([jobSummary({ id: 'c' })])
    const followed = follow(two, state('a', 'failed', 10), { type: 'snapshot', cursor: '', collection: fresh })
    expect(followed.snapshot.jobs.map(({ id }) => id)).toEqual(['c'])
    expect([...followed.lacking]).toEqual([])
  })
})
