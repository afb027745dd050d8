/**
 * A barrier that failed takes over the cause of an input that failed. Mostly it knows one. Where a retry has put that one back to work, all
 * inputs may have to be read: up to this many in the write that decides the barrier, more of them page by page in later ones.
 */
export const inputsAtOnce = 100
