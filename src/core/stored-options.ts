import { limits, retryDefaults } from './limits.ts'
import type { RetryPolicy, StoredOptions } from './job.ts'
import { badOption, isTrue, readOptions, refused, reserved, shortText, wholeNumber } from './option.ts'
import type { OptionReader, OptionReaders } from './option.ts'
import type { JobOptions } from './options.ts'
import { shown } from './text.ts'
import { type Duration, instant, milliseconds } from './time.ts'

/** The options of a job that sets none. */
export const noOptions: StoredOptions = Object.freeze({})

/**
 * Checks job options and puts them into the form they are stored in: durations in milliseconds, nothing that is undefined.
 * `what` is the place they were given in, for errors.
 *
 * @throws CeleriacError BAD_OPTION, BAD_DURATION, BAD_INSTANT
 * @example
 * storedOptions({ queue: 'shop', timeout: '5m' }, 'canvas.with') // { queue: 'shop', timeout: 300_000 }
 */
export function storedOptions(options: JobOptions, what: string): StoredOptions {
  const stored = readOptions<JobOptionsRead>(options, canvasReaders, what)
  checkStart(stored, what)
  return stored
}

/** The options of a job: its own and, where it has none, those of what is around it. */
export function inherit(own: StoredOptions, outer: StoredOptions): StoredOptions {
  if (own === outer || outer === noOptions) return own
  if (own === noOptions) return outer
  if (own.startIn === undefined && own.startAt === undefined) return { ...outer, ...own }
  // Two ways to say one thing: the nearer hides the other.
  const { startIn, startAt, ...rest } = outer
  return { ...rest, ...own }
}

/** Only one of the two ways to hold a job back may be given in one place. */
export function checkStart(options: StoredOptions, what: string): void {
  if (options.startIn !== undefined && options.startAt !== undefined) {
    throw badOption(what, 'give startIn or startAt, not both')
  }
}

/** A reader of durations that may not be 0, which some take for "never". */
export const longerThanNothing: OptionReader<number> = (value, what) => {
  const ms = milliseconds(value as Duration, what)
  if (ms > 0) return ms
  throw badOption(what, `it is ${shown(value)}, more than 0 is needed: leave it out for no limit`)
}

type JobOptionsRead = Omit<StoredOptions, 'chunked'> & { readonly concurrency?: never }

const readInstant: OptionReader<number> = (value, what) => instant(value as Date, what)
const readDuration: OptionReader<number> = (value, what) => milliseconds(value as Duration, what)

const readTag = shortText(limits.tag)
const readTags: OptionReader<readonly string[]> = (value, what) => {
  if (!Array.isArray(value)) throw badOption(what, `a list of texts is needed, not ${shown(value)}`)
  if (value.length > limits.tags) throw badOption(what, `there are ${value.length} tags, the most are ${limits.tags}`)
  return [...new Set(Array.from(value, (tag, n) => readTag(tag, `${what}[${n}]`)))]
}

interface BackoffRead {
  readonly base?: number
  readonly factor?: number
  readonly max?: number
  readonly jitter?: boolean
}

const backoffReaders: OptionReaders<BackoffRead> = {
  base: readDuration,
  factor: (value, what) => {
    if (typeof value === 'number' && value >= 1 && value <= limits.factor) return value
    throw badOption(what, `a number from 1 to ${limits.factor} is needed, not ${shown(value)}`)
  },
  max: readDuration,
  jitter: isTrue,
}

const retryReaders: OptionReaders<{ readonly limit?: number; readonly backoff?: BackoffRead; readonly when?: never }> =
  {
    limit: wholeNumber(0, limits.retries),
    backoff: (value, what) => readOptions<BackoffRead>(value, backoffReaders, what),
    when: refused('a function cannot be stored: give it in the options of the task'),
  }

/** Reads a retry option without `when`, filling in the defaults. */
export const readRetry: OptionReader<RetryPolicy> = (value, what) => {
  if (typeof value !== 'object') throw badOption(what, `write { limit: … }, not ${shown(value)}`)
  const { limit, backoff } = readOptions(value, retryReaders, what)
  if (limit === undefined) throw badOption(what, 'the limit is missing: how many times is it tried again?')
  const base = backoff?.base ?? retryDefaults.base
  const max = backoff?.max ?? Math.max(retryDefaults.max, base)
  if (max < base) throw badOption(what, `backoff.max (${max} ms) is less than backoff.base (${base} ms)`)
  return {
    limit,
    base,
    factor: backoff?.factor ?? retryDefaults.factor,
    max,
    jitter: backoff?.jitter ?? retryDefaults.jitter,
  }
}

/** The readers of what every job of a canvas may be given. */
export const jobReaders: OptionReaders<JobOptionsRead> = {
  queue: shortText(limits.queue),
  priority: wholeNumber(-limits.priority, limits.priority),
  startIn: readDuration,
  startAt: readInstant,
  expires: longerThanNothing,
  retry: readRetry,
  timeout: longerThanNothing,
  retention: readDuration,
  tags: readTags,
  concurrency: reserved,
}

const namesOneCall = refused('it is for one call or submission: give it to task.with or submit, not to a whole canvas')

/** What is asked of a canvas in vain is told where it belongs. */
const canvasReaders = {
  ...jobReaders,
  idempotencyKey: namesOneCall,
  unique: namesOneCall,
  description: namesOneCall,
  actor: namesOneCall,
  callback: namesOneCall,
  callbackUrl: namesOneCall,
  within: namesOneCall,
}

/** When a job that may begin `now` is due; null: at once. */
export function dueAt({ startIn, startAt }: StoredOptions, now: number): number | null {
  const at = startIn === undefined ? startAt : now + startIn
  return at === undefined || at <= now ? null : at
}
