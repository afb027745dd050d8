// Runs as a thread: keeps the session of its worker alive, whatever the handlers in the main loop are doing.
import { parentPort, workerData } from 'node:worker_threads'
import { engineFromUrl } from '../app/connect.ts'
import { StoreUnavailable } from '../core/errors.ts'
import { systemRuntime as runtime, type Timer } from '../core/runtime.ts'
import { beatAgainIn, beatEvery } from './heartbeat.ts'
import type { ThreadNews, ThreadOrders } from './session-thread.ts'

const { url, session, lease } = workerData as ThreadOrders
const engine = (await engineFromUrl(url))(runtime)

let timer: Timer | null = null
let isStopping = false
let beating: Promise<void> | null = null

parentPort?.once('message', () => void stop())
beatAndGoOn()

function beatAndGoOn(): void {
  beating = beat().then((wait) => {
    beating = null
    if (!isStopping) timer = runtime.after(wait, beatAndGoOn)
  })
}

/** Gives how long to wait for the next beat, in milliseconds. */
async function beat(): Promise<number> {
  try {
    await engine.heartbeat({ session, lease, held: null, progress: [], log: [] })
    tell({ failure: null })
    return beatEvery(lease)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    tell({ failure: { message, isAway: error instanceof StoreUnavailable } })
    return beatAgainIn(lease)
  }
}

async function stop(): Promise<void> {
  isStopping = true
  timer?.cancel()
  await beating
  await engine.close()
}

function tell(news: ThreadNews): void {
  parentPort?.postMessage(news)
}
