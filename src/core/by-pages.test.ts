import { expect, test } from 'vitest'
import { byPages, jobsPerTurn, mapByPages, nextTurn } from './by-pages.ts'

/** A loop whose turns are counted: what is asked for within one happens in the next. */
function loop() {
  let turn = 0
  const asked: (() => void)[] = []
  const run = (): void => {
    turn++
    for (const call of asked.splice(0)) call()
    if (asked.length > 0) setImmediate(run)
  }
  const soon = (call: () => void): void => {
    if (asked.push(call) === 1) setImmediate(run)
  }
  return { runtime: { soon }, turn: () => turn }
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

test('of all who wait for a turn one goes on in each, in the order in which they came', async () => {
  const { runtime, turn } = loop()
  const went: (readonly [number, number])[] = []
  await Promise.all(
    numbers(4).map(async (who) => {
      await nextTurn(runtime)
      went.push([who, turn()])
    }),
  )
  expect(went).toEqual(numbers(4).map((who) => [who, who + 1]))
})

test('two lists at once have their pages in turns of their own', async () => {
  const { runtime, turn } = loop()
  const pages: number[] = []
  const read = async (): Promise<void> => {
    for await (const page of byPages(runtime, numbers(25), 10)) {
      expect(page.length).toBeLessThanOrEqual(10)
      pages.push(turn())
    }
  }
  await Promise.all([read(), read()])
  expect(pages).toEqual([0, 0, 1, 2, 3, 4])
})

test('a list is mapped whole and in order; a short one in no turn at all', async () => {
  const { runtime, turn } = loop()
  for (const [count, turns] of [
    [0, 0],
    [jobsPerTurn, 0],
    [jobsPerTurn + 1, 1],
    [3 * jobsPerTurn, 2],
  ] as const) {
    const before = turn()
    expect(await mapByPages(runtime, numbers(count), (at) => 2 * at)).toEqual(numbers(count).map((at) => 2 * at))
    expect(turn() - before).toBe(turns)
  }
})
