/** What the reset of a retry puts back: all that did not succeed; everything; what stands behind barriers that were undecided again. */
export const taking = { failed: 0, all: 1, heldUp: 2 } as const

/**
 * The `detail` of the work items `reset` and `restart` is a sum of one of `taking`; of `startingNow` where no job is to be held by
 * `startIn` or `startAt`; and of `insideOf` times the number of a job, where also all that did not succeed in the canvas that this job
 * continued as is to be put back.
 */
export const startingNow = 4
export const insideOf = 8

export const takingOf = (detail: number): number => detail % startingNow
export const isStartingNow = (detail: number): boolean => detail % insideOf >= startingNow
export const rootOf = (detail: number): number => Math.floor(detail / insideOf)
