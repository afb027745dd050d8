/** What one call, one claim and one job may come to. Sizes are in characters, on PostgreSQL in bytes. */

/** A call touches at most about so many rows; the rest is done later, from the list of what large changes left. */
export const rowsPerCall = 1_000
/** At most so many due or expired jobs are moved by one claim. */
export const movedPerCall = 500

/** Results up to this size in all come along with a claim or a snapshot; larger ones are read by pages. */
export const inlineLimit = 1_048_576
/** All inputs of one claim; what does not come along is read by pages. */
export const inputsPerClaim = 8 * inlineLimit
/** The arguments of one claim's jobs, in all; one job may have more by itself. The jobs beyond stay in line. */
export const argumentsPerClaim = 8 * inlineLimit
/** As many jobs fit into a claim whatever their arguments: those of one job have at most 256 KiB. */
export const surelyFit = 32
/** Results so short that those of a whole claim may be read together. */
export const shortResult = 16_384

/** A job keeps so many log lines; what comes after is left out. */
export const logLimit = 1_000
/** One job is told with so many characters of failures of its attempts, and as many of log lines: the newest of both. */
export const historyBytes = 2 * inlineLimit
/**
 * A job keeps its first attempts, which tell how the trouble began, and its last ones. A job that is retried every 100 ms would else
 * fill the store, and its page.
 */
export const firstKept = 10
export const lastKept = 90
/** Maximum number of results in one page, and at one barrier to come along with a claim or a snapshot. */
export const resultsPerPage = 1_000
/** Maximum number of results, those of continuations included, that come along with one claim. */
export const resultsPerClaim = 10_000
/** Maximum number of jobs that one page of results looks at where those whose results it has stand among others. */
export const jobsPerPage = 1_000
/** Maximum number of graphs, each of them what a job continued as, that are looked up together. */
export const graphsAtOnce = 500
/**
 * A barrier that failed takes over the cause of an input that failed. Mostly it knows one. Where a retry has put that one back to work, all
 * inputs may have to be read: up to this many in the write that decides the barrier, more of them page by page in later ones.
 */
export const inputsAtOnce = 100
/** A span of time in milliseconds from which on it is damage: added to an instant it would leave what JavaScript and databases count in. */
export const endlessSpan = 9_000_000_000_000_000
