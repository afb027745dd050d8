import { expect, it } from 'vitest'
import { manualRuntime } from '../../../test/fixtures/clock.ts'
import { collectionSnapshot, jobSummary, start } from '../../../test/fixtures/snapshots.ts'
import type { CollectionEvent, CollectionSnapshot } from '../../core/handle.ts'
import { Announcer } from './announcer.ts'

const snapshot = (done: number): CollectionSnapshot =>
  collectionSnapshot(
    ['a', 'b', 'c'].map((id) => jobSummary({ id, task: `task.${id}` })),
    { progress: { done, total: 40 } },
  )
const changed = (jobId: string, state: 'running' | 'failed'): CollectionEvent => ({
  type: 'state',
  cursor: '',
  at: start,
  jobId,
  state,
  attempt: 1,
})

it('says each quarter, what failed and the end, and not more often than every four seconds', () => {
  const clock = manualRuntime()
  const said: string[] = []
  const announcer = new Announcer(clock, (text) => said.push(text))
  announcer.hear({ type: 'snapshot', cursor: '', collection: snapshot(3) })
  for (let done = 3; done <= 30; done++) {
    announcer.hear(changed('a', 'running'))
    announcer.show(snapshot(done))
    clock.pass(100)
  }
  expect(said).toEqual(['10 of 40 done.'])
  clock.pass(4_000)
  announcer.show(snapshot(30))
  expect(said.splice(0)).toEqual(['10 of 40 done.', '30 of 40 done.'])

  announcer.hear(changed('a', 'failed'))
  announcer.show(snapshot(31))
  expect(said).toEqual([])
  expect(announcer.hasNews).toBe(true)
  clock.pass(4_000)
  announcer.show(snapshot(31))
  announcer.hear(changed('b', 'failed'))
  announcer.hear({ type: 'settled', cursor: '', at: start, state: 'failed', round: 1 })
  announcer.show(snapshot(40))
  clock.pass(4_000)
  announcer.show(snapshot(40))
  announcer.hear({ type: 'round', cursor: '', round: 2 })
  clock.pass(4_000)
  announcer.show(snapshot(0))
  expect(said).toEqual(['31 of 40 done. task.a failed.', 'All is over: failed. 2 jobs failed.', '0 of 40 done.'])
})
