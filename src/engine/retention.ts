import type { Runtime } from '../core/runtime.ts'
import { turnLength } from './recovery.ts'

/** The default, in milliseconds: a settled collection is kept for a week. */
export const collectionRetention = 7 * 24 * 60 * 60_000
/** Events are kept for a day and up to this many characters, whichever ends first. */
export const eventRetention = 24 * 60 * 60_000
export const eventsKept = 64 * 1024 * 1024
/** What workers tell of their attempts is kept for two days. */
export const talliesKept = 2 * 24 * 60 * 60_000
/** An idempotency key is remembered at least so long, and as long as its collection is kept. */
export const idempotencyMemory = 24 * 60 * 60_000
/** An upload that nobody goes on with is removed after so long. */
export const uploadMemory = 60 * 60_000
/** When to look again at a settled collection of which something still runs, in milliseconds. */
export const lookAgainAfter = 60 * 60_000

/** Maximum entries of `leaving`, keys that are looked at singly, and values and tallies that one call removes. */
export const entriesPerCall = 50
export const keysPerCall = 500
export const valuesPerCall = 10_000

/** Maximum numbers noted in one row of `leaving`. */
export const numbersPerRow = 1_000

/**
 * Writes numbers as runs, `12-40,55`: in order, each once. Jobs that settle together mostly have numbers that follow each
 * other.
 */
export function runsOf(numbers: readonly number[]): string {
  const sorted = numbers.toSorted((one, other) => one - other)
  const runs: NumberRun[] = []
  for (let at = 0; at < sorted.length;) {
    const first = sorted[at] as number
    let last = first
    while (at < sorted.length && (sorted[at] as number) <= last + 1) last = sorted[at++] as number
    runs.push({ first, last })
  }
  return runsText(runs)
}

export const runsText = (runs: readonly NumberRun[]): string =>
  runs.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(',')

export interface NumberRun {
  readonly first: number
  readonly last: number
}

/** More numbers than any call settles. */
export const mostInRun = 100_000

/** What is damaged is left out: numbers that are none, and too many of them. */
export function readRuns(text: string): NumberRun[] {
  if (text === '') return []
  return text.split(',').flatMap((run) => {
    const [first, last = first] = run.split('-').map(Number) as [number, number?]
    const isSound = Number.isSafeInteger(first) && Number.isSafeInteger(last) && last - first < mostInRun
    return isSound ? [{ first, last }] : []
  })
}

/** Time for one turn to remove what is due, and the rest of the turn, in milliseconds; the next one goes on. */
const budget = 400
export const restOfTurn = turnLength - budget

/**
 * Removes what is due, slice by slice. Each slice is a transaction of its own, and between two slices everything else gets
 * its turn. Returns whether something due is left.
 *
 * @param slice removes some of it; resolves to whether something due is left
 */
export async function bySlices(runtime: Runtime, slice: () => Promise<boolean>): Promise<boolean> {
  const giveUpAt = runtime.elapsed() + budget
  while (await slice()) {
    if (runtime.elapsed() >= giveUpAt) return true
    await new Promise<void>((resolve) => runtime.soon(resolve))
  }
  return false
}
