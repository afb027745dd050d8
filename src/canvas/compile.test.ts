import { describe, expect, test } from 'vitest'
import { chain, chord, compiled, counter, drawn, each, group, named } from '../../test/fixtures/drawing.ts'
import type { CeleriacError } from '../core/errors.ts'
import { noOptions } from '../core/stored-options.ts'
import { compile, compileContinuation } from './compile.ts'
import type { CanvasNode } from './node.ts'

const [a, b, c, d, e, f] = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => named(name)) as [any, any, any, any, any, any]

describe('links and members', () => {
  test('one barrier stands between two links, over the ends of the left one', () => {
    const canvas = chain(a.s(), group(b.s(), chain(c.s(), d.s())), group(e.s(), f.s()))
    expect(drawn(compiled(canvas))).toEqual([
      'a() ▸ B0',
      'B0 ▸ b(.) ▸ B2',
      'B0 ▸ c(.) ▸ B1',
      'B1 ▸ d(.) ▸ B2',
      'B2 ▸ e([2.]) ▸ B3',
      'B2 ▸ f([2.]) ▸ B3',
      'B0 counts 1',
      'B1 counts 1',
      'B2 counts 2',
      'B3 counts 2 exit',
      '= [2.]',
    ])
  })

  test('a group of n before a group of m costs n + m jobs and one barrier between', () => {
    const many = (count: number): unknown => group(...Array.from({ length: count }, () => a.s()))
    const graph = compiled(chain(many(300), many(200)))
    expect(graph.jobs.length).toBe(500)
    expect(graph.barriers).toEqual([
      { inputs: 300, feeds: null, gate: null },
      { inputs: 200, feeds: null, gate: null },
    ])
    expect(graph.jobs.at(-1)?.input).toEqual({ from: 'results', shape: '[300.]' })
  })

  test('plain chains inside chains are taken apart, others keep their own end', () => {
    expect(drawn(compiled(chain(chain(a.s(), b.s()), chain(c.s()))))).toEqual(
      drawn(compiled(chain(a.s(), b.s(), c.s()))),
    )
    const kept = compiled(chain(chain(a.s(), b.s()).onSuccess(c.s()), d.s()))
    expect(drawn(kept).slice(0, 4)).toEqual(['a() ▸ B0', 'B0 ▸ b(.) ▸ B1', 'B1 ▸ d(.) ▸ B2', 'B1 ▸ c(.) side'])
  })

  test('si takes nothing, wherever it stands', () => {
    expect(drawn(compiled(chain(a.s(), b.si(1), c.s()))).slice(0, 3)).toEqual([
      'a() ▸ B0',
      'B0 ▸ b() ▸ B1',
      'B1 ▸ c(.) ▸ B2',
    ])
  })

  test('results nest as groups do', () => {
    expect(compiled(group(a.s(), group(b.s(), group(c.s())))).shape).toBe('[.[.[.]]]')
    expect(compiled(group(chain(a.s(), group(b.s(), c.s())), d.s())).shape).toBe('[[2.].]')
    expect(drawn(compiled(chord([chain(a.s(), b.s()), c.s()], d.s())))[3]).toBe('B1 ▸ d([2.]) ▸ B2')
  })

  test('every use of a signature is a job of its own', () => {
    const once = a.s(1)
    const ids = compiled(group(once, once, chain(once, once))).jobs.map(({ id }) => id)
    expect(new Set(ids).size).toBe(4)
  })
})

describe('groups of nothing', () => {
  test('alone they are an exit without inputs', () => {
    expect(drawn(compiled(group()))).toEqual(['B0 counts 0 exit', '= []'])
    expect(drawn(compiled(group(group(), group())))).toEqual(['B0 counts 0 exit', '= [2[]]'])
  })

  test('at the front they hold nothing back', () => {
    expect(drawn(compiled(chain(group(), a.s(), b.s())))).toEqual([
      'a([]) ▸ B0',
      'B0 ▸ b(.) ▸ B1',
      'B0 counts 1',
      'B1 counts 1 exit',
      '= .',
    ])
  })

  test('behind a step they keep its end and take its result', () => {
    expect(drawn(compiled(chain(a.s(), group(), b.s())))).toEqual([
      'a() ▸ B0',
      'B0 ▸ b([-]) ▸ B1',
      'B0 counts 1',
      'B1 counts 1 exit',
      '= .',
    ])
    expect(drawn(compiled(chain(group(a.s(), b.s()), group(group(), group()))))).toEqual([
      'a() ▸ B0',
      'b() ▸ B0',
      'B0 counts 2 exit',
      '= [[2-][]]',
    ])
  })

  test('at the front of a canvas behind a step they take the result before it', () => {
    expect(drawn(compiled(chain(group(a.s(), b.s()), chain(group(), c.s()).onError(d.s()))))[2]).toBe(
      'B0 ▸ c([2-]) ▸ B1',
    )
  })

  test('inside a group they take a place in the list and no end', () => {
    const canvas = chain(a.s(), group(group(), b.s(), chain(c.s(), group())), d.s())
    expect(drawn(compiled(canvas)).slice(0, 4)).toEqual([
      'a() ▸ B0',
      'B0 ▸ b(.) ▸ B2',
      'B0 ▸ c(.) ▸ B1',
      'B2 ▸ d([[].[-]]) ▸ B3',
    ])
  })
})

describe('a job alone', () => {
  test('is one job whose id is the id of the graph', () => {
    for (const canvas of [a.s(1), chain(a.s(1)), chain(chain(a.s(1)))]) {
      const graph = compiled(canvas)
      expect(drawn(graph)).toEqual(['a()', '= .'])
      expect(graph.exit).toBeNull()
      expect(graph.id).toBe(graph.jobs[0]?.id)
    }
    expect(compiled(a.s(), { id: 'given' })).toMatchObject({ id: 'given', jobs: [{ id: 'given' }] })
  })

  test('has an exit where something hangs on it', () => {
    expect(compiled(a.s().onError(b.s())).exit).toBe(0)
    expect(compiled(group(a.s())).exit).toBe(0)
    expect(compiled(a.s(), { mayBeAlone: false, id: 'given' })).toMatchObject({
      id: 'given',
      jobs: [{ id: 'id0' }],
      exit: 0,
    })
  })
})

describe('failFast', () => {
  test('gives the jobs of the outermost such group one scope', () => {
    const inner = group(b.s(), chain(c.s(), group(d.s()).failFast())).failFast()
    const canvas = chain(a.s(), inner, group(e.s()).failFast(), f.s())
    expect(compiled(canvas).jobs.map(({ task, scope }) => [task, scope])).toEqual([
      ['a', null],
      ['b', 0],
      ['c', 0],
      ['d', 0],
      ['e', 1],
      ['f', null],
    ])
  })

  test('does not reach side branches, which may have scopes of their own', () => {
    const canvas = group(a.s().onError(group(b.s(), c.s()).failFast()), d.s().onError(e.s())).failFast()
    expect(compiled(canvas).jobs.map(({ task, scope }) => [task, scope])).toEqual([
      ['a', 0],
      ['d', 0],
      ['b', 1],
      ['c', 1],
      ['e', null],
    ])
  })
})

describe('limits', () => {
  const nested = (depth: number): any => {
    let canvas = a.s()
    for (let n = 0; n < depth; n++) canvas = group(canvas)
    return canvas
  }

  test('64 groups around each other compile, one more is refused', () => {
    expect(compiled(nested(64)).shape).toBe(`${'['.repeat(64)}.${']'.repeat(64)}`)
    expect(codeOf(() => compiled(nested(65)))).toBe('TOO_DEEP')
    expect(codeOf(() => JSON.stringify(nested(65)))).toBe('TOO_DEEP')
    expect(codeOf(() => compiled(chain(b.s(), each(nested(65)))))).toBe('TOO_DEEP')
    let branches = a.s()
    for (let n = 0; n < 65; n++) branches = a.s().onError(branches)
    expect(codeOf(() => compiled(branches))).toBe('TOO_DEEP')
  })

  test('a chain of 100,000 links written as one, or grown link by link, stays flat', () => {
    const graph = compiled(chain(a.s(), ...Array.from({ length: 99_999 }, () => b.s())))
    expect([graph.jobs.length, graph.barriers.length]).toEqual([100_000, 100_000])
    let grown = a.s()
    for (let n = 0; n < 500; n++) grown = chain(grown, b.s())
    expect(compiled(grown).jobs.length).toBe(501)
  })

  test('a canvas of more jobs than the limit is refused', () => {
    expect(compiled(group(a.s(), b.s()), { jobLimit: 2 }).jobs.length).toBe(2)
    expect(codeOf(() => compiled(group(a.s(), b.s()).onError(c.s()), { jobLimit: 2 }))).toBe('TOO_MANY_JOBS')
  })

  test('a task that nobody knows is refused, wherever it is named', () => {
    const refuse = { defaultsOf: (task: string) => (task === 'a' ? noOptions : fail(task)) }
    expect(() => compiled(group(a.s(), b.s()), refuse)).toThrow('no task b')
    expect(() => compiled(chain(a.s(), each(chain(a.s(), b.s()))), refuse)).toThrow('no task b')
    expect(() => compiled(chain(a.s(), each(a.s().onError(each(b.s())))), refuse)).toThrow('no task b')
    expect(() => compiled(named('celeriac.each').s(), refuse)).toThrow('no task celeriac.each')
  })
})

describe('a returned canvas', () => {
  const context = { newId: counter(), defaultsOf: () => noOptions }
  const continued = (canvas: { node: CanvasNode }, role: 'main' | 'side' | 'callback' = 'main'): any =>
    compileContinuation(canvas.node, { role, options: noOptions }, context)

  test('has an exit even when it is one job', () => {
    expect(drawn(continued(a.s()))).toEqual(['a() ▸ B0', 'B0 counts 1 exit', '= .'])
    expect(drawn(continued(group()))).toEqual(['B0 counts 0 exit', '= []'])
  })

  test('takes over the role of the job that returned it', () => {
    const roles = (role: 'main' | 'side' | 'callback'): string[] =>
      continued(a.s().onError(b.s()), role).jobs.map((job: { role: string }) => job.role)
    expect([roles('main'), roles('side'), roles('callback')]).toEqual([
      ['main', 'side'],
      ['side', 'side'],
      ['callback', 'callback'],
    ])
  })
})

test('compiling leaves the canvas as it was', () => {
  const canvas = chain(group(a.s(1), b.s()).failFast().onError(c.s()), each(d.s(2))).with({ queue: 'x' })
  const before = JSON.stringify(canvas)
  const context = { newId: () => '', defaultsOf: () => noOptions }
  expect(compile(canvas.node, context)).toEqual(compile(canvas.node, context))
  expect(JSON.stringify(canvas)).toBe(before)
})

function fail(task: string): never {
  throw new Error(`no task ${task}`)
}

function codeOf(act: () => unknown): string | undefined {
  try {
    act()
  } catch (error) {
    return (error as CeleriacError).code
  }
  return undefined
}
