/* eslint @typescript-eslint/only-throw-error: off */
/** Everything the public surface promises, with the exact types. Compiles, or the contract is broken. */
import { Celeriac, chain, chord, currentJob, each, group } from 'celeriac'
import type {
  Canvas,
  CollectionHandle,
  FailureReport,
  Group,
  JobHandle,
  SettledSummary,
  Signature,
  Task,
} from 'celeriac'
import { z } from 'zod'

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
declare function same<A, B>(proof: Same<A, B>): void

const app = new Celeriac()

// ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────
const add = app.task('math.add', (x: number, y: number) => x + y)
const mul = app.task('math.mul', (x: number, y: number) => x * y)
const show = app.task('show', async (x: number) => `${x}`)
const upper = app.task('upper', (text: string) => text.toUpperCase())
const len = app.task('len', (text: string) => text.length)
const sum = app.task('sum', (xs: readonly number[]) => xs.reduce((a, b) => a + b, 0))
const buy = app.task('tables.buy', { retry: { limit: 5 }, queue: 'shop' }, async (shop: string) => ({ shop, legs: 4 }))
const clean = app.task('tables.clean', (table: { legs: number }) => table.legs)
const stats = app.task('stats', () => ({ total: 1 }))
const log = app.task('log', async (line: string) => {
  void line
})
const fail = app.task('fail', (...args: unknown[]): never => {
  throw new Error(String(args))
})

same<typeof add, Task<(x: number, y: number) => number>>(true)
same<typeof stats, Task<() => { total: number }>>(true)
same<typeof buy, Task<(shop: string) => Promise<{ shop: string; legs: number }>>>(true)

// a task is still the plain function
const four: number = add(2, 2)
const text: string = await show(2)
same<typeof add.name, string>(true)
const adder: (x: number, y: number) => number = add
const bound: (y: number) => number = add.bind(null, 1)

const job = await add.delay(2, 2)
same<typeof job, JobHandle<number>>(true)
same<Awaited<ReturnType<typeof job.result>>, number>(true)
const later = await add.with({ startIn: '5m', priority: 5, idempotencyKey: 'k' }).delay(2, 2)
same<typeof later, JobHandle<number>>(true)
const many = await add.delayMany([
  [1, 2],
  [3, 4],
])
same<typeof many, JobHandle<number>[]>(true)
const rows: readonly { a: number; b: number }[] = []
await add.delayMany(rows.map((row) => [row.a, row.b]))
await sum.delayMany([[[1, 2, 3]], [[4]]])
const logged = await log.delay('x')
same<typeof logged, JobHandle<undefined>>(true)

// ── wire types and parsed types ──────────────────────────────────────────────────────────────────────────────────
const ResizeInput = z.object({
  url: z.string(),
  width: z.number().default(100),
  takenAt: z.iso.datetime().transform((s) => new Date(s)),
})
const resize = app.task('images.resize', { input: ResizeInput }, async (input) => {
  same<typeof input, { url: string; width: number; takenAt: Date }>(true)
  return { url: input.url, year: input.takenAt.getFullYear() }
})
await resize.delay({ url: 'a', takenAt: '2026-01-01T00:00:00Z' })
await resize({ url: 'a', width: 3, takenAt: new Date() })
const pair = app.task('pair', { input: [z.string(), z.coerce.number<string>()] }, (name, count) => {
  same<typeof name, string>(true)
  same<typeof count, number>(true)
  return count
})
await pair.delay('a', '5')
const pairRest = pair.s('5')
same<typeof pairRest, Signature<number, [string]>>(true)
const pairAll = pair.s('a', '5')
same<typeof pairAll, Signature<number, []>>(true)
const resized = resize.s()
type WireOf<S> = S extends Signature<any, [infer A]> ? { [K in keyof A]: A[K] } : never
same<WireOf<typeof resized>, { url: string; takenAt: string; width?: number | undefined }>(true)
const typed = app.task('typed', { input: z.string(), queue: 'q' }, (input: string): number => input.length)
await typed.delay('x')

interface CropInput {
  url: string
  box?: readonly [number, number, number, number]
}
interface Crop {
  url: string
}
const crop = app.declare<(input: CropInput) => Promise<Crop>>('images.crop')
same<typeof crop, Task<(input: CropInput) => Promise<Crop>>>(true)
await crop.delay({ url: 'a' })
const cropped = crop.s({ url: 'a', box: [1, 2, 3, 4] })
same<typeof cropped, Signature<Crop, []>>(true)

// ── signatures ───────────────────────────────────────────────────────────────────────────────────────────────────
const whole = add.s(1, 2)
const part = add.s(2)
const ignoring = add.si(1, 2)
same<typeof whole, Signature<number, []>>(true)
same<typeof part, Signature<number, [number]>>(true)
same<typeof ignoring, Signature<number, unknown[]>>(true)

// optional, default and rest parameters: the position decides, so a call may fit both
const pad = app.task('pad', (text: string, width?: number, fill = ' ') => text.padStart(width ?? 0, fill))
same<typeof pad, Task<(text: string, width?: number, fill?: string) => string>>(true)
const p0 = pad.s(),
  p1 = pad.s('x'),
  p2 = pad.s(5),
  p3 = pad.s('x', 5),
  p4 = pad.s(5, '-'),
  p5 = pad.s('x', 5, '-')
same<
  [typeof p0, typeof p1, typeof p2, typeof p3, typeof p4, typeof p5],
  [
    Signature<string, [string]>,
    Signature<string, []>,
    Signature<string, [string]>,
    Signature<string, []>,
    Signature<string, [string]>,
    Signature<string, []>,
  ]
>(true)
const inc = app.task('inc', (x: number, by?: number) => x + (by ?? 1))
const i0 = inc.s(),
  i1 = inc.s(5),
  i2 = inc.s(5, 2)
same<
  [typeof i0, typeof i1, typeof i2],
  [Signature<number, [number]>, Signature<number, [] | [number]>, Signature<number, []>]
>(true)
await app.submit(inc.s(5))
const incTwice = chain(inc.s(5), inc.s(5))
same<typeof incTwice, Canvas<number, [] | [number]>>(true)
const maybe = app.task('maybe', (x?: number) => x ?? 0)
const m0 = maybe.s(),
  m1 = maybe.s(1)
same<[typeof m0, typeof m1], [Signature<number, [] | [number | undefined]>, Signature<number, []>]>(true)
const join = app.task('join', (...parts: string[]) => parts.join())
const j1 = join.s('a', 'b')
same<typeof j1, Signature<string, [] | [string]>>(true)
const joinWith = app.task('joinWith', (glue: string, ...parts: number[]) => parts.join(glue))
const jw0 = joinWith.s('-', 1, 2),
  jw1 = joinWith.s(1, 2),
  jw2 = joinWith.s()
same<
  [typeof jw0, typeof jw1, typeof jw2],
  [Signature<string, []>, Signature<string, [string]>, Signature<string, [string]>]
>(true)

// ── chain ────────────────────────────────────────────────────────────────────────────────────────────────────────
const a1 = chain(add.s(4, 4), add.s(8), add.s(16))
same<typeof a1, Canvas<number, []>>(true)
const a2 = chain(add.s(1, 2), add.si(10, 10), add.s(1))
same<typeof a2, Canvas<number, []>>(true)
const a3 = chain(chain(inc.s(1)), chain(add.s(1), show.s()))
same<typeof a3, Canvas<string, [] | [number]>>(true)
const needing = chain(add.s(1), show.s(), upper.s())
same<typeof needing, Canvas<string, [number]>>(true)
const a8 = chain(add.s(1, 2), fail.s(), add.s(3))
same<typeof a8, Canvas<number, []>>(true)
const shopped = chain(buy.s('ikea'), clean.s())
same<typeof shopped, Canvas<number, []>>(true)
const long = chain(
  add.s(1, 1),
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
  show.s(),
  len.s(),
)
same<typeof long, Canvas<number, []>>(true)
// a list of unknown length, after, before and between
const steps: Signature<number, [number]>[] = Array.from({ length: 1000 }, () => add.s(1))
const s1 = chain(add.s(1, 1), ...steps)
const s2 = chain(add.s(1, 1), ...steps, show.s())
const s3 = chain(add.s(1, 1), ...steps, show.s(), len.s())
same<[typeof s1, typeof s2, typeof s3], [Canvas<number, []>, Canvas<string, []>, Canvas<number, []>]>(true)

// ── group, chord ─────────────────────────────────────────────────────────────────────────────────────────────────
const b1 = group(add.s(2, 2), show.s(4))
same<typeof b1, Group<[number, string], []>>(true)
const b2 = chain(add.s(1, 1), group(add.s(1)))
same<typeof b2, Canvas<[number], []>>(true)
const b3 = group()
same<typeof b3, Group<[], unknown[]>>(true)
const b3b = chain(add.s(1, 1), group(), sum.s())
same<typeof b3b, Canvas<number, []>>(true)
const b4 = group(add.s(1, 1), group(show.s(2), group(add.s(3, 3))))
same<typeof b4, Group<[number, [string, [number]]], []>>(true)
const b5 = chain(add.s(42, 0), group(add.s(0), show.s()))
same<typeof b5, Canvas<[number, string], []>>(true)
const b7 = chain(group(add.s(1, 2)), group(sum.s(), sum.s()))
same<typeof b7, Canvas<[number, number], []>>(true)
const b8 = chord([add.s(2, 2), add.s(4, 4)], sum.s())
same<typeof b8, Canvas<number, []>>(true)
const empty = chord([], sum.s())
same<typeof empty, Canvas<number, unknown[]>>(true)
const b9 = chord([chain(add.s(1, 1), add.s(1)), add.s(5, 0)], sum.s())
same<typeof b9, Canvas<number, []>>(true)
const spread = group(...[1, 2, 3].map((x) => add.s(x, x)))
same<typeof spread, Group<number[], []>>(true)
const spreadChord = chord(
  [1, 2, 3].map((x) => add.s(x, x)),
  sum.s(),
)
same<typeof spreadChord, Canvas<number, []>>(true)
const spreadMixed = group(show.s(1), ...[1, 2, 3].map((x) => add.s(x, x)))
same<typeof spreadMixed, Group<[string, ...number[]], []>>(true)
// members that need an input beside members that ignore it, or may take it
const mixed = group(add.s(1), add.si(1, 2))
same<typeof mixed, Group<[number, number], [number]>>(true)
const mixed2 = group(add.s(1), maybe.s(), inc.s(2))
same<typeof mixed2, Group<[number, number, number], [number]>>(true)
const mixed3 = group(inc.s(1), inc.si(2))
same<typeof mixed3, Group<[number, number], [] | [number]>>(true)
const mixed4 = group(inc.s(1), add.s(2, 2))
same<typeof mixed4, Group<[number, number], []>>(true)
const ff = group(add.s(1, 1), add.s(2, 2)).failFast().with({ queue: 'x' })
same<typeof ff, Group<[number, number], []>>(true)
const chordThenGroup = chord([b8, chord([add.s(1, 1)], sum.s())], group(sum.s(), chain(sum.s(), show.s())))
same<typeof chordThenGroup, Canvas<[number, string], []>>(true)

// ── each ─────────────────────────────────────────────────────────────────────────────────────────────────────────
const e1 = each(show)
same<typeof e1, Canvas<string[], [readonly number[]]>>(true)
const e2 = each(show, { chunk: 100 })
same<typeof e2, Canvas<string[], [readonly number[]]>>(true)
const e3 = each(inc)
same<typeof e3, Canvas<number[], [readonly number[]]>>(true)
const e4 = each(sum)
same<typeof e4, Canvas<number[], [readonly (readonly number[])[]]>>(true)
const e5 = each(add.s(1))
same<typeof e5, Canvas<number[], [readonly number[]]>>(true)
const e6 = each(chain(add.s(1), show.s()))
same<typeof e6, Canvas<string[], [readonly number[]]>>(true)
const e7 = each(show.with({ queue: 'x' }))
same<typeof e7, Canvas<string[], [readonly number[]]>>(true)
const list = app.task('list', () => [1, 2, 3])
const e8 = chain(list.s(), each(show), each(len), sum.s())
same<typeof e8, Canvas<number, []>>(true)
const e9 = chain(group(add.s(1, 1), add.s(2, 2)), each(show))
same<typeof e9, Canvas<string[], []>>(true)

// ── handlers that return a canvas ────────────────────────────────────────────────────────────────────────────────
const become = app.task('become', (x: number) => chain(add.s(x, 1), show.s()))
const became = become.s(1)
same<typeof became, Signature<string, []>>(true)
const fan = app.task('fan', (xs: number[]) => group(...xs.map((x) => show.s(x))))
const fanned = fan.s()
same<typeof fanned, Signature<string[], [number[]]>>(true)
const either = app.task('either', (x: number): number | Canvas<number> => (x > 0 ? x : add.s(x, 1)))
const eithered = either.s(1)
same<typeof eithered, Signature<number, []>>(true)
const inferred = app.task('inferred', async (x: number) => (x > 0 ? 'none' : chain(add.s(x, 1), add.s(2))))
const inferredSig = inferred.s(1)
same<typeof inferredSig, Signature<number | 'none', []>>(true)
const countdown = app.task('countdown', (n: number): number | Canvas<number> => (n === 0 ? 0 : countdown.s(n - 1)))
same<typeof countdown, Task<(n: number) => number | Canvas<number>>>(true)
const counted = await countdown.delay(3)
same<typeof counted, JobHandle<number>>(true)
const countdownAsync = app.task(
  'countdownAsync',
  { retry: { limit: 1 } },
  async (n: number): Promise<number | Canvas<number>> => (n === 0 ? 0 : countdownAsync.s(n - 1)),
)
const cs = countdownAsync.s()
same<typeof cs, Signature<number, [number]>>(true)
const ping = app.task('ping', (n: number): number | Canvas<number> => (n ? pong.s(n - 1) : n))
const pong = app.task('pong', (n: number): number | Canvas<number> => (n ? ping.s(n - 1) : n))
const recursiveInput = app.task(
  'walk',
  { input: z.object({ depth: z.number() }) },
  async (input): Promise<number | Canvas<number>> => (input.depth ? recursiveInput.s({ depth: 1 }) : 0),
)
const maybeCanvas = app.task('perhaps', async (x: number) => {
  if (x) return add.s(1, 2)
})
const mc = maybeCanvas.s(1)
same<typeof mc, Signature<number | undefined, []>>(true)

// ── side branches ────────────────────────────────────────────────────────────────────────────────────────────────
const alert = app.task('alert', (report: FailureReport) => report.failure.message)
const alertShort = app.task('alertShort', (report: { failure: { message: string } }) => report.failure.message)
const sweep = app.task('sweep', (summary: SettledSummary) => summary.state)
const branched = a1
  .onSuccess(show.s())
  .onError(alert.s())
  .onError(alertShort.s())
  .finally(sweep.s())
  .finally(log.si('done'))
same<typeof branched, Canvas<number, []>>(true)
const branchedGroup = group(add.s(1, 1)).onError(alert.s()).failFast()
same<typeof branchedGroup, Group<[number], []>>(true)
const branchedSignature = add.s(1, 1).onError(chain(alert.s(), log.s()))
same<typeof branchedSignature, Signature<number, []>>(true)

// ── submitting ───────────────────────────────────────────────────────────────────────────────────────────────────
const collection = await app.submit(chain(buy.s('ikea'), clean.s()), {
  description: 'Buy',
  actor: { id: 'user-7' },
  tags: ['shop'],
  callback: { url: 'https://…', results: 'none' },
})
same<typeof collection, CollectionHandle<number>>(true)
await app.submit(add.si(1, 2))
await app.submit(group())
await app.submit(maybe.s())
await app.submit(each(show.s()).with({}) && add.s(1, 2))
const [c1, c2] = await app.submitMany([add.s(1, 2), chain(add.s(1, 2), show.s())])
same<[typeof c1, typeof c2], [CollectionHandle<number>, CollectionHandle<string>]>(true)
const cMany = await app.submitMany([1, 2].map((x) => add.s(x, x)))
same<typeof cMany, CollectionHandle<number>[]>(true)
for await (const event of collection.events()) {
  if (event.type === 'snapshot' && event.collection.state === 'succeeded')
    same<typeof event.collection.result, number>(true)
}
const snapshot = await job.snapshot()
if (snapshot.state === 'succeeded') same<typeof snapshot.result, number>(true)
await app.jobs.list({ state: 'failed', task: 'tables.*', after: '-1h' })

// ── in a handler ─────────────────────────────────────────────────────────────────────────────────────────────────
const careful = app.task('careful', async (x: number) => {
  const current = currentJob()
  current.progress(1, 2, 'half')
  if (x < 0) throw current.retry({ in: '5s' })
  if (x > 9) return current.snooze('1h')
  return x
})
const carefulSig = careful.s(1)
same<typeof carefulSig, Signature<number, []>>(true)

// ── generic helpers over canvases ────────────────────────────────────────────────────────────────────────────────
function thenLog<R>(work: Canvas<R>, step: Canvas<string, [R]>): Canvas<undefined> {
  return chain(work, step, log.s())
}
function both<A, B>(a: Canvas<A>, b: Canvas<B>): Canvas<[A, B]> {
  return group(a, b)
}
async function run<R>(work: Canvas<R>): Promise<R> {
  return (await app.submit(work.with({ priority: 1 }))).result()
}
function twice<A>(step: Canvas<A, [A]>): Canvas<A, [A]> {
  return chain(step, step)
}
function anyOf(works: Canvas<number>[]): Canvas<number[]> {
  return group(...works)
}
function batch<A extends unknown[], R>(task: Task<(...args: A) => R>, lists: A[]) {
  return group(...lists.map((args) => task.s(...args)))
}
const batched = batch(add, [
  [1, 2],
  [3, 4],
])
const batchedReady: Canvas<number[]> = batched
async function sendLater<A extends unknown[], R>(task: Task<(...args: A) => R>, ...args: A) {
  return task.with({ startIn: '1h' }).delay(...args)
}
const sentLater = await sendLater(show, 3)
same<typeof sentLater, JobHandle<string>>(true)
function named<R>(make: () => Canvas<R>) {
  return app.task('made', make)
}
const made = named(() => add.s(1, 2))
const fib = app.task('fib', (n: number): number | Canvas<number> =>
  n < 2 ? n : chain(group(fib.s(n - 1), fib.s(n - 2)), sum.s()),
)
const down: Task<(n: number) => number | Canvas<number>> = app.task('down', (n) => (n === 0 ? 0 : down.s(n - 1)))
const failFastChord = chord(group(add.s(1, 1), add.s(2, 2)).failFast(), sum.s())
same<typeof failFastChord, Canvas<number, []>>(true)
const t1 = twice(add.s(1))
same<typeof t1, Canvas<number, [number]>>(true)
const asCanvas: Canvas<number> = add.si(1, 2)
const asCanvas2: Canvas<number | string, [5]> = add.s(1)
const asCanvas3: Canvas<readonly unknown[]> = b1

const audit = app.task('audit', (event: { id: string }) => {
  void event
})
const hook: Task<(event: { id: string; type: 'done' }) => unknown> = audit
const hook2: Canvas<unknown, [{ id: string; type: 'done' }]> = audit.s()

export {
  batchedReady,
  hook,
  hook2,
  adder,
  down,
  fib,
  made,
  anyOf,
  asCanvas,
  asCanvas2,
  asCanvas3,
  both,
  bound,
  four,
  mul,
  run,
  text,
  thenLog,
}
