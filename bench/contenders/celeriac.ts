import { Celeriac, type JobHandle, type Task } from 'celeriac'
import { Worker } from 'celeriac/worker'
import type { Run } from '../case.ts'
import { withScratchFile } from './scratch-file.ts'

/** `fast` is what plainjob does too: a commit is safe when the process dies, and may be lost when the power does. */
export type Mode = 'fast' | 'durable'

/** An app with a task that does nothing to speak of, and what a measurement asks of it. */
export interface Bench {
  readonly app: Celeriac
  readonly add: Task<(x: number, y: number) => number>
  /** Resolves when the handler has been called so often since the last call of this. */
  called(times: number): Promise<void>
}

export function withFreshBench<T>(run: Run, mode: Mode, use: (bench: Bench) => Promise<T>): Promise<T> {
  return withScratchFile(run, (path) => withBench(fileUrl(path, mode), use))
}

export const fileUrl = (path: string, mode: Mode): string => `sqlite:${path}?mode=${mode}`

export async function withBench<T>(url: string, use: (bench: Bench) => Promise<T>): Promise<T> {
  const app = new Celeriac({ url })
  try {
    return await use(bench(app))
  } finally {
    await app.close()
  }
}

function bench(app: Celeriac): Bench {
  let left = 0
  let reached = (): void => {}
  const add = app.task('bench.add', (x: number, y: number) => {
    if (--left === 0) reached()
    return x + y
  })
  return {
    app,
    add,
    called(times) {
      left = times
      return new Promise((resolve) => (reached = resolve))
    },
  }
}

export function argumentPairs(count: number): [number, number][] {
  return Array.from({ length: count }, (_, index): [number, number] => [index, 1])
}

/** Adds jobs a thousand at a time. */
export async function fill(task: Pick<Bench['add'], 'delayMany'>, count: number): Promise<JobHandle<number>[]> {
  const pairs = argumentPairs(1000)
  const handles: JobHandle<number>[] = []
  for (let added = 0; added < count; added += pairs.length) handles.push(...(await task.delayMany(pairs)))
  return handles
}

export type Awaitable = Pick<JobHandle<number>, 'result'>

/** The last settlement is still to be stored. Jobs finish nearly in order, so some of the last thousand tell. */
export async function settled(handles: readonly Awaitable[]): Promise<void> {
  const some = handles.slice(-1000).filter((_, index, { length }) => (length - index) % 200 === 1)
  await Promise.all(some.map((handle) => handle.result()))
}

/** Milliseconds from the start of a worker until it has run and settled what is in the store: `count` jobs. */
export async function drain({ app, called }: Bench, count: number, handles: readonly Awaitable[]): Promise<number> {
  const all = called(count)
  const worker = new Worker(app)
  const startedAt = performance.now()
  await worker.start()
  await all
  await settled(handles)
  const took = performance.now() - startedAt
  await worker.stop()
  await refuseLeftovers(app)
  return took
}

/** A figure for work that was not done would be worthless. */
export async function refuseLeftovers(app: Celeriac): Promise<void> {
  const left = await app.jobs.list({ state: ['queued', 'running', 'failed'], limit: 1 })
  if (left.items.length > 0) throw new Error(`a job was left ${left.items[0]?.state}`)
}
