import { expect, test } from 'vitest'
import type { Change } from '../core/event.ts'
import { advance, formatPosition, parsePosition, positionAt } from './position.ts'

const change = (jobId: string, version: number): Change => ({
  type: 'job',
  at: 1,
  collectionId: 'c',
  jobId,
  state: 'queued',
  attempt: 0,
  version,
})
const changes = [change('a', 1), change('b', 1), change('a', 2), change('b', 2)]
const after = (count: number) => changes.slice(0, count).reduce(advance, positionAt('e.5'))

test('a position is text, and the same again', () => {
  for (const count of [0, 1, 4]) {
    expect(parsePosition(formatPosition(after(count), 3))).toEqual({ position: after(count), round: 3 })
  }
  const strange = positionAt('has+1.and\n.dots')
  expect(parsePosition(formatPosition(strange, 1)).position).toEqual(strange)
})

test('a cursor of the feed is a position too', () => {
  expect(parsePosition('e.5')).toEqual({ position: positionAt('e.5'), round: 1 })
})
