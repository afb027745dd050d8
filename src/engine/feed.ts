import type { Change } from '../core/event.ts'

/** Following what happens. */
export interface Feed {
  /** Recorded changes after a cursor, oldest first. `collections` narrows them; null: everything. */
  events(query: EventsQuery): Promise<EventsPage>
  /** Where the feed stands now. */
  cursor(): Promise<string>
  /**
   * Calls the listener when there may be something new, from this process or another: a nudge to look, which may come for
   * nothing. While anybody listens, the store is watched. Returns the way to stop.
   */
  subscribe(listener: (signal: Signal) => void): () => void
}

/** `queued`: jobs to claim. `changed`: something in the feed. `cancel`: a running job is to stop. From another process: all. */
export type Signal = { readonly queued: boolean; readonly changed: boolean; readonly cancel: boolean }

export interface EventsQuery {
  readonly after: string
  readonly collections: readonly string[] | null
  /** At most about so many changes. */
  readonly limit: number
}

export interface EventsPage {
  readonly changes: readonly Change[]
  /** Where to go on. */
  readonly cursor: string
  /** There is more at once. */
  readonly more: boolean
  /** What came after the given cursor is no longer there: read a snapshot and go on from its cursor. */
  readonly gap: boolean
}
