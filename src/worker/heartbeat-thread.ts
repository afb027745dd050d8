// Runs as a thread: keeps the session of its worker alive, whatever the handlers in the main loop are doing, and watches that loop.
import { writeSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { engineFromUrl } from '../app/connect.ts'
import { StoreUnavailable } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import { systemRuntime as runtime, type Timer } from '../core/runtime.ts'
import { type Dying, LoopState } from './blocked-answer.ts'
import { beatAgainIn, beatEvery } from './heartbeat.ts'
import { LoopWatch } from './loop-watch.ts'
import type { ThreadNews, ThreadOrder, ThreadOrders } from './session-thread.ts'

const { url, session, lease, loop, exitsWhenBlocked } = workerData as ThreadOrders

// Not awaited at the top level: a bundle in CommonJS could not hold that.
void run()

async function run(): Promise<void> {
  const engine = (await engineFromUrl(url))(runtime)
  const state = new LoopState(loop)
  const watch = createWatch(engine, state)
  const beats = new Beats(engine)
  parentPort?.on('message', (order: ThreadOrder) => void (order === 'stop' ? stop() : tellLast(order)))
  beats.start()
  watch.start()

  async function stop(): Promise<void> {
    await Promise.all([watch.stop(), beats.stop()])
    await engine.close()
    parentPort?.close()
  }

  /** The main thread waits for this, and is gone right after. */
  async function tellLast({ news, settlements }: Dying): Promise<void> {
    try {
      await Promise.all([watch.stop(), beats.stop()])
      await engine.heartbeat({ session, lease, held: null, ...news })
      if (settlements.length > 0) await engine.settle(settlements)
    } catch (error) {
      writeSync(2, `celeriac: What a dying process had to say was not stored: ${String(error)}\n`)
    } finally {
      state.noteTold()
    }
  }
}

function createWatch(store: Engine, state: LoopState): LoopWatch {
  return new LoopWatch({
    store,
    runtime,
    session,
    lease,
    turns: () => state.turns,
    latestDeadline: () => state.latestDeadline,
    async ask() {
      // Not every Node has an inspector.
      const { askMainThread } = await import('./ask-main-thread.ts')
      return askMainThread(session.id, state, runtime)
    },
    // Streams of a thread are written by the main loop.
    say: (message) => void writeSync(2, `celeriac: ${message}\n`),
    exit: exitsWhenBlocked ? () => void process.kill(process.pid, 'SIGKILL') : null,
  })
}

class Beats {
  readonly #store: Engine
  #timer: Timer | null = null
  #beating: Promise<void> | null = null
  #isStopped = false

  constructor(store: Engine) {
    this.#store = store
  }

  start(): void {
    this.#beating = this.#beat().then((wait) => {
      this.#beating = null
      if (!this.#isStopped) this.#timer = runtime.after(wait, () => this.start())
    })
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#timer?.cancel()
    await this.#beating
  }

  /** Gives how long to wait for the next beat, in milliseconds. */
  async #beat(): Promise<number> {
    try {
      await this.#store.heartbeat({ session, lease, held: null, progress: [], log: [] })
      tell({ failure: null })
      return beatEvery(lease)
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      tell({ failure: { message, isAway: error instanceof StoreUnavailable } })
      return beatAgainIn(lease)
    }
  }
}

function tell(news: ThreadNews): void {
  parentPort?.postMessage(news)
}
