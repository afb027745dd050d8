import type { Callback } from '../core/collection.ts'
import type { Graph } from '../core/graph.ts'
import type { Actor, JobRef } from '../core/job.ts'

/** Accepting work. */
export interface Intake {
  /**
   * Stores graphs, all of them or, where it throws, none. Sending the same graph id again answers `existing`, whatever became
   * of its keys. Where a held unique key gives `existing`, the idempotency key is remembered for its holder. A graph that comes in
   * parts (see parts.ts) must have been uploaded before: then only its id and exit are read.
   *
   * @param transaction one of the user's own that is open: what is stored is there once it commits, and never if it does not
   * @param calls the number of submissions of each call, in order: if one submission is refused (`conflict`), none of its call
   *   is stored, and the others of the call are answered `aborted`. Other calls are stored. Default: each is its own call
   * @throws CeleriacError UNSUPPORTED where this store has no transactions of that kind, BAD_ARGUMENT where it is none
   */
  submit(
    submissions: readonly Submission[],
    transaction?: Transaction,
    calls?: readonly number[],
  ): Promise<SubmitAnswer[]>
  /**
   * Stores a part of a large graph, invisible until `submit` or a settlement that continues as it names its id.
   * Parts may be sent again; those of a graph that is never sealed are removed after an hour. Part 0 goes first.
   *
   * @param part counted from 0, as `partsOf(graph, partSize)` divides it
   * @param within the running job that continues as this graph; null for a submission
   */
  upload(
    graph: Graph,
    part: number,
    within: { readonly ref: JobRef; readonly token: number } | null,
    transaction?: Transaction,
  ): Promise<void>
  /** Maximum jobs in one part of a graph; their arguments are bounded besides (see parts.ts). */
  readonly partSize: number
}

/**
 * An open transaction of the user's own, opaque to everyone but the engine: what is shaped like a client of `pg`
 * for PostgreSQL, a `DatabaseSync` for SQLite.
 */
export type Transaction = unknown

export interface Submission {
  readonly graph: Graph
  readonly description: string | null
  readonly actor: Actor | null
  readonly tags: readonly string[]
  readonly callback: Callback | null
  /** How long the collection is kept after it settled, in milliseconds; null keeps the engine's default. */
  readonly retention: number | null
  readonly idempotency: {
    readonly key: string
    /** Tells another canvas under the same key. */ readonly fingerprint: string
  } | null
  readonly unique: UniqueClaim | null
}

/** A key that only one unfinished submission may hold. */
export interface UniqueClaim {
  readonly key: string
  /** Held until the first of its jobs starts, until it settles, or for so many milliseconds. */
  readonly until: 'started' | 'settled' | number
  readonly onConflict: 'existing' | 'replace' | 'reject'
}

/** `callback`: the collection that holds the unique key would be the answer, but does not call back as this submission asks. */
export type ConflictReason = 'unique' | 'callback' | 'idempotency'

export type SubmitAnswer =
  /** `at`: the instant that counts as its creation, by the store's clock. */
  | { readonly type: 'created'; readonly at: number }
  /** Stored before, under this id: the same graph, the same idempotency key, or a unique key that is held. */
  | { readonly type: 'existing'; readonly collectionId: string }
  | { readonly type: 'conflict'; readonly reason: ConflictReason; readonly collectionId: string }
  /** Not stored, because another submission of the same call was refused. */
  | { readonly type: 'aborted' }
