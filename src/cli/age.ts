const [second, minute, hour, day] = [1_000, 60_000, 3_600_000, 86_400_000] as const

/** How long ago, in one unit, for the narrow column of a table: `5s`, `12m`, `3h`, `14d`. */
export function formatAge(milliseconds: number): string {
  const ms = Math.max(0, milliseconds)
  if (ms < minute) return `${Math.floor(ms / second)}s`
  if (ms < hour) return `${Math.floor(ms / minute)}m`
  if (ms < day) return `${Math.floor(ms / hour)}h`
  return `${Math.floor(ms / day)}d`
}
