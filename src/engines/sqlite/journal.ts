import type { Signal } from '../../engine/feed.ts'
import type { Database } from './database.ts'
import { state } from '../../engine/codes.ts'

/** More characters of events than any store comes to. */
const mostTold = 2 ** 52

/**
 * What one call changed: written as one row of events, and told to those who listen.
 *
 * `changes` is a flat list of numbers, some for each change; the first says which kind and so how many. Numbers of jobs
 * and collections rather than ids: a batch of 200 is a few kilobytes, and ids are looked up only for those who follow.
 */
export class Journal {
  readonly #changes: number[] = []
  readonly #payloads: string[] = []
  queued = false
  cancel = false

  /** 0–7: state, collection (0: the job is alone), job, attempt, version. */
  job(code: number, collection: number, seq: number, attempt: number, version: number): void {
    this.#changes.push(code, collection === seq ? 0 : collection, seq, attempt, version)
    if (code === state.queued || code === state.scheduled) this.queued = true
  }

  /** 10–13: 10 + state, collection, round. */
  collection(code: number, number: number, round: number): void {
    this.#changes.push(10 + code, number, round)
  }

  /** 20: collection (0: alone), job, attempt; its progress is the next payload. */
  progress(collection: number, seq: number, attempt: number, progress: string): void {
    this.#changes.push(20, collection === seq ? 0 : collection, seq, attempt)
    this.#payloads.push(progress)
  }

  /** @param next the first number not taken, where this call took any */
  write(db: Database, now: number, next: number | null): void {
    if (this.#changes.length === 0 && next === null) return
    const changes = JSON.stringify(this.#changes)
    const payloads = this.#payloads.length === 0 ? null : `[${this.#payloads.join(',')}]`
    db.run(
      `insert into celeriac_events (at, changes, payloads, next, total)
       -- A damaged sum is begun anew: past its end nothing more could be stored.
       select ?, ?, ?, coalesce(?, next), iif(total between 0 and ${mostTold}, total, 0) + ? from celeriac_events order by number desc limit 1`,
      now,
      changes,
      payloads,
      next,
      changes.length + (payloads?.length ?? 0),
    )
  }

  signal(): Signal {
    return { queued: this.queued, changed: this.#changes.length > 0, cancel: this.cancel }
  }
}
