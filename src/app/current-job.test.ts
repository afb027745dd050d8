import { expect, test } from 'vitest'
import type { CurrentJob } from '../core/handle.ts'
import { currentJob, runningJob } from './current-job.ts'
import { RetryDirective, SnoozeDirective } from './directives.ts'

test('outside a worker it is inert', () => {
  const job = currentJob()
  job.progress(1, 2, 'half')
  job.log.info('nothing')
  job.log.warn('nothing', { a: 1 })
  job.log.error('nothing')
  expect(job.signal.aborted).toBe(false)
  expect(job.attempt).toBe(1)
})

test('retry and snooze throw what a worker reads', () => {
  const cause = new Error('away')
  expect(() => currentJob().retry({ in: '5m', cause })).toThrow(expect.objectContaining({ in: '5m', cause }))
  expect(() => currentJob().retry()).toThrow(RetryDirective)
  expect(() => currentJob().snooze('1h')).toThrow(SnoozeDirective)
  expect(() => currentJob().snooze('1h')).toThrow(expect.objectContaining({ delay: '1h' }))
})

test('inside one it is the job that runs, across what it waits for', async () => {
  const running = { id: 'a' } as CurrentJob
  const seen = await runningJob.run(running, async () => {
    await Promise.resolve()
    return currentJob().id
  })
  expect(seen).toBe('a')
  expect(currentJob().id).toBe('')
})
