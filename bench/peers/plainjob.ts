import { once, EventEmitter } from 'node:events'
import Database from 'better-sqlite3'
import { better, defineQueue, defineWorker, type Queue, type Worker } from 'plainjob'
import type { Run } from '../case.ts'
import { withScratchFile } from '../contenders/scratch-file.ts'

const quiet = { error: console.error, warn: () => {}, info: () => {}, debug: () => {} }
const payload = { x: 1, y: 1 }

/** It sets WAL and synchronous NORMAL itself; nothing it offers makes it faster than this. */
export function withPlainjob<T>(run: Run, use: (queue: Queue) => Promise<T> | T): Promise<T> {
  return withScratchFile(run, async (path) => {
    const queue = defineQueue({ connection: better(new Database(path)), logger: quiet })
    try {
      return await use(queue)
    } finally {
      queue.close()
    }
  })
}

export function addOneByOne(queue: Queue, count: number): void {
  for (let index = 0; index < count; index++) queue.add('bench.add', payload)
}

export function addByThousands(queue: Queue, count: number): void {
  const payloads = Array.from({ length: 1000 }, () => payload)
  for (let added = 0; added < count; added += payloads.length) queue.addMany('bench.add', payloads)
}

/** Milliseconds from the start of a worker until it has run and marked `count` jobs. Two or ten workers are no faster. */
export async function drainPlainjob(queue: Queue, count: number): Promise<number> {
  const done = new EventEmitter()
  let left = count
  const worker = plainjobWorker(
    queue,
    () => {},
    () => {
      if (--left === 0) done.emit('all')
    },
  )
  const all = once(done, 'all')
  const startedAt = performance.now()
  const stopped = worker.start()
  await all
  const took = performance.now() - startedAt
  await worker.stop()
  await stopped
  return took
}

/** Looks for jobs every millisecond when idle, which is as often as it can. */
export function plainjobWorker(queue: Queue, handler: () => void, onCompleted: () => void = () => {}): Worker {
  return defineWorker('bench.add', handler, { queue, logger: quiet, pollIntervall: 1, onCompleted })
}
