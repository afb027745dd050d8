/** The cases that the scenario tests run, written as a user would write them: each compiles with its exact types (or, A5, does not). */
import { Celeriac, chain, chord, each, group } from 'celeriac'
import type { Canvas, FailureReport, SettledSummary } from 'celeriac'
const app = new Celeriac({ url: 'sqlite::memory:' })
const add = app.task('add', (x: number, y: number) => x + y)
const mul = app.task('mul', (x: number, y: number) => x * y)
const add1 = app.task('add1', (x: number) => x + 1)
const id = app.task('id', (x: any) => x)
const sum = app.task('sum', (xs: number[]) => xs.reduce((a, b) => a + b, 0))
const fail = app.task('fail', (..._: unknown[]): number => {
  throw new Error('Expected')
})
const failOnce = app.task('failOnce', { retry: { limit: 1 } }, (x: number) => x)
const slow = app.task('slow', async (ms: number, x: number) => (void ms, x))
const log = app.task('log', (x: unknown) => x)
const become = app.task('become', (x: number) => chain(id.s(x), id.s()))
const fan = app.task('fan', (xs: number[]) => group(...xs.map((x) => id.s(x))))
const onFailure = app.task('onFailure', (report: FailureReport) => report.job)
const onSettled = app.task('onSettled', (summary: SettledSummary) => summary.state)
const mother = app.task('mother', (depth: number): number | Canvas<number> =>
  depth ? chain(mother.s(depth - 1), add.s(1)) : 0,
)
export const cases: Record<string, Canvas<unknown>> = {
  A1: chain(add.s(4, 4), add.s(8), add.s(16)),
  A2: chain(add.s(1, 2), add.si(10, 10), add.s(1)),
  A3: chain(chain(id.s(1)), chain(add.s(1), add.s(1))),
  A4: chain(id.s(42)),
  A4b: id.s(42),
  A8: chain(add.s(1, 2), fail.s(), add.s(3)),
  A9: chain(id.s(1), failOnce.s(), add.s(1)),
  A12: chain(id.s(1), add.s(1).with({ queue: 'y' })).with({ queue: 'x', priority: 3 }),
  A13: chain(id.s(1), id.s()).with({ startIn: 300 }),
  A14: chain(id.s(0), ...Array.from({ length: 999 }, () => add.s(1))),
  B1: group(add.s(2, 2), add.s(4, 4)),
  B2: chain(id.s(1), group(id.s())),
  B3: group(),
  B3b: chain(id.s(1), group(), sum.s()),
  B3c: chord([], sum.s()),
  B4: group(id.s(1), group(id.s(2), group(id.s(3)))),
  B5: chain(id.s(42), group(id.s(), add.s(1))),
  B6: group(chain(id.s(1), group(id.s(), add.s(1))), id.s(9)),
  B7: chain(group(add.s(1, 2)), group(sum.s(), sum.s())),
  B8: chord([add.s(2, 2), add.s(4, 4)], sum.s()),
  B9: chord([chain(id.s(1), add.s(1)), id.s(5)], sum.s()),
  B11: chain(group(id.s(1), id.s(2), id.s(3)), group(id.s(), id.s(), id.s(), id.s()), group(id.s()), id.s()),
  B12: chord(
    Array.from({ length: 10_000 }, (_, i) => id.s(i)),
    sum.s(),
  ),
  B13: group(fail.s(), id.s(1), slow.s(200, 2)),
  B14: group(fail.s(), id.s(1), slow.s(200, 2)).failFast(),
  B15: chord([id.s(1), fail.s()], sum.s()),
  C1: chain(id.s(1), id.s()).onSuccess(log.s()),
  C2: group(...Array.from({ length: 42 }, () => fail.s())).onError(onFailure.s()),
  C3: chain(id.s(1), fail.s()).finally(onSettled.s()),
  C6: fail.s().onError(onFailure.s()).onError(onFailure.s()),
  C8: chain(fail.s(), id.s().onError(onFailure.s())),
  C8b: chain(fail.s(), group().onSuccess(log.s())),
  C9: chain(group(fail.s(), slow.s(300, 1)), id.s()).finally(onSettled.s()),
  C10: chain(fail.s().onError(onFailure.s()), id.s().onError(onFailure.s()), id.s().onError(onFailure.s())),
  D1: become.s(42),
  D1b: chain(id.s(1), become.s(), id.s()),
  D1c: group(become.s(1), id.s(1)),
  D1d: chord([become.s(1)], sum.s()),
  D1e: chord([id.s(1)], chain(sum.s(), become.s())),
  D2: mother.s(3),
  D3: chain(id.s([1, 2, 3]), fan.s(), sum.s()),
  D3b: chain(id.s([1, 2, 3]), each(add1), sum.s()),
  D4: chain(id.s([]), each(add1, { chunk: 100 })),
}
export { mul }
await app.submit(JSON.parse(JSON.stringify(cases['A1'])))
// @ts-expect-error A5
chain()
