/* eslint @typescript-eslint/no-floating-promises: off, @typescript-eslint/await-thenable: off */
/** What must not compile. Each line is a mistake a user makes; the words that many of them get are in mistakes.txt. */
import { Celeriac, chain, chord, currentJob, each, group } from 'celeriac'
import type { Canvas, Signature, Task } from 'celeriac'
import { z } from 'zod'
import { add, alert, app, configure, load, log, pad, ship, show, stats, sum, upper } from './tasks.ts'

// ── links ────────────────────────────────────────────────────────────────────────────────────────────────────────
// @ts-expect-error previous result does not fit this task: number, string
chain(add.s(1, 2), upper.s())
chain(
  add.s(1, 2),
  add.s(1),
  add.s(1),
  add.s(1),
  add.s(1),
  add.s(1),
  add.s(1),
  add.s(1),
  add.s(1),
  show.s(),
  // @ts-expect-error at the very link, eleven in
  add.s(1),
  add.s(1),
  add.s(1),
  add.s(1),
  add.s(1),
  add.s(1),
  add.s(1),
  add.s(1),
  add.s(1),
  add.s(1),
)
// @ts-expect-error address.zip is a number there
chain(log.si('start'), load.si('7'), ship.s(), log.si('end'))
// @ts-expect-error every argument is bound: si
chain(add.s(1, 2), add.s(3, 4))
// @ts-expect-error nested chains too
chain(chain(add.s(1, 2)), chain(show.s()), chain(add.s(1)))
// @ts-expect-error a task, not a call of it
chain(add.s(1, 2), show)
// @ts-expect-error a task, not a call of it, at the head
chain(add, show.s())
// @ts-expect-error called
chain(add(1, 2), show.s())
// @ts-expect-error sent
chain(add.delay(1, 2), show.s())
// @ts-expect-error a plain function
chain(add.s(1, 2), (x: number) => x + 1)
// @ts-expect-error a list
chain([add.s(1, 2), show.s()])
// @ts-expect-error empty
chain()
// @ts-expect-error a void result
chain(log.s('x'), upper.s())
// @ts-expect-error each element must fit
chain(group(add.s(1, 2), show.s(2)), each(upper))
const steps: Signature<number, [number]>[] = []
// @ts-expect-error what follows a list is checked against the list's result, and against what came before it
chain(show.s(1), ...steps)
// @ts-expect-error and after it
chain(add.s(1, 1), ...steps, upper.s())
const bound: Signature<number>[] = []
// @ts-expect-error a list of fully bound calls cannot be a chain
chain(...bound)

// ── s ────────────────────────────────────────────────────────────────────────────────────────────────────────────
// @ts-expect-error wrong type
add.s('1', 2)
// @ts-expect-error only the first argument may be missing
add.s()
// @ts-expect-error too many
add.s(1, 2, 3)
// @ts-expect-error si takes all of them
add.si(1)
// @ts-expect-error
add.delay(1)
// @ts-expect-error a misspelled property
configure.s({ deep: true, dept: 1 })
// @ts-expect-error neither overload
pad.s(true)
// @ts-expect-error each list is an argument list
add.delayMany([1, 2])

// ── group, chord, each ───────────────────────────────────────────────────────────────────────────────────────────
// @ts-expect-error the second member takes nothing while the first needs an input
chain(add.s(1, 2), group(add.s(1), add.s(2, 3)))
// @ts-expect-error nor at the head
group(add.s(1), add.s(2, 3))
// @ts-expect-error every member takes the same input
chain(add.s(1, 2), group(add.s(1), upper.s()))
// @ts-expect-error bound members after a step
chain(add.s(1, 2), group(add.s(1, 2)))
// @ts-expect-error a list
group([add.s(1, 2), show.s(1)])
// @ts-expect-error [number, string] is no number[]
chord([add.s(1, 2), show.s(1)], sum.s())
// @ts-expect-error the body takes nothing
chord([add.s(1, 2)], sum.s([1]))
// @ts-expect-error not a list
chord(add.s(1, 2), sum.s())
// @ts-expect-error failFast is on groups
chord([add.s(1, 2)], sum.s()).failFast()
// @ts-expect-error failFast is on groups
add.s(1, 2).failFast()
// @ts-expect-error two arguments
each(add)
// @ts-expect-error no argument left
each(add.s(1, 2))
// @ts-expect-error no argument at all
each(stats)
// @ts-expect-error the elements do not fit
chain(group(show.s(1)), each(show))

// ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────────
// @ts-expect-error still needs its first argument
app.submit(add.s(1))
// @ts-expect-error still needs its first argument
app.submit(chain(add.s(1), show.s()))
// @ts-expect-error still needs its first argument
app.submit(each(show))
// @ts-expect-error a task
app.submit(stats)
// @ts-expect-error one of them
app.submitMany([add.s(1, 2), add.s(1)])

// ── branches ─────────────────────────────────────────────────────────────────────────────────────────────────────
// @ts-expect-error a report is no string
add.s(1, 2).onError(log.s())
// @ts-expect-error bound: si
add.s(1, 2).onError(log.s('it failed'))
// @ts-expect-error number
add.s(1, 2).onSuccess(upper.s())
// @ts-expect-error a summary is no report
add.s(1, 2).finally(alert.s())
// @ts-expect-error a task
add.s(1, 2).onError(alert)

// ── handlers ─────────────────────────────────────────────────────────────────────────────────────────────────────
// @ts-expect-error Date
app.task('x', () => new Date())
// @ts-expect-error Date, inside, async
app.task('x', async (n: number) => ({ n, rows: [{ id: 1, createdAt: new Date() }] }))
// @ts-expect-error Date, optional
app.task('x', (n: number): { at?: Date } => ({ ...(n ? { at: new Date() } : {}) }))
// @ts-expect-error Map
app.task('x', () => new Map([[1, 2]]))
// @ts-expect-error bigint
app.task('x', () => 1n)
// @ts-expect-error function
app.task('x', () => ({ f: () => 1 }))
// @ts-expect-error Error
app.task('x', () => new Error('x'))
// @ts-expect-error undefined in a list
app.task('x', (xs: number[]) => xs.map((x) => (x ? x : undefined)))
// @ts-expect-error a list of canvases
app.task('x', (xs: number[]) => xs.map((x) => show.s(x)))
// @ts-expect-error a handle
app.task('x', (x: number) => show.delay(x))
// @ts-expect-error a canvas that is not ready
app.task('x', (x: number) => add.s(x))
// @ts-expect-error a task
app.task('x', () => stats)
// @ts-expect-error Date argument
app.task('x', (id: string, when: Date) => id + when)
// @ts-expect-error Date argument, with options
app.task('x', { queue: 'q' }, (id: string, when: Date) => id + when)
// @ts-expect-error callback argument
app.task('x', (done: () => void) => done())
// @ts-expect-error undefined before another argument
app.task('x', (x = 1, y: number) => x + y)
// @ts-expect-error a parameter without a type
app.task('x', (n) => `${n}`)
// @ts-expect-error a parameter without a type, with options
app.task('x', { queue: 'q' }, (n) => `${n}`)
// @ts-expect-error recursion needs the return type written down
const endless = app.task('endless', (n: number) => (n === 0 ? 0 : endless.s(n - 1)))
// @ts-expect-error in another service as well
app.declare<(when: Date) => void>('elsewhere')
// @ts-expect-error a misspelled option
app.task('x', { retries: 5 }, (n: number) => n)
// @ts-expect-error a duration
add.with({ startIn: '5 minutes' })
// @ts-expect-error a misspelled option
add.with({ priorty: 5 })
// @ts-expect-error one key for many jobs
chain(add.s(1, 2)).with({ idempotencyKey: 'k' })
// @ts-expect-error a function cannot be stored with a call; it belongs to the task
add.with({ retry: { limit: 1, when: () => true } })
// @ts-expect-error not callable: options would not apply to a call here and now
add.with({ priority: 5 })(1, 2)
// @ts-expect-error a misspelled option
new Celeriac({ uri: 'x' })
// @ts-expect-error write `throw job.retry()`
app.task('y', (x: number): number => {
  const job = currentJob()
  if (x > 0) return x
  job.retry()
})

// ── schemas ──────────────────────────────────────────────────────────────────────────────────────────────────────
const resize = app.task(
  'resize',
  { input: z.object({ at: z.iso.datetime().transform((s) => new Date(s)) }) },
  (input) => input.at.getTime(),
)
// @ts-expect-error the wire type is a string
resize.delay({ at: new Date() })
// @ts-expect-error the handler is given the parsed type
resize({ at: '2026-01-01T00:00:00Z' })
// @ts-expect-error a schema whose input JSON cannot carry
app.task('x', { input: z.object({ at: z.date() }) }, (input) => input.at.getTime())
// @ts-expect-error the handler contradicts the schema
app.task('x', { input: z.string() }, (input: number) => input)
// @ts-expect-error more parameters than schemas
app.task('x', { input: [z.string()] }, (a, b: number) => `${a}${b}`)
// @ts-expect-error Date result
app.task('x', { input: z.string() }, (input) => new Date(input))

// ── options that are not built yet ───────────────────────────────────────────────────────────────────────────────
// @ts-expect-error no brokers yet
new Celeriac({ broker: 'amqp://…' })
// @ts-expect-error no limits yet
add.with({ concurrency: { key: 'k', limit: 1 } })
// @ts-expect-error no isolation yet
app.task('x', { isolate: 'thread' }, () => 1)

// ── handles ──────────────────────────────────────────────────────────────────────────────────────────────────────
// @ts-expect-error forgotten await
add.delay(1, 2).result()
// @ts-expect-error a handle is not a result
const n: number = await add.delay(1, 2)
// @ts-expect-error a canvas is not a result
const m: number = await chain(add.s(1, 2))

// ── annotations ──────────────────────────────────────────────────────────────────────────────────────────────────
// @ts-expect-error needs an input
const c1: Canvas<number> = add.s(1)
// @ts-expect-error takes none
const c2: Canvas<number, [number]> = add.s(1, 2)
// @ts-expect-error wrong result
const c3: Canvas<string> = add.s(1, 2)
// @ts-expect-error a narrower argument
const t1: Task<(x: number | string) => unknown> = show
export function unfit<A, B>(a: Canvas<A>, b: Canvas<B, [B]>): Canvas<B> {
  // @ts-expect-error in generic code
  return chain(a, b)
}
export { c1, c2, c3, endless, m, n, t1 }
