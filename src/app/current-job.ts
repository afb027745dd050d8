import { AsyncLocalStorage } from 'node:async_hooks'
import { CeleriacError } from '../core/errors.ts'
import type { CurrentJob } from '../core/handle.ts'
import { RetryDirective, SnoozeDirective } from './directives.ts'

/** Set by the worker around every handler. It lies here because handlers import the root, which never loads the worker. */
export const runningJob = new AsyncLocalStorage<CurrentJob>()

/**
 * The job that the calling handler runs as. Outside a worker it is inert: `log` and `progress` do nothing, `signal` never
 * aborts, and only `retry` and `snooze` still throw, so a handler can be called and tested as the plain function it is.
 * `completeWithin` is refused there: it has no transaction to give, and a handler must not take that for success.
 *
 * @example
 * const restore = app.task('restore', async (files: string[]) => {
 *   for (const [index, file] of files.entries()) {
 *     await restoreFile(file, { signal: currentJob().signal })
 *     currentJob().progress(index + 1, files.length)
 *   }
 * })
 */
export function currentJob(): CurrentJob {
  return runningJob.getStore() ?? inertJob
}

const inertJob: CurrentJob = {
  id: '',
  key: '',
  attempt: 1,
  collectionId: '',
  // A new one each time: one shared by the whole process would gather listeners for ever.
  get signal() {
    return new AbortController().signal
  },
  log: { info() {}, warn() {}, error() {} },
  progress() {},
  retry(options) {
    throw new RetryDirective(options)
  },
  snooze(delay) {
    throw new SnoozeDirective(delay)
  },
  completeWithin() {
    const advice = "send it as a job and run a worker; for a test, on new Celeriac({ url: 'sqlite::memory:' })"
    return Promise.reject(
      new CeleriacError('UNSUPPORTED', `completeWithin needs a worker that runs the job: ${advice}.`),
    )
  },
}
