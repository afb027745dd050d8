const two = (value: number): string => String(value).padStart(2, '0')

/** Where the reader is: `2026-03-01 09:00:01`. */
export function formatInstant(at: Date): string {
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${formatTimeOfDay(at)}`
}

/** Where the reader is: `09:00:01`. */
export const formatTimeOfDay = (at: Date): string =>
  [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':')
