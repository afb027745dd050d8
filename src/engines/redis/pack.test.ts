import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Graph, GraphBarrier } from '../../core/graph.ts'
import type { StoredOptions } from '../../core/job.ts'
import { packGraph, packRows, runsOf } from './pack.ts'
import { plainJob } from '../../../test/fixtures/graphs.ts'
import { labelText, noLabel, readJob, readStanding } from './rows.ts'

/** What scripts make of runs. */
function numbersIn(runs: string): number[] {
  return runs.split(',').flatMap((run) => {
    const [, first = '', last = first, step = '1'] = /^(\d+)(?:-(\d+))?(?:\/(\d+))?$/.exec(run) ?? []
    const numbers: number[] = []
    for (let number = Number(first); first !== '' && number <= Number(last); number += Number(step))
      numbers.push(number)
    return numbers
  })
}

test('numbers in a row, and every so many, are one run', () => {
  expect(runsOf([])).toBe('')
  expect(runsOf([7])).toBe('7')
  expect(runsOf([0, 1, 2, 3])).toBe('0-3')
  expect(runsOf([0, 10, 20, 30])).toBe('0-30/10')
  expect(runsOf([1, 5, 6, 7, 20])).toBe('1,5-7,20')
  expect(runsOf(Array.from({ length: 100_000 }, (_, n) => n))).toBe('0-99999')
})

test('runs give the numbers they were made of', () => {
  const lists = fc.uniqueArray(fc.nat(300)).map((list) => list.sort((one, other) => one - other))
  fc.assert(fc.property(lists, (list) => void expect(numbersIn(runsOf(list))).toEqual(list)))
})

test('a plain row says only what there is to say', () => {
  const job = readJob(12, '1700000000000\n\nid\nmail\n{"timeout":5}\n\n["a\\nb"]')
  expect(job).toMatchObject({ number: 12, base: 12, collection: 12, createdAt: 1_700_000_000_000, queue: 'default' })
  expect(job).toMatchObject({ id: 'id', task: 'mail', options: { timeout: 5 }, label: noLabel, args: '["a\\nb"]' })
  expect(readStanding(job, null)).toMatchObject({ state: 2, version: 1, attempt: 0, round: 1 })
})

test('offsets count from the first job of the graph', () => {
  const row = '1700000000000,100,99,7,1,,2,0,5,0,6,1,,,60000,,-3,r[2.]\nshop\nid\nmail\n\n\n\r'
  const job = readJob(101, row)
  expect(job).toMatchObject({ base: 100, collection: 99, parent: 7, depth: 1, round: 2, behind: 105, feeds: 106 })
  expect(job).toMatchObject({ scope: 101, priority: -3, input: 'r[2.]', queue: 'shop', args: null })
  expect(readStanding(job, null)).toMatchObject({ state: 0, round: 2, expiresAt: 1_700_000_060_000 })
})

test('a link of a chain names the one whose result it is given, and the one that its success lets go', () => {
  const link = readJob(101, '1700000000000,100,99,,0,,1,0,105,0,106,,,,,,0,o0:2,1.\nshop\nid\nmail\n\n>2\n[]')
  expect(link).toMatchObject({ behind: 205, feeds: 206, next: 102, input: 'r2,1.', label: noLabel, args: '[]' })
  expect(readJob(1, '1\n\nid\nmail\n\n\n[]').next).toBeNull()
})

test('only where nothing else is needed to let it go', () => {
  const firstLine = (options: StoredOptions, other: Partial<GraphBarrier> = {}): string | undefined => {
    const job = { ...plainJob('b'), behind: 0, feeds: 1, options }
    const barriers = [
      { inputs: 1, feeds: null, gate: null, ...other },
      { inputs: 1, feeds: null, gate: null },
    ]
    const graph: Graph = { id: 'g', jobs: [{ ...plainJob('a'), feeds: 0 }, job], barriers, exit: 1, shape: '.' }
    return String(packRows(packGraph(graph, false), 0, 1_000)[2]).split('\n')[5]
  }
  expect(firstLine({})).toBe('>1')
  expect(firstLine({ queue: 'default' })).toBe('>1')
  expect(firstLine({ timeout: 5 })).toBe('>1t')
  for (const options of [{ startIn: 5 }, { startAt: 5 }, { expires: 5 }, { priority: 1 }, { queue: 'other' }])
    expect(firstLine(options)).toBe('')
  expect(firstLine({}, { inputs: 2 })).toBe('')
  expect(firstLine({}, { gate: 1 })).toBe('')
  expect(firstLine({}, { feeds: 1 })).toBe('')
})

test('how a job stands is read with and without what is seldom said, and with its result as it is', () => {
  const job = readJob(12, '1700000000000\n\nid\nmail\n\n\n[]')
  expect(readStanding(job, '4,3,1,55,9,100,200\n"a;b\\n,"')).toMatchObject({
    ...{ state: 4, version: 3, attempt: 1, token: '55', session: 9, startedAt: 100, finishedAt: 200 },
    result: '"a;b\\n,"',
  })
  expect(readStanding(job, '1,3,1,55,9,100,;2,1,0,300,,,,,,,\r5000')).toMatchObject({
    ...{ state: 1, round: 2, failures: 1, dueAt: 300, expiresAt: null, reason: null, result: null, longResult: 5_000 },
  })
})

test('the label of a job alone is empty where there is nothing to tell', () => {
  expect(labelText(noLabel)).toBe('')
  const label = { retention: 5, actor: 'u;1\n', description: null, tags: ['x'] }
  expect(readJob(1, `1\n\nid\nmail\n\n${labelText(label)}\n[]`).label).toEqual(label)
})
