import type { Celeriac } from '../app/celeriac.ts'
import { type AppParts, partsOf } from '../app/parts.ts'
import { checkArguments, compileContext } from '../app/submission.ts'
import { CeleriacError } from '../core/errors.ts'
import type { Duration } from '../core/time.ts'
import { createCallbackTask } from './callback-task.ts'
import { builtInEach } from './each-task.ts'
import type { RunnableTask } from './runnable-task.ts'
import { Session, type SessionAccess } from './session.ts'
import { stopSettings, type WorkerOptions, type WorkerSettings, workerSettings } from './settings.ts'

export type { WorkerLog, WorkerNotice } from './report.ts'
export type { WorkerOptions } from './settings.ts'

/**
 * Claims the jobs of an app's tasks, runs their handlers and stores what they come to. One in a process is enough; any
 * number of processes may work on one store.
 *
 * @example
 * const worker = new Worker(app, { queues: ['default', 'shop'], concurrency: 20 })
 * await worker.start()
 * process.once('SIGTERM', () => void worker.stop())
 */
export class Worker {
  readonly #app: AppParts
  readonly #settings: WorkerSettings
  #session: Session | null = null
  #opening: Promise<void> | null = null
  #closing: Promise<void> | null = null

  /** @throws CeleriacError NOT_AN_APP, BAD_OPTION, BAD_DURATION */
  constructor(app: Celeriac, options: WorkerOptions = {}) {
    this.#app = partsOf(app)
    this.#settings = workerSettings(options)
  }

  /**
   * Resolves once the worker is known to the store and claims jobs. After a `stop` it may be started again.
   *
   * @throws CeleriacError UNSUPPORTED where it runs already, or what the store answers
   */
  async start(): Promise<void> {
    if (this.#opening ?? this.#closing) {
      throw new CeleriacError('UNSUPPORTED', 'This worker has been started: stop it first, or make another one.')
    }
    this.#opening = this.#open()
    try {
      await this.#opening
    } catch (error) {
      this.#opening = null
      throw error
    }
  }

  /**
   * Claims no more and waits up to `grace` for the handlers that run, then tells them to stop through their signals and
   * gives their jobs back. Resolves when the store knows of it all. A second call, or a grace of 0, ends the waiting.
   *
   * @throws CeleriacError BAD_OPTION, BAD_DURATION
   */
  async stop(options: { readonly grace?: Duration | undefined } = {}): Promise<void> {
    const { grace = this.#settings.grace } = stopSettings(options)
    if (this.#closing) this.#session?.hurry()
    this.#closing ??= this.#close(grace)
    await this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #open(): Promise<void> {
    const { engine } = await this.#app.connect()
    this.#session = new Session(accessOf(this.#app, engine), this.#settings)
    await this.#session.open()
  }

  async #close(grace: number): Promise<void> {
    await this.#opening?.catch(() => {})
    await this.#session?.close(grace)
    this.#session = null
    this.#opening = null
    this.#closing = null
  }
}

function accessOf(app: AppParts, engine: SessionAccess['engine']): SessionAccess {
  const { registry, runtime, callbacks } = app
  const own = [builtInEach, createCallbackTask({ store: engine, runtime, settings: callbacks })]
  const builtIn = new Map(own.map((task) => [task.name, task]))
  return {
    engine,
    runtime,
    findTask(name) {
      const found = registry.find(name)
      return found && found.handler !== null ? (found as RunnableTask) : builtIn.get(name)
    },
    compiling: compileContext(app),
    checkGraph: (graph) => checkArguments(app, graph),
  }
}
