import { type ChildProcess, spawn } from 'node:child_process'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Context } from './context.ts'
import { type ImportedMessage, supervised } from './imports.ts'
import { Watch } from './watch.ts'

const program = fileURLToPath(new URL('./main.ts', import.meta.url))

/**
 * Runs a worker in a process of its own, and another one whenever the module or what it imports has changed. One that
 * ends by itself, because the module has a mistake in it say, is waited with until the next change.
 *
 * @param file the module, absolute
 * @param args of the command that runs the worker
 * @returns when it was told to stop, and the worker has
 */
export async function supervise(context: Context, file: string, args: readonly string[]): Promise<void> {
  const supervisor = new Supervisor(context, args)
  await supervisor.run(file)
}

class Supervisor {
  readonly #context: Context
  readonly #args: readonly string[]
  readonly #watch: Watch
  #worker: ChildProcess | undefined
  #isStopping = false
  #isRestarting = false
  #wake: () => void = () => {}

  constructor(context: Context, args: readonly string[]) {
    this.#context = context
    this.#args = args
    this.#watch = new Watch(context.runtime, (changed, isKnown) => this.#onChange(changed, isKnown))
  }

  async run(file: string): Promise<void> {
    this.#watch.add(file)
    const forget = this.#context.onStop((signal) => this.#stop(signal))
    try {
      while (!this.#isStopping) await this.#runOnce()
    } finally {
      forget()
      this.#watch.close()
    }
  }

  async #runOnce(): Promise<void> {
    this.#isRestarting = false
    const changed = new Promise<void>((resolve) => (this.#wake = resolve))
    const end = await this.#start()
    if (this.#isStopping || this.#isRestarting) return
    this.#say(`The worker has ended${describeEnd(end)}. Waiting for a change …`)
    await changed
  }

  #start(): Promise<End> {
    const worker = spawn(process.execPath, [...process.execArgv, program, ...this.#args], {
      cwd: this.#context.folder,
      env: { ...this.#context.environment, [supervised]: '1' },
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      // In a group of its own ctrl-C does not reach it but by way of this process, once.
      detached: true,
    })
    this.#worker = worker
    worker.on('message', (message: ImportedMessage) => {
      if (message.celeriac === 'imported') this.#watch.add(message.file)
    })
    return new Promise((resolve, reject) => {
      worker.once('error', reject)
      worker.once('exit', (code, signal) => {
        this.#worker = undefined
        resolve(signal ?? code ?? 0)
      })
    })
  }

  #onChange(file: string, isKnown: boolean): void {
    // A worker that runs is left alone by files it has not imported.
    if (this.#isStopping || (this.#worker && !isKnown)) return
    this.#say(`${relative(this.#context.folder, file)} has changed.`)
    this.#isRestarting = true
    this.#worker?.kill('SIGTERM')
    this.#wake()
  }

  #stop(signal: NodeJS.Signals): void {
    this.#isStopping = true
    this.#worker?.kill(signal)
    this.#wake()
  }

  #say(message: string): void {
    const { terminal } = this.#context
    terminal.note(terminal.view.paint('dim', `dev: ${message}`))
  }
}

/** The exit code of a process, or the signal that ended it. */
type End = number | NodeJS.Signals

function describeEnd(end: End): string {
  if (typeof end === 'number') return ` with code ${end}`
  // Nothing else tells of it: the process itself had no time to.
  if (end === 'SIGABRT') return ' by SIGABRT: it may have run out of memory'
  if (end === 'SIGKILL') return ' by SIGKILL: its loop stayed blocked, or the system had no memory left'
  return ` by ${end}`
}
