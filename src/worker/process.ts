import type { Celeriac } from '../app/celeriac.ts'
import { Worker } from './worker.ts'
import type { WorkerOptions } from './settings.ts'

const signals = ['SIGTERM', 'SIGINT'] as const

/**
 * Runs a worker for as long as the process lives. The first SIGTERM or SIGINT claims no more and lets handlers finish for
 * the grace time; the second aborts them and gives their jobs back; the third ends the process at once.
 *
 * Resolves when the worker has stopped. A handler that did not heed its signal may still hold the process: exit then.
 *
 * @param tell for people: what is going on
 * @throws what `new Worker` and `start` throw
 * @example
 * await runWorkerProcess(app, { queues: ['shop'] }, console.error)
 * await app.close()
 */
export async function runWorkerProcess(
  app: Celeriac,
  options: WorkerOptions = {},
  tell: (message: string) => void = () => {},
): Promise<void> {
  const worker = new Worker(app, options)
  const { promise: stopped, resolve, reject } = Promise.withResolvers<void>()
  let count = 0
  const heed = (signal: NodeJS.Signals): void => {
    count++
    if (count > 2) process.exit(signal === 'SIGINT' ? 130 : 143)
    tell(
      count === 1
        ? 'Stopping: jobs that run may finish. Once more gives them back now.'
        : 'Giving back the jobs that run.',
    )
    worker.stop(count === 1 ? {} : { grace: 0 }).then(resolve, reject)
  }
  for (const signal of signals) process.on(signal, heed)
  try {
    await worker.start()
    tell('Working.')
    await stopped
  } finally {
    for (const signal of signals) process.off(signal, heed)
  }
}
