import type { Role, StoredOptions } from './job.ts'

/**
 * A compiled canvas: a flat list of jobs and barriers with every id assigned. Plain data, one transaction's worth of
 * rows, no code. Numbers that point at jobs and barriers are positions in the two lists.
 *
 * ```
 * chain(a, group(b, chain(c, d)), group(e, f))
 *   a ─▶ B0 ─▶ b ───────────▶ B2 ─▶ e ─▶ B3 (exit)      B0[a]  B1[c]  B2[b,d]  B3[e,f]
 *          └─▶ c ─▶ B1 ─▶ d ─▶ ┘ └▶ f ─▶ ┘               e and f both receive [b, d]
 * ```
 */
export interface Graph {
  /** The collection's id. For a job alone it is also the job's. */
  readonly id: string
  /**
   * In the order written: the jobs at the end of any canvas, taken by position, are in the order of its results. First
   * the main line in one piece; then each side branch, in one piece and followed by its own side branches. So the jobs
   * of any canvas stand together, with none of another between them.
   */
  readonly jobs: readonly GraphJob[]
  readonly barriers: readonly GraphBarrier[]
  /** The barrier that settles the collection; null only for a job alone. */
  readonly exit: number | null
  /** How the results of the jobs at the exit nest (see core/shape). */
  readonly shape: string
}

export interface GraphJob {
  readonly id: string
  readonly task: string
  /** JSON text of the list of arguments given. */
  readonly args: string
  /** The barrier this job stands behind, and for which decision of it; null at the front of the graph. */
  readonly behind: number | null
  readonly when: When
  /** The barrier this job is an input of: the innermost one that has it among its inputs. */
  readonly feeds: number | null
  readonly input: Input
  readonly role: Role
  /** Jobs of one fail-fast group share a scope: the number is the same for all of them and unique in this graph. */
  readonly scope: number | null
  readonly options: StoredOptions
}

/** `success` runs when every input succeeded, `failure` when one did not, `always` either way. */
export type When = 'success' | 'failure' | 'always'

/** What is put before a job's own arguments. */
export type Input =
  | { readonly from: 'nothing' }
  /** The results of the inputs of the barrier it stands behind, nested by `shape`. With no barrier there are none. */
  | { readonly from: 'results'; readonly shape: string }
  /** A FailureReport of the first failure at the barrier it stands behind. */
  | { readonly from: 'failure' }
  /** A SettledSummary of the canvas whose jobs are those in positions `first` to `last`, both included; none if `last` is less. */
  | { readonly from: 'summary'; readonly first: number; readonly last: number }

/**
 * A countdown over its inputs. An input is a job or another barrier that `feeds` it. Barriers nest: one that has all
 * its inputs decided is one input, decided, of the barrier it feeds.
 */
export interface GraphBarrier {
  /** How many jobs and barriers feed it directly. With none, it decides at submission, and has no gate. */
  readonly inputs: number
  readonly feeds: number | null
  /** The barrier that the entries of this canvas stand behind: if it failed, the canvas never began and neither do its side branches. */
  readonly gate: number | null
}
