import { CeleriacError } from './errors.ts'
import { shown } from './text.ts'

/** Milliseconds, or a number with a unit. The template catches `'5 minutes'` at compile time. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd' | 'w'}`

/**
 * A duration in whole milliseconds, from 0 to 100 years; parts of one are rounded up, so no wait is cut short. `what`
 * names it in the error.
 *
 * @throws CeleriacError BAD_DURATION
 * @example
 * milliseconds('1.5h', 'timeout') // 5_400_000
 */
export function milliseconds(duration: Duration, what: string): number {
  const exact = typeof duration === 'number' ? duration : parseDuration(duration, what)
  if (Number.isNaN(exact)) throw badDuration(what, duration, 'is not a number')
  if (exact < 0) throw badDuration(what, duration, 'is negative')
  if (exact > longestDuration) throw badDuration(what, duration, 'is more than 100 years')
  return Math.ceil(exact) || 0
}

/**
 * An instant in milliseconds since 1970, from a Date, from such a number, or from an ISO 8601 text: a date (midnight
 * UTC), or a date and time with `Z` or an offset. `what` names it in the error.
 *
 * @throws CeleriacError BAD_INSTANT
 * @example
 * instant('2026-03-01T09:00+02:00', 'startAt') // 1_772_348_400_000
 */
export function instant(value: Date | string | number, what: string): number {
  const exact = value instanceof Date ? value.getTime() : typeof value === 'string' ? parseInstant(value, what) : value
  if (typeof exact !== 'number' || !(Math.abs(exact) <= farthest)) throw badInstant(what, value)
  return Math.ceil(exact) || 0
}

/**
 * An instant as `instant` reads it, or one told from `now` (milliseconds since 1970): `'-1h'` is an hour ago, `'+1h'`
 * in an hour.
 *
 * @throws CeleriacError BAD_INSTANT, BAD_DURATION
 * @example
 * relativeInstant('-1h', 'after', runtime.now())
 */
export function relativeInstant(value: Date | string | number, what: string, now: number): number {
  if (typeof value !== 'string' || !/^[+-]/.test(value)) return instant(value, what)
  const distance = milliseconds(value.slice(1) as Duration, what)
  return value.startsWith('-') ? now - distance : now + distance
}

/**
 * A duration in milliseconds, for people: `320 ms`, `4.2 s`, `42 s`, `1m 05s`, `2h 03m`, `3d 04h`.
 *
 * @example
 * formatDuration(65_000) // '1m 05s'
 */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`
  if (Math.round(ms) < second) return `${Math.round(ms)} ms`
  if (ms < 9.95 * second) return `${(ms / second).toFixed(1)} s`
  if (Math.round(ms / second) < 60) return `${Math.round(ms / second)} s`
  if (Math.round(ms / second) < 3600) return pair(Math.round(ms / second), 60, 'm', 's')
  if (Math.round(ms / minute) < 1440) return pair(Math.round(ms / minute), 60, 'h', 'm')
  return pair(Math.round(ms / hour), 24, 'd', 'h')
}

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour
const units = { ms: 1, s: second, m: minute, h: hour, d: day, w: 7 * day }
export const longestDuration = 100 * 365.25 * day
/** The last instant a Date can tell. */
const farthest = 8.64e15

function parseDuration(text: string, what: string): number {
  const parts = typeof text === 'string' && /^(-?(?:\d+(?:\.\d+)?|\.\d+))(ms|s|m|h|d|w)$/.exec(text)
  if (!parts) throw badDuration(what, text, 'is not a duration')
  return Number(parts[1]) * units[parts[2] as keyof typeof units]
}

const iso = /^(\d{4})-(\d\d)-(\d\d)(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/

function parseInstant(text: string, what: string): number {
  const [whole = '', year, month, day, zone] = iso.exec(text) ?? []
  if (whole.includes('T') && zone === undefined) {
    throw badInstant(what, text, 'has no time zone: end it with Z, or an offset such as +02:00')
  }
  // Date.parse takes the 30th of February for the 2nd of March.
  const isDay = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day)
  return isDay ? Date.parse(whole) : Number.NaN
}

function pair(total: number, size: number, large: string, small: string): string {
  return `${Math.floor(total / size)}${large} ${String(total % size).padStart(2, '0')}${small}`
}

function badDuration(what: string, duration: unknown, problem: string): CeleriacError {
  const advice = `give milliseconds, or a number with one of ${Object.keys(units).join(', ')}, such as '5m'`
  return new CeleriacError('BAD_DURATION', `${what}: ${shown(duration)} ${problem}; ${advice}`)
}

function badInstant(what: string, value: unknown, problem = 'is not an instant'): CeleriacError {
  const advice = `give a Date, milliseconds since 1970, or a text such as '2026-03-01T09:00:00Z'`
  return new CeleriacError('BAD_INSTANT', `${what}: ${shown(value)} ${problem}; ${advice}`)
}
