import { CeleriacError } from '../core/errors.ts'

/** What people do to work that is already stored. */
export interface Control {
  cancel(selection: Selection): Promise<CancelAnswer>
  /** `expectedRound` makes it safe to send again: it only takes effect in that round. */
  retry(request: RetryRequest): Promise<RetryAnswer>
  /** Removes a settled collection and everything of it. */
  remove(collectionId: string): Promise<'removed' | 'unsettled' | 'not-found'>
  putQueues(settings: readonly QueueSettings[]): Promise<void>
}

export type Selection = { readonly collectionId: string } | { readonly jobId: string }

/** `marked`: it will be cancelled as soon as what holds it up allows. `final`: it was over before. */
export type CancelAnswer = 'cancelled' | 'marked' | 'final' | 'not-found'

export interface RetryRequest {
  readonly selection: Selection
  readonly expectedRound: number
  readonly mode: 'failed' | 'all'
  /** Of one job: its arguments from now on, as JSON text of a list. Nothing changes unless the answer is `retried`. */
  readonly args?: string
  /** Starts also what has not begun yet and is held by `startIn` or `startAt`: else that is held until then. */
  readonly now?: boolean
}

/**
 * The job whose arguments are to be others, and these; null where all stay as they are.
 *
 * @throws CeleriacError BAD_ARGUMENT where they are not for one job
 */
export function newArguments({
  selection,
  args,
}: RetryRequest): { readonly jobId: string; readonly args: string } | null {
  if (args === undefined) return null
  if ('jobId' in selection) return { jobId: selection.jobId, args }
  throw new CeleriacError('BAD_ARGUMENT', 'retry: args are the arguments of one job: give its id, not its collection.')
}

/**
 * `round`: not in the expected round any more. `running`: it is not settled. `succeeded`: nothing to do. `blocked`: what it
 * stands behind is undecided or failed, so retry that. `unique`: another submission holds its key.
 */
export type RetryAnswer =
  'retried' | 'round' | 'running' | 'succeeded' | 'blocked' | 'cancelling' | 'unique' | 'not-found'

export interface QueueSettings {
  readonly name: string
  readonly paused: boolean
}
