import { badOption, type OptionReaders, readOptions, shortText, wholeNumber } from '../core/option.ts'
import { shown } from '../core/text.ts'
import { type Duration, milliseconds } from '../core/time.ts'
import { logToStderr, type WorkerLog } from './report.ts'
import type { SoleAttempt } from './sole-attempt.ts'

export interface WorkerOptions {
  /** The queues to work on. Default: every queue. */
  readonly queues?: readonly string[] | undefined
  /** How many handlers may run at once, from 1 to 10,000. Default 20. */
  readonly concurrency?: number | undefined
  /** How long after the worker died its jobs are given to others, from 2 s to 1 h. Default 12 s. */
  readonly lease?: Duration | undefined
  /** How long `stop` waits for handlers before it aborts them. Default 10 s. */
  readonly grace?: Duration | undefined
  /**
   * Ends the process when a handler has blocked its event loop for 2 s longer than the job's timeout, after the worker's
   * other jobs have been released. While a handler blocks the loop longer than `grace`, SIGTERM and SIGINT end the process
   * at once. Default false: the process may have other work. The command `celeriac worker` has it on.
   */
  readonly exitWhenBlocked?: boolean | undefined
  /** What it is called where workers are listed. Default: host and process id. */
  readonly name?: string | undefined
  /** Told what the worker has to say. Default: warnings and errors as lines on stderr. */
  readonly log?: WorkerLog | undefined
  /** @internal Called before its handler is, and with null when none or several run: for a process that supervises this one. */
  readonly onSole?: ((attempt: SoleAttempt | null) => void) | undefined
}

/** Options, checked and filled in. Durations in milliseconds. */
export interface WorkerSettings {
  readonly queues: readonly string[] | null
  readonly concurrency: number
  readonly lease: number
  readonly grace: number
  readonly exitWhenBlocked: boolean
  readonly name: string | null
  readonly log: WorkerLog
  readonly onSole: ((attempt: SoleAttempt | null) => void) | null
}

/** @throws CeleriacError BAD_OPTION, BAD_DURATION */
export function workerSettings(options: WorkerOptions): WorkerSettings {
  const read = readOptions<Partial<WorkerSettings>>(options, readers, 'worker')
  const defaults = { queues: null, concurrency: 20, lease: 12_000, grace: 10_000, exitWhenBlocked: false }
  return { ...defaults, name: null, log: logToStderr, onSole: null, ...read }
}

/** A duration that `stop` may be given. @throws CeleriacError BAD_OPTION, BAD_DURATION */
export function stopSettings(options: { readonly grace?: Duration | undefined }): { readonly grace?: number } {
  return readOptions<{ grace?: number }>(options, { grace: readers.grace }, 'stop')
}

const [shortestLease, longestLease] = [2_000, 3_600_000]
const readQueue = shortText(128)

function readFunction(value: unknown, what: string): unknown {
  if (typeof value === 'function') return value
  throw badOption(what, `a function is needed, not ${shown(value)}`)
}

const readers: OptionReaders<Partial<WorkerSettings>> = {
  queues: (value, what) => {
    if (!Array.isArray(value)) throw badOption(what, `a list of names is needed, not ${shown(value)}`)
    if (value.length === 0) throw badOption(what, 'the list is empty: leave it out to work on every queue')
    return [...new Set(value.map((name, n) => readQueue(name, `${what}[${n}]`)))]
  },
  concurrency: wholeNumber(1, 10_000),
  lease: (value, what) => {
    const lease = milliseconds(value as Duration, what)
    if (lease >= shortestLease && lease <= longestLease) return lease
    throw badOption(what, `from 2 seconds to an hour is needed, not ${shown(value)}`)
  },
  grace: (value, what) => milliseconds(value as Duration, what),
  exitWhenBlocked: (value, what) => {
    if (typeof value === 'boolean') return value
    throw badOption(what, `true or false is needed, not ${shown(value)}`)
  },
  name: shortText(128),
  log: (value, what) => readFunction(value, what) as WorkerLog,
  onSole: (value, what) => readFunction(value, what) as WorkerSettings['onSole'],
}
