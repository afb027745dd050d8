import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { Worker as Thread } from 'node:worker_threads'
import type { Runtime } from '../core/runtime.ts'
import type { SessionRecord } from '../engine/work.ts'
import { CeleriacError, StoreUnavailable } from '../core/errors.ts'
import type { Dying } from './blocked-answer.ts'
import type { Reporter } from './report.ts'

/** What the thread is told at its start. */
export interface ThreadOrders {
  readonly url: string
  readonly session: SessionRecord
  /** In milliseconds. */
  readonly lease: number
  /** What the main thread shares about its event loop (see `LoopState`). */
  readonly loop: SharedArrayBuffer
  /** Whether the thread ends a process whose loop stays blocked. */
  readonly exitsWhenBlocked: boolean
}

/** What the thread is told later. */
export type ThreadOrder = 'stop' | Dying

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

  constructor(code: URL, orders: ThreadOrders, reporter: Reporter, onGone: () => void) {
    this.#thread = new Thread(code, {
      name: 'celeriac heartbeat',
      workerData: orders,
      // What the process was told to load first is for its program: in a second thread it may fail, or listen on a port again.
      execArgv: [],
      env: withoutNodeOptions(process.env),
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

  /** This process dies: the thread stores what is left to say, and then notes it in the `LoopState`. */
  sendLast(dying: Dying): void {
    this.#thread.postMessage(dying satisfies ThreadOrder)
  }

  /** Lets the thread close its own connection; ends it by force where that takes more than a second. */
  async stop(runtime: Runtime): Promise<void> {
    this.#isStopping = true
    this.#thread.ref()
    this.#thread.postMessage('stop' satisfies ThreadOrder)
    const force = runtime.after(1_000, () => void this.#thread.terminate())
    await this.#gone
    force.cancel()
  }
}

/** @throws CeleriacError UNSUPPORTED if Node may not start threads, so that a worker never begins without its heartbeats */
export function refuseWithoutThreads(): void {
  // Typed as always there, and it is only under --permission.
  const permission = process.permission as typeof process.permission | undefined
  if (permission === undefined || permission.has('worker')) return
  const advice = 'start Node with --allow-worker as well'
  throw new CeleriacError(
    'UNSUPPORTED',
    `Node runs with --permission and may not start the thread that keeps a worker alive: ${advice}.`,
  )
}

const endings = ['.js', '.mjs', '.cjs', '.ts']

/**
 * Finds the code of the thread: beside this module or, where a bundler has put this module elsewhere, beside the bundle or in
 * the installed package. null: it is nowhere.
 */
export function findThreadCode(): URL | null {
  // A bundle in CommonJS does not know where it is.
  const here = (import.meta as { readonly url?: string }).url ?? pathToFileURL(process.argv[1] ?? 'main').href
  const beside = endings.map((ending) => new URL(`./heartbeat-thread${ending}`, here))
  const found = beside.find((url) => existsSync(url))
  if (found !== undefined) return found
  try {
    return pathToFileURL(createRequire(here).resolve('celeriac/heartbeat-thread'))
  } catch {
    return null
  }
}

const withoutNodeOptions = ({ NODE_OPTIONS: _, ...rest }: NodeJS.ProcessEnv): NodeJS.ProcessEnv => rest

/** Errors do not cross from a thread as what they were. */
const asError = ({ message, isAway }: NonNullable<ThreadNews['failure']>): Error =>
  isAway ? new StoreUnavailable(message, { mayBeStored: true }) : new Error(message)
