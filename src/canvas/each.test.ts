import { describe, expect, test } from 'vitest'
import { chain, compiled, counter, drawn, each, group, named } from '../../test/fixtures/drawing.ts'
import { noOptions, storedOptions } from '../core/stored-options.ts'
import { canvasOf } from './canvas.ts'
import { compileContinuation } from './compile.ts'
import { expandEach } from './each-node.ts'
import type { EachNode } from './node.ts'
import { readNode } from './read-node.ts'

const [a, b, c] = ['a', 'b', 'c'].map((name) => named(name)) as [any, any, any]

describe('each, compiled', () => {
  test('is one job, given the list before it and what to do with each element', () => {
    const graph = compiled(chain(a.s(), each(b.s(1)), c.s()))
    expect(drawn(graph)).toEqual([
      'a() ▸ B0',
      'B0 ▸ celeriac.each(.) ▸ B1',
      'B1 ▸ c(.) ▸ B2',
      'B0 counts 1',
      'B1 counts 1',
      'B2 counts 1 exit',
      '= .',
    ])
    expect(JSON.parse(graph.jobs[1]!.args)).toEqual([{ type: 'signature', task: 'b', args: [1] }, null])
    expect(JSON.parse(compiled(chain(a.s(), each(b.s(), { chunk: 100 }))).jobs[1]!.args)[1]).toBe(100)
  })

  test('at the front there is no list, which is said', () => {
    expect(() => compiled(each(b.s()))).toThrow('each(…) takes a list and nothing comes before it')
    expect(() => compiled(group(a.s(), chain(each(b.s()), c.s())))).toThrow('each(…) takes a list')
    expect(drawn(compiled(chain(group(), each(b.s()))))[0]).toBe('celeriac.each([]) ▸ B0')
  })

  test('its options go to its elements whole, and to its own job but for how those are tried and timed', () => {
    const options = { queue: 'x', retry: { limit: 3 }, timeout: 1000, expires: 5 } as const
    const canvas = chain(a.s(), each(b.s().with({ queue: 'y' })).with({ startIn: 7, priority: 1 }))
    const { jobs } = compiled(canvas, { options: storedOptions(options, 'test') })
    expect(jobs[1]!.options).toEqual({ queue: 'x', expires: 5, priority: 1, startIn: 7 })
    const { options: elements } = readNode(JSON.parse(jobs[1]!.args)[0], 'each')
    expect(elements).toEqual({ ...storedOptions(options, 'test'), queue: 'y', priority: 1 })
  })

  test('what to do with an element may not be larger than arguments may be', () => {
    const large = each(chain(...Array.from({ length: 5 }, () => b.s('x'.repeat(60_000)))))
    expect(() => compiled(chain(a.s(), large))).toThrow('the canvas in each(…) would take more than 256 KiB')
  })
})

describe('each, with its list', () => {
  const expanded = (list: readonly unknown[], canvas: any): any => {
    const { of, chunk } = canvas.node as EachNode
    return expandEach(list, of, chunk)
  }
  const graphOf = (list: readonly unknown[], canvas: any): any =>
    compileContinuation(
      expanded(list, canvas),
      { role: 'main', options: noOptions },
      { newId: counter(), defaultsOf: () => noOptions },
    )
  const argsOf = (list: readonly unknown[], canvas: any): string[] =>
    graphOf(list, canvas).jobs.map((job: { task: string; args: string }) => `${job.task}${job.args}`)

  test('is a group with a member for every element', () => {
    expect(argsOf([1, 'two', [3]], each(a.s('more')))).toEqual(['a[1,"more"]', 'a["two","more"]', 'a[[3],"more"]'])
    expect(graphOf([1, 2], each(a.s()))).toMatchObject({ shape: '[2.]', barriers: [{ inputs: 2 }] })
    expect(graphOf([], each(a.s()))).toMatchObject({ jobs: [], shape: '[]' })
  })

  test('an element goes where a result before the canvas would', () => {
    expect(argsOf([5], each(chain(a.s(1), b.s(2))))).toEqual(['a[5,1]', 'b[2]'])
    expect(argsOf([5], each(group(a.s(1), chain(b.s(), c.s()), a.si(9))))).toEqual(['a[5,1]', 'b[5]', 'c[]', 'a[9]'])
    expect(argsOf([5], each(chain(group(), a.s())))).toEqual(['a[]'])
    expect(argsOf([5], each(a.s(1).onError(b.s(2))))).toEqual(['a[5,1]', 'b[2]'])
  })

  test('an each inside an each has its list at once', () => {
    const graph = graphOf([[1, 2]], each(each(a.s())))
    expect(drawn(graph)[0]).toBe('celeriac.each() ▸ B0')
    expect(JSON.parse(graph.jobs[0].args)).toEqual([[1, 2], { type: 'signature', task: 'a', args: [] }, null])
    const again = canvasOf(expanded([[1, 2]], each(each(a.s()))))
    expect(canvasOf(readNode(again.toJSON(), 'canvas'))).toEqual(again)
  })

  test('chunks are jobs with lists of elements, whose results are put end to end', () => {
    const graph = graphOf([1, 2, 3, 4, 5], each(a.s('more'), { chunk: 2 }))
    expect(graph.jobs.map((job: any) => [job.args, job.options])).toEqual([
      ['[[1,2],"more"]', { chunked: true }],
      ['[[3,4],"more"]', { chunked: true }],
      ['[[5],"more"]', { chunked: true }],
    ])
    expect(graph.shape).toBe('<3.>')
    expect(graphOf([], each(a.s(), { chunk: 2 }))).toMatchObject({ jobs: [], shape: '<>' })
  })
})

describe('chunk', () => {
  test('is for a task or a call, from 1 on', () => {
    expect(() => each(a.s(), { chunk: 0 })).toThrow('each: chunk is a whole number from 1 on, not 0')
    expect(() => each(a.s(), { chunk: 1.5 })).toThrow('not 1.5')
    expect(() => each(chain(a.s(), b.s()), { chunk: 2 })).toThrow('element by element')
    expect(() => each(a.s().onError(b.s()), { chunk: 2 })).toThrow('without side branches')
    expect(() => each(a.si(1), { chunk: 2 })).toThrow('describe it with s(…)')
  })
})
