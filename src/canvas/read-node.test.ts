import { describe, expect, test } from 'vitest'
import { chain, compiled, drawn, each, group, named } from '../../test/fixtures/drawing.ts'
import type { CeleriacError } from '../core/errors.ts'
import { canvasOf } from './canvas.ts'
import { readNode } from './read-node.ts'

const [a, b] = ['a', 'b'].map((name) => named(name)) as [any, any]
const call = { type: 'signature', task: 'a', args: [] }

describe('a canvas as JSON', () => {
  const everything = chain(
    a.s({ deep: [1, 'two', null, { constructor: 1 }] }, -0.5),
    group(b.si('ü "\u2028'), chain(a.s(), b.s()).onSuccess(a.s()).with({ queue: 'x' }), group()).failFast(),
    each(a.s(2).with({ timeout: '5m' }), { chunk: 3 }).onError(group(a.s()).finally(b.si())),
    each(chain(a.s(), b.s())),
  ).with({ startAt: '2026-01-01', retry: { limit: 2, backoff: { base: '2s' } }, tags: ['t'] })

  test('comes back as the same canvas, and the same graph', () => {
    const back = canvasOf(readNode(JSON.parse(JSON.stringify(everything)), 'canvas'))
    expect(back).toEqual(everything)
    expect(drawn(compiled(back))).toEqual(drawn(compiled(everything)))
    expect(compiled(back)).toEqual(compiled(everything))
  })

  test('is short, and in the words of the package', () => {
    expect(
      chain(a.s(1), group(b.si(2)).failFast())
        .with({ queue: 'x', timeout: '1s' })
        .toJSON(),
    ).toEqual({
      type: 'chain',
      links: [
        { type: 'signature', task: 'a', args: [1] },
        { type: 'group', members: [{ type: 'signature', task: 'b', args: [2], ignoresResult: true }], failFast: true },
      ],
      options: { queue: 'x', timeout: 1000 },
    })
    expect(
      a
        .s()
        .onError(each(b.s(), { chunk: 2 }))
        .toJSON(),
    ).toEqual({
      ...call,
      branches: [{ when: 'failure', node: { type: 'each', of: { type: 'signature', task: 'b', args: [] }, chunk: 2 } }],
    })
  })

  test('may be written by hand: durations are texts, arguments may be left out', () => {
    const written = { type: 'signature', task: 'a', options: { startIn: '5m', retry: { limit: 1 } } }
    expect(readNode(written, 'canvas')).toEqual(a.s().with({ startIn: 300_000, retry: { limit: 1 } }).node)
  })
})

describe('JSON that is no canvas is refused with its place', () => {
  const refused: [unknown, string][] = [
    [null, 'canvas: '],
    [[call], 'canvas: '],
    ['a', 'canvas: '],
    [{}, 'canvas.type: '],
    [{ type: 'constructor' }, 'canvas.type: '],
    [{ type: '__proto__' }, 'canvas.type: '],
    [{ type: 'signature', task: 7 }, 'canvas.task: '],
    [{ ...call, args: { 0: 1 } }, 'canvas.args: '],
    [{ ...call, ignoresResult: 'yes' }, 'canvas.ignoresResult: '],
    [{ ...call, arg: [] }, 'canvas.arg: '],
    [JSON.parse('{"type":"signature","task":"a","__proto__":{}}'), 'canvas.__proto__: '],
    [{ ...call, options: [] }, 'canvas.options: '],
    [{ ...call, branches: {} }, 'canvas.branches: '],
    [{ ...call, branches: [{ when: 'never', node: call }] }, 'canvas.branches[0].when: '],
    [{ ...call, branches: [{ when: 'always' }] }, 'canvas.branches[0].node: '],
    [{ type: 'chain', links: call }, 'canvas.links: '],
    [{ type: 'chain', links: [call, { type: 'group', members: [call, 7] }] }, 'canvas.links[1].members[1]: '],
    [{ type: 'group', members: [], failFast: 1 }, 'canvas.failFast: '],
    [{ type: 'group', members: [], joinsLists: true }, 'canvas.joinsLists: '],
    [{ type: 'each' }, 'canvas.of: '],
    [{ type: 'each', of: call, list: 'x' }, 'canvas.list: '],
  ]
  test.each(refused)('%j', (value, place) => {
    const error = errorOf(() => readNode(value, 'canvas'))
    expect(error.code).toBe('NOT_A_CANVAS')
    expect(error.message.startsWith(place)).toBe(true)
  })

  const otherwise: [unknown, string][] = [
    [{ type: 'chain', links: [] }, 'EMPTY_CHAIN'],
    [{ ...call, options: { chunked: true } }, 'BAD_OPTION'],
    [{ ...call, options: { startIn: '5 minutes' } }, 'BAD_DURATION'],
    [{ ...call, options: { idempotencyKey: 'k' } }, 'BAD_OPTION'],
    [{ type: 'each', of: call, chunk: '7' }, 'BAD_OPTION'],
    [{ type: 'each', of: { type: 'group', members: [] }, chunk: 7 }, 'BAD_OPTION'],
    [{ ...call, args: ['x'.repeat(300_000)] }, 'TOO_LARGE'],
    [nestedJson(100_000), 'TOO_DEEP'],
  ]
  test.each(otherwise)('another code where another fault is meant (%#)', (value, code) => {
    expect(errorOf(() => readNode(value, 'canvas')).code).toBe(code)
  })

  test('a misspelled property is told with what it resembles', () => {
    expect(() => readNode({ type: 'group', member: [] }, 'canvas')).toThrow('did you mean "members"?')
    expect(() => readNode({ type: 'chain' }, 'submit')).toThrow('submit.links: this is not a canvas as JSON: a list of')
  })
})

function nestedJson(depth: number): unknown {
  let canvas: unknown = call
  for (let n = 0; n < depth; n++) canvas = { type: 'group', members: [canvas] }
  return canvas
}

function errorOf(act: () => unknown): CeleriacError {
  try {
    act()
  } catch (error) {
    return error as CeleriacError
  }
  throw new Error('it did not throw')
}
