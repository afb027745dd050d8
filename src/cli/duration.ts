const [second, minute, hour, day] = [1_000, 60_000, 3_600_000, 86_400_000] as const

/** How long something took, in at most seven columns: `12ms`, `1.3s`, `42s`, `3m 12s`, `2h 05m`, `3d 4h`. */
export function formatDuration(milliseconds: number): string {
  const ms = Math.max(0, Math.round(milliseconds))
  if (ms < second) return `${ms}ms`
  if (ms < 10 * second) return `${(Math.floor(ms / 100) / 10).toFixed(1)}s`
  if (ms < minute) return `${Math.floor(ms / second)}s`
  if (ms < hour) return `${Math.floor(ms / minute)}m ${twoDigits(Math.floor((ms % minute) / second))}s`
  if (ms < day) return `${Math.floor(ms / hour)}h ${twoDigits(Math.floor((ms % hour) / minute))}m`
  const days = Math.floor(ms / day)
  return days < 100 ? `${days}d ${Math.floor((ms % day) / hour)}h` : `${days}d`
}

/** How long ago, in one unit: `5s`, `12m`, `3h`, `14d`. */
export function formatAge(milliseconds: number): string {
  const ms = Math.max(0, milliseconds)
  if (ms < minute) return `${Math.floor(ms / second)}s`
  if (ms < hour) return `${Math.floor(ms / minute)}m`
  if (ms < day) return `${Math.floor(ms / hour)}h`
  return `${Math.floor(ms / day)}d`
}

const twoDigits = (value: number): string => String(value).padStart(2, '0')
