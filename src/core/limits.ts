import { longestDuration } from './time.ts'

/** The bounds of options, for the readers of options and for stores that check options themselves. Lengths in characters, durations in milliseconds. */
export const limits = {
  queue: 128,
  priority: 1_000,
  tags: 32,
  tag: 128,
  key: 256,
  description: 1_000,
  duration: longestDuration,
  /** Of an instant, before and after 1970: what `Date` holds. */
  instant: 8_640_000_000_000_000,
  /** How often a job may be tried again: beyond that it is not a policy but a loop. */
  retries: 1_000_000,
  factor: 1_000,
} as const

/** What a retry policy has that does not say. */
export const retryDefaults = { base: 1_000, factor: 2, max: 3_600_000, jitter: true } as const
