import { EventEmitter, once } from 'node:events'
import { Logger, makeWorkerUtils, run as startRunner, type Runner, type WorkerUtils } from 'graphile-worker'
import pg from 'pg'
import type { Figures } from '../case.ts'
import { latencyHere } from '../contenders/latency.ts'

/** `batching`: as its own page on performance sets it. `plain`: a request for each job that is claimed or done. */
export type Mode = 'batching' | 'plain'

const quiet = new Logger(() => () => {})
const payload = { x: 1, y: 1 }

function preset(url: string, mode: Mode) {
  const batching = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }
  return {
    worker: {
      connectionString: url,
      concurrentJobs: 24,
      maxPoolSize: 25,
      logger: quiet,
      ...(mode === 'batching' ? batching : {}),
    },
  }
}

export async function withGraphile<T>(url: string, use: (utils: WorkerUtils) => Promise<T>): Promise<T> {
  const utils = await makeWorkerUtils({ connectionString: url, logger: quiet })
  try {
    await utils.migrate()
    return await use(utils)
  } finally {
    await utils.release()
  }
}

/** By calls of `addJobs`, a thousand in each. */
export async function addByThousands(utils: WorkerUtils, count: number): Promise<void> {
  const jobs = Array.from({ length: 1000 }, () => ({ identifier: 'bench_add', payload }))
  for (let added = 0; added < count; added += jobs.length) await utils.addJobs(jobs)
}

/** A worker that calls `handler` for each job. */
export function startGraphile(url: string, mode: Mode, handler: () => void): Promise<Runner> {
  return startRunner({ preset: preset(url, mode), noHandleSignals: true, taskList: { bench_add: handler } })
}

/** Milliseconds from the start of a worker until it has run `count` jobs and nothing is left of them. */
export async function drainGraphile(url: string, count: number, mode: Mode): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const calls = new EventEmitter()
  const all = once(calls, 'all')
  let left = count
  const startedAt = performance.now()
  const runner = await startGraphile(url, mode, () => {
    if (--left === 0) calls.emit('all')
  })
  await all
  while (await hasJobs(client)) await new Promise((resolve) => setTimeout(resolve, 1))
  const took = performance.now() - startedAt
  await runner.stop()
  await client.end()
  return took
}

/** From the call of `addJob` to the first line of the handler in the same process. */
export function graphileLatency(url: string, count: number): Promise<Figures> {
  return withGraphile(url, async (utils) => {
    let began = (): void => {}
    const runner = await startGraphile(url, 'plain', () => began())
    const figures = await latencyHere(count, (begins) => {
      began = begins
      return addOne(utils)
    })
    await runner.stop()
    return figures
  })
}

export async function addOne(utils: WorkerUtils): Promise<void> {
  await utils.addJob('bench_add', payload)
}

async function hasJobs(client: pg.Client): Promise<boolean> {
  const { rowCount } = await client.query('select from graphile_worker._private_jobs limit 1')
  return rowCount === 1
}
