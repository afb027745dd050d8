import type { Command } from 'commander'
import type { Duration } from '../core/time.ts'
import { readCount } from './list-options.ts'
import { readPort } from './server.ts'

export interface OwnWorkerOptions {
  readonly queues?: readonly string[]
  readonly concurrency?: number
  readonly name?: string
  readonly lease?: Duration
  readonly grace?: Duration
  /** Commander's way: true unless the option begins with `no-`. */
  readonly exitWhenBlocked?: boolean
  /** Where it serves the HTTP API too: for the worker that `dev` runs. */
  readonly http?: ServedAt
}

/** A port; or 8080, and where that is taken any other. */
export type ServedAt = number | 'anywhere'

export const readServedAt = (text: string): ServedAt => (text === 'anywhere' ? text : readPort(text))

/** @param grace what it is where it is not given */
export const addWorkerOptions = (command: Command, grace: string): Command =>
  command
    .option('--queues <names>', 'work on these queues only, separated by commas', readNames)
    .option('--concurrency <count>', 'how many jobs at once (default: 20)', readCount)
    .option('--name <name>', 'what it is called where workers are listed')
    .option('--lease <duration>', 'how long after its death others take its jobs (default: 12s)')
    .option('--grace <duration>', `how long it waits for jobs when it stops (default: ${grace})`)
    .option('--no-exit-when-blocked', 'go on where a job blocks the process past its timeout; else the process ends')

/** The same options again, for the process that is to work. */
export function writeWorkerOptions({
  queues,
  concurrency,
  name,
  lease,
  grace,
  exitWhenBlocked,
  http,
}: OwnWorkerOptions): string[] {
  const written = { queues: queues?.join(','), concurrency, name, lease, grace, http }
  const given = Object.entries(written).flatMap(([option, value]) =>
    value === undefined ? [] : [`--${option}`, String(value)],
  )
  return exitWhenBlocked === false ? [...given, '--no-exit-when-blocked'] : given
}

const readNames = (text: string): string[] => text.split(',').map((name) => name.trim())
