import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Context } from './context.ts'
import { describeEnd, type End, forgetWorker, readOutOfMemory, readSole, storeEnd } from './crash.ts'
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
  /** Where a worker leaves what it cannot say when it is killed. */
  readonly #folder = mkdtempSync(join(tmpdir(), 'celeriac-dev-'))
  #storing: Promise<void> = Promise.resolve()
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
      rmSync(this.#folder, { recursive: true, force: true })
      await this.#storing
    }
  }

  async #runOnce(): Promise<void> {
    this.#isRestarting = false
    const changed = new Promise<void>((resolve) => (this.#wake = resolve))
    const end = await this.#start()
    this.#storing = this.#store(end, this.#storing)
    if (this.#isStopping || this.#isRestarting) return
    this.#say(`The worker has ended ${describeEnd(end)}. Waiting for a change …`)
    await changed
  }

  async #store(end: End, before: Promise<void>): Promise<void> {
    // Before the next worker writes its own.
    const sole = readSole(this.#folder)
    await before
    if (sole === null) return
    try {
      await storeEnd(sole, end, this.#context.runtime)
    } catch (error) {
      this.#say(`How it ended was not stored with job ${sole.jobId}: ${String(error)}`)
    }
  }

  #start(): Promise<End> {
    forgetWorker(this.#folder)
    const worker = spawn(process.execPath, [...process.execArgv, program, ...this.#args], {
      cwd: this.#context.folder,
      env: { ...this.#context.environment, [supervised]: this.#folder },
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
        resolve({ code, signal, outOfMemory: readOutOfMemory(this.#folder) })
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
