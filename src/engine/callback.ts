import type { Callback, CallbackResults } from '../core/collection.ts'

/** How a collection calls back, in the columns of its row. */
export interface CallbackColumns {
  readonly callback_url: string | null
  readonly callback_results: CallbackResults | null
}

export const callbackOf = ({ callback_url: url, callback_results: results }: CallbackColumns): Callback | null =>
  url === null ? null : { url, results: results ?? 'exit' }
