import { Worker as Thread } from 'node:worker_threads'
import type { Runtime } from '../core/runtime.ts'
import type { SessionRecord } from '../engine/work.ts'
import { StoreUnavailable } from '../core/errors.ts'
import type { Reporter } from './report.ts'

/** What the thread is told at its start. */
export interface ThreadOrders {
  readonly url: string
  readonly session: SessionRecord
  /** In milliseconds. */
  readonly lease: number
}

/** What the thread tells: null when a beat went well, else why it did not. */
export type ThreadNews = { readonly failure: { readonly message: string; readonly isAway: boolean } | null }

/**
 * Keeps a session alive from a thread of its own, so that a handler which blocks the event loop does not lose its jobs.
 * `onGone` is called when the thread dies without being told to.
 */
export class SessionThread {
  readonly #thread: Thread
  readonly #gone: Promise<void>
  #isStopping = false

  constructor(orders: ThreadOrders, reporter: Reporter, onGone: () => void) {
    this.#thread = new Thread(new URL('./heartbeat-thread.ts', import.meta.url), {
      name: 'celeriac heartbeat',
      workerData: orders,
    })
    this.#thread.unref()
    this.#thread.on('message', ({ failure }: ThreadNews) => {
      if (failure === null) reporter.over('thread', 'The heartbeat thread works again.')
      else reporter.trouble('thread', 'A heartbeat failed', asError(failure))
    })
    this.#thread.on('error', (error) => {
      reporter.warn('thread-gone', `The heartbeat thread ended, so the main loop beats alone: ${error.message}`)
    })
    this.#gone = new Promise((resolve) => this.#thread.once('exit', () => resolve()))
    void this.#gone.then(() => {
      if (!this.#isStopping) onGone()
    })
  }

  /** Lets the thread close its own connection; ends it by force where that takes more than a second. */
  async stop(runtime: Runtime): Promise<void> {
    this.#isStopping = true
    this.#thread.ref()
    this.#thread.postMessage('stop')
    const force = runtime.after(1_000, () => void this.#thread.terminate())
    await this.#gone
    force.cancel()
  }
}

/** Errors do not cross from a thread as what they were. */
const asError = ({ message, isAway }: NonNullable<ThreadNews['failure']>): Error =>
  isAway ? new StoreUnavailable(message, { mayBeStored: true }) : new Error(message)
