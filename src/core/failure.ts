import { storable } from './text.ts'

/** An error as data: what is stored, sent and shown. Plain JSON; `at` is an ISO string. */
export interface Failure {
  readonly name: string
  readonly message: string
  readonly stack?: string
  readonly cause?: Failure
  readonly attempt: number
  readonly at: string
}

export type FailureReason = 'failed' | 'timeout' | 'expired' | 'cancelled' | 'poisoned'

/**
 * Tells whatever was thrown as data that every store takes, and never throws itself: a message of at most 8 KiB, a stack
 * of at most 16 KiB, at most 8 causes behind each other. `at` is in milliseconds since 1970.
 *
 * @example
 * failureFrom(new Error('no connection', { cause }), { attempt: 2, at: runtime.now() })
 */
export function failureFrom(thrown: unknown, about: { readonly attempt: number; readonly at: number }): Failure {
  const mark = { attempt: about.attempt, at: new Date(about.at).toISOString() }
  const chain = causesOf(thrown)
  return chain.reduceRight<Failure | undefined>((cause, one) => describe(one, cause, mark), undefined)!
}

/** The characters of a failure and its causes, about. */
export function sizeOfFailure(failure: Failure): number {
  let size = 0
  for (let one: Failure | undefined = failure; one !== undefined; one = one.cause)
    size += one.message.length + (one.stack?.length ?? 0)
  return size
}

/** Its name and the first words of its message: no stack, no cause. */
export function briefFailure({ name, message, attempt, at }: Failure, limit: number): Failure {
  const words = message.length > limit ? `${message.slice(0, limit - 1).toWellFormed()}…` : message
  return { name, message: words, attempt, at }
}

const nameBytes = 200
const messageBytes = 8 * 1024
const stackBytes = 16 * 1024
const causeLimit = 8
const errorsShown = 10
const propertiesShown = 10

/** What was thrown, its cause, the cause of that, and so on: until there is none, it was there before, or it is enough. */
function causesOf(thrown: unknown): readonly unknown[] {
  const chain = [thrown]
  for (let cause = read(thrown, 'cause'); cause !== undefined && cause !== null; cause = read(cause, 'cause')) {
    if (chain.length > causeLimit || chain.includes(cause)) break
    chain.push(cause)
  }
  return chain
}

function describe(thrown: unknown, cause: Failure | undefined, mark: Pick<Failure, 'attempt' | 'at'>): Failure {
  const name = read(thrown, 'name')
  const message = messageOf(thrown)
  const stack = stackOf(thrown, message)
  return {
    name: storable(typeof name === 'string' && name !== '' ? name : 'Error', nameBytes),
    message: storable(message, messageBytes),
    ...(stack === undefined ? {} : { stack: storable(stack, stackBytes) }),
    ...(cause === undefined ? {} : { cause }),
    ...mark,
  }
}

function messageOf(thrown: unknown): string {
  if (typeof thrown === 'string') return thrown
  const message = read(thrown, 'message')
  const errors = read(thrown, 'errors')
  if (typeof message === 'string') return isAggregate(thrown, errors) ? listErrors(message, errors) : message
  return `${shown(thrown)} was thrown, not an Error`
}

/** The stack, with a message that is far too long cut where it stands in it: else it would push out all the calls. */
function stackOf(thrown: unknown, message: string): string | undefined {
  const stack = read(thrown, 'stack')
  if (typeof stack !== 'string' || stack === '') return undefined
  if (message.length <= messageBytes) return stack
  const from = stack.indexOf(message)
  return from === -1 ? stack : stack.slice(0, from) + storable(message, 200) + stack.slice(from + message.length)
}

function isAggregate(thrown: unknown, errors: unknown): errors is readonly unknown[] {
  try {
    return thrown instanceof AggregateError && Array.isArray(errors)
  } catch {
    return false
  }
}

/** Node says nothing at all in the message of a connection refused at two addresses. */
function listErrors(message: string, errors: readonly unknown[]): string {
  const lines: string[] = []
  const length = read(errors, 'length')
  const count = typeof length === 'number' ? length : 0
  for (let n = 0; n < Math.min(count, errorsShown); n++) {
    const error = read(errors, n)
    const text = read(error, 'message')
    lines.push(`${n + 1}. ${storable(typeof text === 'string' ? text : shown(error), 500)}`)
  }
  const more = count > errorsShown ? [`and ${count - errorsShown} more`] : []
  return [message === '' ? (count === 1 ? '1 error' : `${count} errors`) : message, ...lines, ...more].join('\n')
}

/** A property of anything; undefined where it cannot be read. */
function read(value: unknown, key: string | number): unknown {
  if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return undefined
  try {
    return (value as Record<string | number, unknown>)[key]
  } catch {
    return undefined
  }
}

/** A value that is not an Error, for people: `{ status: 503, body: {…} }`. One level, so that it ends. */
function shown(value: unknown): string {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return String(value)
  if (typeof value === 'function') return 'a function'
  try {
    if (Array.isArray(value)) return `a list of ${value.length}`
    const keys = Object.keys(value)
    const parts = keys.slice(0, propertiesShown).map((key) => `${key.slice(0, 60)}: ${shownInside(read(value, key))}`)
    return keys.length === 0
      ? 'an object'
      : `{ ${[...parts, ...(keys.length > parts.length ? ['…'] : [])].join(', ')} }`
  } catch {
    return 'an object that cannot be read'
  }
}

function shownInside(value: unknown): string {
  if (typeof value === 'string') return `'${value.slice(0, 200)}'`
  if (typeof value === 'function') return '(…)'
  return typeof value === 'object' && value !== null ? '{…}' : String(value)
}
