import { describe, expect, test } from 'vitest'
import { chain, compiled, drawn, each, group, named } from '../../test/fixtures/drawing.ts'

const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => named(name)) as [any, any, any, any]
const [good, bad, end] = ['good', 'bad', 'end'].map((name) => named(name)) as [any, any, any]

describe('side branches', () => {
  test('share the barrier of their canvas with the next link and the exit', () => {
    const canvas = chain(a.s().onSuccess(good.s()).onError(bad.s()).finally(end.s()), b.s()).onError(bad.s())
    expect(drawn(compiled(canvas))).toEqual([
      'a() ▸ B0',
      'B0 ▸ b(.) ▸ B1',
      'B0 ▸ good(.) side',
      'B0 ▸! bad(failure) side',
      'B0 ▸* end(summary 0..0) side',
      'B1 ▸! bad(failure) side',
      'B0 counts 1',
      'B1 counts 1 exit',
      '= .',
    ])
  })

  test('begin only if their canvas began: the gate is what its entries stand behind', () => {
    const canvas = chain(a.s(), b.s().onError(bad.s()), group(c.s(), d.s().onError(bad.s())).onSuccess(good.s()))
    expect(drawn(compiled(canvas))).toEqual([
      'a() ▸ B0',
      'B0 ▸ b(.) ▸ B1',
      'B1 ▸ c(.) ▸ B3',
      'B1 ▸ d(.) ▸ B2',
      'B1 ▸! bad(failure) side',
      'B2 ▸! bad(failure) side',
      'B3 ▸ good([2.]) side',
      'B0 counts 1',
      'B1 counts 1 gate B0',
      'B2 counts 1 ▸ B3 gate B1',
      'B3 counts 2 gate B1 exit',
      '= [2.]',
    ])
  })

  test('canvases with the same ends share a barrier where the gate is the same, and nest where it is not', () => {
    const shared = compiled(group(chain(a.s()).onError(bad.s())).onError(bad.s()))
    expect(shared.barriers).toEqual([{ inputs: 1, feeds: null, gate: null }])
    const nested = compiled(chain(a.s(), b.s().onError(bad.s())).finally(end.s()))
    expect(drawn(nested).slice(2)).toEqual([
      'B1 ▸! bad(failure) side',
      'B2 ▸* end(summary 0..1) side',
      'B0 counts 1',
      'B1 counts 1 ▸ B2 gate B0',
      'B2 counts 1 exit',
      '= .',
    ])
  })

  test('a summary covers the jobs of its canvas and no others', () => {
    const inner = chain(b.s().finally(end.s()), group(c.s(), d.s()).finally(end.s())).finally(end.s())
    const graph = compiled(group(a.s().onError(bad.s()), inner).finally(end.s()))
    const spans = graph.jobs.flatMap(({ input }) => (input.from === 'summary' ? [[input.first, input.last]] : []))
    expect(graph.jobs.slice(0, 4).map(({ task }) => task)).toEqual(['a', 'b', 'c', 'd'])
    expect(spans).toEqual([
      [1, 1],
      [2, 3],
      [1, 3],
      [0, 3],
    ])
  })

  test('are canvases themselves, each line in one piece and followed by its own side branches', () => {
    const report = chain(c.s().onError(bad.s()), group(d.s(), d.s())).finally(end.s())
    expect(drawn(compiled(chain(a.s().onError(report).onSuccess(good.s()), b.s())))).toEqual([
      'a() ▸ B0',
      'B0 ▸ b(.) ▸ B1',
      'B0 ▸! c(failure) ▸ B2 side',
      'B2 ▸ d(.) ▸ B3 side',
      'B2 ▸ d(.) ▸ B3 side',
      'B2 ▸! bad(failure) side',
      'B3 ▸* end(summary 2..4) side',
      'B0 ▸ good(.) side',
      'B0 counts 1',
      'B1 counts 1 exit',
      'B2 counts 1',
      'B3 counts 2',
      '= .',
    ])
  })

  test('have no gate at their front, for what they hang on began', () => {
    const graph = compiled(chain(a.s(), b.s().onError(chain(c.s().onError(bad.s()), d.s().onError(bad.s())))))
    expect(drawn(graph).slice(6)).toEqual([
      'B0 counts 1',
      'B1 counts 1 gate B0 exit',
      'B2 counts 1',
      'B3 counts 1 gate B2',
      '= .',
    ])
  })

  test('every member at the front of one is given the report or the summary', () => {
    const canvas = a
      .s()
      .onError(group(b.s(), c.si(1)))
      .finally(chain(group(b.s()), d.s()))
    expect(drawn(compiled(canvas)).slice(1, 5)).toEqual([
      'B0 ▸! b(failure) side',
      'B0 ▸! c() side',
      'B0 ▸* b(summary 0..0) ▸ B1 side',
      'B1 ▸ d([.]) side',
    ])
  })

  test('of an each are given its list', () => {
    expect(drawn(compiled(chain(a.s(), each(b.s()).onSuccess(good.s()))))[2]).toBe('B1 ▸ good(.) side')
  })
})

describe('side branches of a canvas without jobs', () => {
  const nothing = group().onSuccess(good.s()).onError(bad.s()).finally(end.s())

  test('stand at the front, but for the one that waits for a failure that never comes', () => {
    expect(drawn(compiled(nothing))).toEqual([
      'good([]) side',
      'B0 ▸! bad(failure) side',
      'end(summary 0..-1) side',
      'B0 counts 0 exit',
      '= []',
    ])
  })

  test('stand where its entries would, behind a step', () => {
    expect(drawn(compiled(chain(a.s(), nothing, b.s())))).toEqual([
      'a() ▸ B0',
      'B0 ▸ b([-]) ▸ B2',
      'B0 ▸ good([-]) side',
      'B1 ▸! bad(failure) side',
      'B0 ▸ end(summary 1..0) side',
      'B0 counts 1',
      'B1 counts 0',
      'B2 counts 1 exit',
      '= .',
    ])
  })

  test('and at the front of another side branch', () => {
    expect(drawn(compiled(a.s().onError(nothing)))).toEqual([
      'a() ▸ B0',
      'B0 ▸! good([-]) side',
      'B1 ▸! bad(failure) side',
      'B0 ▸! end(summary 1..0) side',
      'B0 counts 1 exit',
      'B1 counts 0',
      '= .',
    ])
  })
})
