import type { Failure } from './failure.ts'
import type { Graph } from './graph.ts'

/** What an attempt came to. Delays in milliseconds from when the outcome is stored. */
export type Outcome =
  | {
      readonly type: 'succeeded'
      /** JSON text; null when the handler returned nothing. */ readonly result: string | null
    }
  | { readonly type: 'failed'; readonly reason: 'failed' | 'timeout'; readonly failure: Failure }
  /** Tried again by policy or on request: counts as a failure. */
  | { readonly type: 'retried'; readonly failure: Failure; readonly delay: number }
  /** Put off on request: no failure is counted. */
  | { readonly type: 'snoozed'; readonly delay: number }
  /** Given back by a worker that stops. `started`: the handler had begun. Unstarted, the attempt's number is given back too. */
  | {
      readonly type: 'released'
      readonly started: boolean
      /** Wait before it may be claimed again. */ readonly delay: number
    }
  /** The handler returned a canvas: the job waits for it and takes its result. */
  | { readonly type: 'continued'; readonly graph: Graph }
  /** The handler ended because it was told to. */
  | { readonly type: 'cancelled' }
