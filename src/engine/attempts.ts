/**
 * A job keeps its first attempts, which tell how the trouble began, and its last ones. A job that is retried every 100 ms would else
 * fill the store, and its page.
 */
export const firstKept = 10
export const lastKept = 90
