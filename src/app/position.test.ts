import { expect, test } from 'vitest'
import type { Change } from '../core/event.ts'
import { advance, changesBehind, formatPosition, parsePosition, positionAt } from './position.ts'

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

test('what is behind a position is what was not counted', () => {
  for (let count = 0; count <= 4; count++) expect(changesBehind(after(count), changes)).toEqual(changes.slice(count))
})

test('where something slipped in between, all is told again', () => {
  const late = [changes[0]!, change('late', 1), ...changes.slice(1)]
  expect(changesBehind(after(1), late)).toEqual(late.slice(1))
  expect(changesBehind(after(2), late)).toEqual(late)
  expect(changesBehind(after(4), changes.slice(0, 2))).toEqual(changes.slice(0, 2))
})
