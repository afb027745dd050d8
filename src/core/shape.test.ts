import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { StoredResult } from './job.ts'
import { assemble, concat, emptyInPlaceOf, list, one } from './shape.ts'

const results = (...texts: readonly (string | null)[]): StoredResult[] => texts.map((json) => ({ json }))
const refer = (shape: string, inner: readonly StoredResult[] | null): StoredResult => ({
  shape,
  barrier: 0,
  results: inner,
})

describe('the text of a shape', () => {
  it('counts equal neighbours, so that ten thousand jobs take a few bytes', () => {
    expect(list(Array.from({ length: 10_000 }, () => one))).toBe('[10000.]')
    expect(concat([one, one])).toBe('<2.>')
    expect(list([one, list([one, one]), list([one, one]), one])).toBe('[.2[2.].]')
    expect(list([])).toBe('[]')
    expect(list([one])).toBe('[.]')
    expect(emptyInPlaceOf(0)).toBe('[]')
    expect(list([emptyInPlaceOf(1), emptyInPlaceOf(12), emptyInPlaceOf(12)])).toBe('[[-]2[12-]]')
  })
})

describe('assemble', () => {
  it('gives one result as it is, and nothing as null', () => {
    expect(assemble(one, results('{"a":1}'))).toBe('{"a":1}')
    expect(assemble(one, results(null))).toBe('null')
    expect(assemble('[2.]', results('1', null))).toBe('[1,null]')
  })

  it('leaves out what was behind a group of nothing', () => {
    expect(assemble(list([emptyInPlaceOf(2), one]), results('1', '2', '3'))).toBe('[[],3]')
    expect(assemble('[]', results('1', '2'))).toBe('[]')
    expect(assemble(emptyInPlaceOf(3), results('1', '2', '3'))).toBe('[]')
  })

  it('puts chunks end to end, empty ones too, by their elements', () => {
    expect(assemble('<3.>', results('[1,2]', '[]', '[3]'))).toBe('[1,2,3]')
    expect(assemble('<3.>', results('[]', '[ ]', '[ 3 ]'))).toBe('[3]')
    expect(assemble('<2[2.].>', results('1', '2', '3', '4', '[5]'))).toBe('[1,2,3,4,5]')
    expect(assemble('[<.><2.>.]', results('["],["]', '[[]]', '[[1]]', '2'))).toBe('[["],["],[[],[1]],2]')
    expect(assemble('<<2.><.>[<2.>]>', results('[1]', '[2]', '[3]', '[4]', '[5]'))).toBe('[1,2,3,[4,5]]')
    expect(assemble('<>', [])).toBe('[]')
  })

  it('nests what a result refers to by its own shape', () => {
    const inner = refer('[2.]', results('7', '8'))
    expect(assemble('[.2[.]]', [inner, inner, refer(one, [refer(one, results('9'))])])).toBe('[[7,8],[[7,8]],[9]]')
    expect(assemble('<3.>', [inner, results('[]')[0]!, refer('<2.>', [inner, inner])])).toBe('[7,8,7,8,7,8]')
  })

  it('agrees with a naive version on any canvas', () => {
    fc.assert(
      fc.property(nodes.node, (node) => {
        expect(assemble(...compiled(node))).toBe(JSON.stringify(meaning(node)))
      }),
      {
        numRuns: 1000,
      },
    )
  })

  it('takes a hundred thousand members and a hundred thousand levels', () => {
    const many = Array.from({ length: 100_000 }, (_, n) => ({ json: String(n) }))
    expect(JSON.parse(assemble('[100000.]', many))).toEqual(many.map((_, n) => n))
    expect(
      assemble(
        '<100000.>',
        many.map(({ json }) => ({ json: `[${json}]` })),
      ),
    ).toBe(assemble('[100000.]', many))
    const pairs = list(Array.from({ length: 50_000 }, () => list([one, one])))
    expect(assemble(pairs, many)).toHaveLength(assemble('[100000.]', many).length + 100_000)
    const levels = 100_000
    expect(assemble('['.repeat(levels) + '.' + ']'.repeat(levels), results('1'))).toHaveLength(2 * levels + 1)
    let deep: StoredResult = { json: '1' }
    for (let level = 0; level < levels; level++) deep = refer('[.]', [deep])
    expect(assemble('<.>', [deep])).toHaveLength(2 * levels + 1)
  })

  it('costs the same for each member, however many there are', () => {
    /** How often results are looked at. */
    const looks = (count: number): number => {
      let seen = 0
      const spied = new Proxy(results(...Array.from({ length: count }, () => '1')), {
        get: (target, name) => (seen++, Reflect.get(target, name) as unknown),
      })
      assemble(`[${count / 2}[2.]]`, spied)
      return seen
    }
    expect(looks(2000)).toBe(2 * looks(1000))
  })

  it('refuses more than the limit before it is put together', () => {
    const kilobyte = results(...Array.from({ length: 1024 }, () => `"${'x'.repeat(1021)}"`))
    expect(assemble('[1024.]', kilobyte, 1024 * 1024 + 1)).toHaveLength(1024 * 1024 + 1)
    const code = { code: 'INPUT_TOO_LARGE' }
    expect(() => assemble('[1024.]', kilobyte, 1024 * 1024)).toThrow(expect.objectContaining(code))
    expect(() => assemble(one, results('"long"'), 5)).toThrow(expect.objectContaining(code))
    expect(() => assemble('[999999999999[]]', [], 1000)).toThrow(expect.objectContaining(code))
    expect(() => assemble('[.]', results(`"${'x'.repeat(64 * 1024 * 1024)}"`))).toThrow(
      /more than 64 MiB: store them elsewhere/,
    )
  })

  it.each([
    ['too few results', '[3.]', results('1', '2')],
    ['too few results inside a reference', '[.]', [refer('[2.]', results('1'))]],
    ['a result that was not loaded', '[.]', [refer('[2.]', null)]],
    ['a chunk that is no list', '<.>', results('1')],
    ['nothing', '', results('1')],
    ['nothing inside a reference', '[.]', [refer('', results('1'))]],
    ['two values inside a reference', '[.]', [refer('2.', results('1', '2'))]],
    ['two values', '..', results('1', '2')],
    ['an open list', '[.', results('1')],
    ['a list closed twice', '[.]]', results('1')],
    ['a number alone', '[3', results('1')],
    ['a bracket of the other kind', '[.>', results('1')],
    ['a word', '[x]', results('1')],
  ] as const)('refuses a store with %s', (_, shape, stored) => {
    expect(() => assemble(shape, stored)).toThrow(expect.objectContaining({ code: 'STORE_CORRUPT' }))
  })
})

/** A canvas as its results see it: a value, a list, lists end to end, nothing behind others, a job that continued. */
type Node =
  | { readonly is: 'value'; readonly value: unknown }
  | { readonly is: 'list' | 'concat'; readonly members: readonly Node[] }
  | { readonly is: 'empty'; readonly behind: readonly unknown[] }
  | { readonly is: 'reference'; readonly to: Node }

const nodes = fc.letrec<{ node: Node; lists: Node }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 6 },
    fc.record({ is: fc.constant('value' as const), value: fc.oneof(fc.constant(null), fc.jsonValue({ maxDepth: 1 })) }),
    fc.record({ is: fc.constant('list' as const), members: fc.array(tie('node'), { maxLength: 5 }) }),
    fc.record({ is: fc.constant('reference' as const), to: tie('node') }),
    tie('lists'),
  ),
  lists: fc.oneof(
    { maxDepth: 6 },
    fc.record({ is: fc.constant('value' as const), value: fc.array(fc.jsonValue({ maxDepth: 1 }), { maxLength: 3 }) }),
    fc.record({ is: fc.constant('empty' as const), behind: fc.array(fc.integer(), { maxLength: 3 }) }),
    fc.record({ is: fc.constant('concat' as const), members: fc.array(tie('lists'), { maxLength: 5 }) }),
    fc.record({ is: fc.constant('list' as const), members: fc.array(tie('node'), { maxLength: 3 }) }),
    fc.record({ is: fc.constant('reference' as const), to: tie('lists') }),
  ),
}))

function meaning(node: Node): unknown {
  if (node.is === 'value') return node.value
  if (node.is === 'empty') return []
  if (node.is === 'reference') return meaning(node.to)
  return node.is === 'list' ? node.members.map(meaning) : node.members.flatMap((member) => meaning(member) as unknown[])
}

function compiled(node: Node): [shape: string, results: StoredResult[]] {
  if (node.is === 'value') return [one, results(node.value === null ? null : JSON.stringify(node.value))]
  if (node.is === 'empty') return [emptyInPlaceOf(node.behind.length), results(...node.behind.map(String))]
  if (node.is === 'reference') return [one, [refer(...compiled(node.to))]]
  const members = node.members.map(compiled)
  return [(node.is === 'list' ? list : concat)(members.map(([shape]) => shape)), members.flatMap(([, inner]) => inner)]
}
