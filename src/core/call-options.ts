import { type Callback, callbackResults, type CallbackResults } from './collection.ts'
import type { Failure } from './failure.ts'
import type { Actor, StoredOptions } from './job.ts'
import { limits } from './limits.ts'
import { badOption, isTrue, oneOf, plainText, readOptions, refused, reserved, shortText } from './option.ts'
import type { OptionReader, OptionReaders } from './option.ts'
import type { AcceptedOption, CallOptions, SubmitOptions, TaskOptions } from './options.ts'
import { checkStart, jobReaders, longerThanNothing, readRetry } from './stored-options.ts'
import { shown } from './text.ts'

/** A key that only one unfinished submission may hold, as stored. */
export interface UniqueTerms {
  readonly key: string
  /** Held until the first job starts, until all is settled, or for so many milliseconds. */
  readonly until: 'started' | 'settled' | number
  readonly onConflict: 'existing' | 'replace' | 'reject'
}

/** The options of one call, checked: what its jobs are given, and what belongs to the call as a whole. */
export interface CallTerms {
  readonly job: StoredOptions
  readonly idempotencyKey?: string
  readonly unique?: UniqueTerms
  readonly description?: string
  readonly actor?: Actor
  /** The user's own transaction: says how it is sent, and is never stored. */
  readonly within?: object
}

export interface SubmitTerms extends CallTerms {
  readonly callback?: Callback
}

/** The defaults of a task, checked once where it is defined. */
export interface TaskTerms {
  readonly job: StoredOptions
  readonly when?: (failure: Failure) => boolean
  /** The unique key of a call with these arguments. @throws CeleriacError BAD_OPTION where the task's own function gives no key */
  readonly unique?: (args: readonly unknown[]) => UniqueTerms
  readonly description?: string
  /** It may be sent over HTTP. */
  readonly expose?: boolean
  /** What callers over HTTP may set as they like. */
  readonly accepts?: readonly AcceptedOption[]
}

/**
 * Checks the options of one call. `what` is the place they were given in, for errors.
 *
 * @throws CeleriacError BAD_OPTION, BAD_DURATION, BAD_INSTANT
 * @example
 * callTerms({ priority: 5, description: 'by hand' }, 'math.add') // { job: { priority: 5 }, description: 'by hand' }
 */
export function callTerms(options: CallOptions, what: string): CallTerms {
  return splitTerms(readOptions<FlatTerms>(options, callReaders, what), what)
}

/**
 * Checks the options of a submission. `what` is the place they were given in, for errors.
 *
 * @throws CeleriacError BAD_OPTION, BAD_DURATION, BAD_INSTANT
 */
export function submitTerms(options: SubmitOptions, what: string): SubmitTerms {
  return splitTerms(readOptions<FlatTerms>(options, submitReaders, what), what)
}

/**
 * Checks the options of a task; `input`, its schema, is left alone. `what` is the task, for errors.
 *
 * @throws CeleriacError BAD_OPTION, BAD_DURATION
 */
export function taskTerms(options: TaskOptions & { readonly input?: unknown }, what: string): TaskTerms {
  const read = readOptions<FlatTaskTerms>(options, taskReaders, what)
  const { input, isolate, retry, unique, description, expose, accepts, ...job } = read
  return {
    job: retry ? { ...job, retry: retry.policy } : job,
    ...(retry?.when && { when: retry.when }),
    ...(unique && { unique }),
    ...(description !== undefined && { description }),
    ...(expose && { expose }),
    ...(accepts && { accepts }),
  }
}

type FlatTerms = Omit<SubmitTerms, 'job'> &
  Omit<StoredOptions, 'chunked'> & { readonly callbackUrl?: string; readonly concurrency?: never }

function splitTerms(flat: FlatTerms, what: string): SubmitTerms {
  const { idempotencyKey, unique, description, actor, callback: given, callbackUrl, within, ...job } = flat
  checkStart(job, what)
  if (given && callbackUrl !== undefined)
    throw badOption(what, 'callback and callbackUrl both say who is called back: give one of them')
  const callback = callbackUrl === undefined ? given : calledBack(callbackUrl)
  return {
    job,
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    ...(unique && { unique }),
    ...(description !== undefined && { description }),
    ...(actor && { actor }),
    ...(callback && { callback }),
    ...(within && { within }),
  }
}

const readKey = shortText(limits.key)
const readDescription = plainText(limits.description)

interface ReadUnique<Key> {
  readonly key?: Key
  readonly until?: UniqueTerms['until']
  readonly onConflict?: UniqueTerms['onConflict']
}

const untilReaders: Omit<OptionReaders<ReadUnique<never>>, 'key'> = {
  until: (value, what) => {
    if (value === 'started' || value === 'settled') return value
    return longerThanNothing(value, `${what} ('started', 'settled' or a duration)`)
  },
  onConflict: oneOf('existing', 'replace', 'reject'),
}

const readUnique: OptionReader<UniqueTerms> = (value, what) => {
  const key: OptionReader<string> = (text, where) => {
    if (typeof text === 'function')
      throw badOption(where, 'a function cannot be stored: give it in the options of the task')
    return readKey(text, where)
  }
  return uniqueTerms(readOptions<ReadUnique<string>>(value, { ...untilReaders, key }, what), what)
}

/** The key may be computed from the arguments: then it is read at each call. */
const readTaskUnique: OptionReader<(args: readonly unknown[]) => UniqueTerms> = (value, what) => {
  const key: OptionReader<string | ((...args: readonly unknown[]) => unknown)> = (given, where) =>
    typeof given === 'function' ? (given as (...args: readonly unknown[]) => unknown) : readKey(given, where)
  const terms = uniqueTerms(
    readOptions<ReadUnique<ReturnType<typeof key>>>(value, { ...untilReaders, key }, what),
    what,
  )
  const compute = terms.key
  if (typeof compute === 'string') return () => ({ ...terms, key: compute })
  return (args) => ({ ...terms, key: readKey(compute(...args), `${what}: key`) })
}

function uniqueTerms<Key>(read: ReadUnique<Key>, what: string): Omit<UniqueTerms, 'key'> & { readonly key: Key } {
  const { key, until = 'settled', onConflict = 'existing' } = read
  if (key === undefined) throw badOption(what, 'the key is missing')
  return { key, until, onConflict }
}

const readActor: OptionReader<Actor> = (value, what) => {
  if (typeof value !== 'object' || value === null) throw badOption(what, `write { id: … }, not ${shown(value)}`)
  // Whatever else a user's own object for a person holds is not ours to store.
  return { id: readKey((value as { id?: unknown }).id, `${what}.id`) }
}

/** Whether it is one that its store can use, the store says. */
const readTransaction: OptionReader<object> = (value, what) => {
  if (typeof value === 'object' && value !== null) return value
  const needed = 'an open transaction is needed: a client of pg, a transaction of Kysely or Drizzle, a DatabaseSync'
  throw badOption(what, `${needed}, not ${shown(value)}`)
}

const urlLimit = 2048
const readUrl: OptionReader<string> = (value, what) => {
  const text = shortText(urlLimit)(value instanceof URL ? value.href : value, what)
  const url = URL.canParse(text) ? new URL(text) : null
  // Never the text itself: there may be a password in it, or a token.
  if (!url || !/^https?:$/.test(url.protocol))
    throw badOption(what, 'a whole address that begins with https:// or http:// is needed')
  if (url.username !== '' || url.password !== '')
    throw badOption(what, 'there is a user or a password in it: leave them out, callbacks are known by their signature')
  return text
}

const calledBack = (url: string, results: CallbackResults = 'exit'): Callback => ({ url, results })

const readCallback: OptionReader<Callback> = (value, what) => {
  const readers: OptionReaders<Partial<Callback>> = { url: readUrl, results: oneOf(...callbackResults) }
  const { url, results } = readOptions<Partial<Callback>>(value, readers, what)
  if (url === undefined) throw badOption(what, "the url is missing: write { url: 'https://…' }")
  return calledBack(url, results)
}

const isForSubmissions = refused('it is for a submission: app.submit(task.s(…), { callback: { url } })')

const callReaders: OptionReaders<FlatTerms> = {
  ...jobReaders,
  idempotencyKey: readKey,
  unique: readUnique,
  description: readDescription,
  actor: readActor,
  within: readTransaction,
  callback: isForSubmissions,
  callbackUrl: isForSubmissions,
}

const submitReaders: OptionReaders<FlatTerms> = { ...callReaders, callback: readCallback, callbackUrl: readUrl }

type FlatTaskTerms = Omit<StoredOptions, 'chunked' | 'retry'> &
  Omit<TaskTerms, 'job' | 'when'> & {
    readonly retry?: { readonly policy: Required<StoredOptions>['retry']; readonly when?: TaskTerms['when'] }
    readonly input?: unknown
    readonly isolate?: never
    readonly concurrency?: never
    readonly idempotencyKey?: never
    readonly actor?: never
    readonly callback?: never
    readonly callbackUrl?: never
    readonly within?: never
  }

const readTaskRetry: OptionReader<NonNullable<FlatTaskTerms['retry']>> = (value, what) => {
  const when = typeof value === 'object' && value !== null ? (value as { when?: unknown }).when : undefined
  if (when === undefined) return { policy: readRetry(value, what) }
  if (typeof when !== 'function') throw badOption(`${what}: when`, `a function is needed, not ${shown(when)}`)
  return {
    policy: readRetry({ ...(value as object), when: undefined }, what),
    when: when as (failure: Failure) => boolean,
  }
}

const namesOneCall = refused('it is for one call or submission: give it to task.with or submit')

const readAccepted = oneOf<AcceptedOption>(
  'queue',
  'priority',
  'expires',
  'retry',
  'timeout',
  'retention',
  'tags',
  'unique',
)
const readAccepts: OptionReader<readonly AcceptedOption[]> = (value, what) => {
  if (!Array.isArray(value)) throw badOption(what, `a list of options is needed, not ${shown(value)}`)
  return value.map((name, n) => readAccepted(name, `${what}[${n}]`))
}

const taskReaders: OptionReaders<FlatTaskTerms> = {
  ...jobReaders,
  startIn: namesOneCall,
  startAt: namesOneCall,
  idempotencyKey: namesOneCall,
  actor: namesOneCall,
  callback: namesOneCall,
  callbackUrl: namesOneCall,
  within: namesOneCall,
  retry: readTaskRetry,
  unique: readTaskUnique,
  description: readDescription,
  expose: isTrue,
  accepts: readAccepts,
  isolate: reserved,
  input: (value) => value,
}
