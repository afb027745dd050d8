import { fork, type ChildProcess } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Told } from '../programs/celeriac-worker.ts'

export const celeriacWorker = fileURLToPath(new URL('../programs/celeriac-worker.ts', import.meta.url))

/** A worker in another process, which tells what its handlers do. */
export class WorkerProcess {
  readonly #child: ChildProcess
  readonly #told = new EventEmitter()
  #ranCount = 0

  /** Resolves when it is connected; it works when it is told to `start`. */
  static async open(url: string, program = celeriacWorker): Promise<WorkerProcess> {
    const opened = new WorkerProcess(fork(program, [url], { execArgv: ['--disable-warning=ExperimentalWarning'] }))
    await opened.next('ready')
    return opened
  }

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (told: Told) => {
      if (told.type === 'ran') this.#ranCount += told.count
      this.#told.emit(told.type, told)
    })
    child.once('exit', (code, signal) => {
      if (this.#told.listenerCount('error') > 0) this.#told.emit('error', new Error(`it ended: ${code ?? signal}`))
    })
  }

  /** How many jobs it has run. */
  get ranCount(): number {
    return this.#ranCount
  }

  start(): void {
    this.#child.send('start')
  }

  /** When it is told next: the instant at which that was, by the clock that all processes share. */
  async next(type: Told['type']): Promise<number> {
    const [told] = (await once(this.#told, type)) as [Told]
    return 'at' in told ? told.at : Number.NaN
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.send('stop')
    await ended
  }

  /** As when its machine fails. Says when. */
  kill(): number {
    this.#child.kill('SIGKILL')
    return now()
  }
}

export function now(): number {
  return performance.timeOrigin + performance.now()
}
