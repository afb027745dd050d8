import type { Control } from './control.ts'
import type { Feed } from './feed.ts'
import type { Inspection } from './inspect.ts'
import type { Intake } from './intake.ts'
import type { Transfer } from './transfer.ts'
import type { Values } from './values.ts'
import type { Work } from './work.ts'

/**
 * The store of truth. Every method is atomic and may be repeated after a lost reply; the work path takes batches. Parts
 * of the package take only the roles they need. The store's clock is the truth: no instant is given to an engine that it
 * could read itself.
 */
export interface Engine extends Intake, Work, Control, Inspection, Feed, Values {
  readonly name: string
  /** The address that another thread or process can open it by; null when there is none (in memory, a user's own connection). */
  readonly url: string | null
  /** Whether the store has been made. Of all methods the only one that does not make it: what only reads asks this first. */
  isThere(): Promise<boolean>
  /** Opens the store and brings its schema up to date; says what it found. Called by every other method on first use. */
  migrate(): Promise<{ readonly from: number; readonly to: number }>
  /** Questions for `celeriac doctor`: each answered with what was found and what to do. */
  diagnose(): Promise<readonly Diagnosis[]>
  /** Moving all of it to another store. */
  readonly transfer: Transfer
  close(): Promise<void>
}

export interface Diagnosis {
  readonly check: string
  readonly level: 'ok' | 'warning' | 'error'
  readonly found: string
  /** What to do about it; empty when nothing. */
  readonly advice: string
}
