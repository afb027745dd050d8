import { expect, test } from 'vitest'
import { rememberedOwners } from './owners.ts'

/** A store that notes what it is asked for, and answers when it is let. */
function asked() {
  const calls: (readonly string[])[] = []
  const gates: (() => void)[] = []
  const actorsOf = async (ids: readonly string[]) => {
    calls.push(ids)
    await new Promise<void>((resolve) => gates.push(resolve))
    return new Map(ids.filter((id) => id !== 'gone').map((id) => [id, id === 'nobodys' ? null : `of ${id}`]))
  }
  return { calls, gates, connect: async () => ({ engine: { actorsOf } }) }
}

async function answered<T>(promise: Promise<T>, gates: (() => void)[]): Promise<T> {
  while (gates.length === 0) await Promise.resolve()
  for (const open of gates.splice(0)) open()
  return promise
}

test('each collection is asked for once', async () => {
  const { calls, gates, connect } = asked()
  const find = rememberedOwners(connect)
  const first = await answered(find(['a', 'nobodys', 'a', 'gone']), gates)
  expect([...first]).toEqual([
    ['a', 'of a'],
    ['nobodys', null],
  ])
  expect([...(await find(['nobodys', 'a']))]).toEqual([
    ['nobodys', null],
    ['a', 'of a'],
  ])
  expect(calls).toEqual([['a', 'nobodys', 'gone']])
})

test('what is forgotten meanwhile is still told to who asked', async () => {
  const { calls, gates, connect } = asked()
  const find = rememberedOwners(connect, 1)
  await answered(find(['a', 'b']), gates)
  const both = find(['a', 'c'])
  const meanwhile = find(['d'])
  expect(await answered(both, gates)).toEqual(
    new Map([
      ['a', 'of a'],
      ['c', 'of c'],
    ]),
  )
  expect([...(await meanwhile)]).toEqual([['d', 'of d']])
  expect(calls).toEqual([['a', 'b'], ['a', 'c'], ['d']])
})
