/* eslint @typescript-eslint/no-floating-promises: off */
// What a user is told about a mistake is part of the product: mistakes.txt holds the words. src/canvas/mistakes.test.ts
// compiles this file without its directives and compares them.
import { Celeriac, chain, chord, currentJob, each, group } from 'celeriac'
import type { DatabaseSync } from 'node:sqlite'
import type { Pool } from 'pg'
import { z } from 'zod'
import { add, app, configure, load, log, pad, ship, show, stats, sum, upper } from './tasks.ts'

declare const database: DatabaseSync
declare const pool: Pool

// @ts-expect-error the link does not fit
chain(add.s(1, 2), upper.s())
// @ts-expect-error in the middle of a long one, an object
chain(log.si('start'), load.si('7'), ship.s(), log.si('end'))
// @ts-expect-error every argument bound, after another step
chain(add.s(1, 2), add.s(3, 4))
// @ts-expect-error a task instead of a call of it
chain(add.s(1, 2), show)
// @ts-expect-error a task submitted instead of a call of it
app.submit(stats)
// @ts-expect-error the task was called instead of described
chain(add(1, 2), show.s())
// @ts-expect-error the task was sent instead of described
chain(add.delay(1, 2), show.s())
// @ts-expect-error submitting what still needs an input
app.submit(add.s(1))
// @ts-expect-error a chain whose first link still needs an input
app.submit(chain(add.s(1), show.s()))
// @ts-expect-error result that is not JSON
app.task('now', () => new Date())
// @ts-expect-error inside a result, of an async handler
app.task('rows', async (n: number) => {
  return { n, rows: [{ id: 1, createdAt: new Date() }] }
})
// @ts-expect-error argument that is not JSON
app.task('at', (id: string, when: Date) => id + when)
// @ts-expect-error recursion without a return type
const countdown = app.task('countdown', (n: number) => (n === 0 ? 0 : countdown.s(n - 1)))
// @ts-expect-error wrong arguments
add.s('1', 2)
// @ts-expect-error an argument too few
add.s()
// @ts-expect-error an argument too few, sent
add.delay(1)
// @ts-expect-error a misspelled property
configure.s({ deep: true, dept: 1 })
// @ts-expect-error neither with the first argument nor without
pad.s(true)
// @ts-expect-error forgotten await
add.delay(1, 2).result()
// @ts-expect-error a group with a bound member beside one that needs an input
chain(add.s(1, 2), group(add.s(1), add.s(2, 3)))
// @ts-expect-error each over two arguments
each(add)
// @ts-expect-error empty chain
chain()
// @ts-expect-error failFast elsewhere
chord([add.s(1, 2)], sum.s()).failFast()
// @ts-expect-error a duration
add.with({ startIn: '5 minutes' })
// @ts-expect-error a misspelled option
add.with({ priorty: 5 })
// @ts-expect-error a misspelled option of a task
app.task('x', { retries: 5 }, (n: number) => n)
// @ts-expect-error a branch that does not take a report
add.s(1, 2).onError(log.s())
// @ts-expect-error every argument of a branch bound
add.s(1, 2).onError(log.s('it failed'))
// @ts-expect-error a parameter without a type
app.task('x', (n) => `${n}`)
// @ts-expect-error a parameter without a type, with options
app.task('x', { queue: 'q' }, (n) => `${n}`)
const resize = app.task(
  'resize',
  { input: z.object({ at: z.iso.datetime().transform((s) => new Date(s)) }) },
  (input) => input.at.getTime(),
)
// @ts-expect-error callers give the type before parsing
resize.delay({ at: new Date() })
// @ts-expect-error a schema whose input JSON cannot carry
app.task('resize', { input: z.object({ at: z.date() }) }, (input) => input.at.getTime())
// @ts-expect-error a handler that contradicts its schema
app.task('resize', { input: z.string() }, (input: number) => input)
// @ts-expect-error a result that is not JSON, with a schema
app.task('resize', { input: z.string() }, (input) => new Date(input))
// @ts-expect-error chord body
chord([add.s(1, 2), show.s(1)], sum.s())
// @ts-expect-error returning a list of canvases
app.task('many', (xs: number[]) => xs.map((x) => show.s(x)))
// @ts-expect-error returning a handle
app.task('handle', (x: number) => show.delay(x))
// @ts-expect-error returning a canvas that is not ready
app.task('unready', (x: number) => add.s(x))
// @ts-expect-error a handle is not a result
const n: number = await add.delay(1, 2)
// @ts-expect-error using the void result
chain(log.s('x'), upper.s())
// @ts-expect-error an argument that is not JSON, of a task elsewhere
app.declare<(when: Date) => void>('elsewhere')
// @ts-expect-error retry does not narrow
app.task('y', (x: number): number => {
  const job = currentJob()
  if (x > 0) return x
  job.retry()
})
// @ts-expect-error optional then required
app.task('z', (x = 1, y: number) => x + y)
// @ts-expect-error undefined in lists
app.task('w', (xs: number[]) => xs.map((x) => (x ? x : undefined)))
// @ts-expect-error each given a bound signature
each(add.s(1, 2))
const perhapsNone = [1, 2].map((x) => add.s(x, x))
// @ts-expect-error a list of calls that take nothing
chain(...perhapsNone)
// @ts-expect-error a list of arguments instead of a list of lists
add.delayMany([1, 2])
// @ts-expect-error a misspelled option of the app
new Celeriac({ uri: 'x' })
const id = app.task('id', <T>(x: T) => x)
// @ts-expect-error the result of a generic task is not known
chain(id.s(1), add.s(2))
export function factory<T>(f: (x: T) => T) {
  // @ts-expect-error a handler whose types are not known yet
  return app.task('m', f)
}
export function factory2<T>(f: (x: T) => T) {
  return app.task<(x: any) => any>('m', f)
}
// @ts-expect-error a list given to group
group([add.s(1, 2), show.s(1)])
// @ts-expect-error a list given to chain
chain([add.s(1, 2), show.s()])
// @ts-expect-error a plain function as a link
chain(add.s(1, 2), (x: number) => x + 1)
// @ts-expect-error the header of a chord is no list
chord(add.s(1, 2), sum.s())
// @ts-expect-error a transaction for a part of a canvas
add.s(1, 2).with({ within: database })
// @ts-expect-error a pool in the place of a transaction
add.with({ within: pool })
// @ts-expect-error a completion whose result JSON cannot carry
app.task('seen', () => currentJob().completeWithin(() => ({ at: new Date() })))
