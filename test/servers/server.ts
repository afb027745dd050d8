import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** A throw-away server, with data of its own that it keeps while it is stopped. */
export interface Server {
  readonly url: string
  /** Resolves once it answers. */
  start(): Promise<void>
  /** As an administrator does, or as when its machine fails. Resolves once it is gone. */
  stop(how: 'properly' | 'at once'): Promise<void>
  /** Stops it at once and removes its data. */
  remove(): Promise<void>
}

/** What a test may set: `{ max_connections: '20' }` for PostgreSQL, `{ maxmemory: '8mb' }` for Redis. */
export type Settings = Readonly<Record<string, string>>

/** This machine cannot run such a server; the message says why and what would help. */
export class Unavailable extends Error {
  override name = 'Unavailable'
}

export interface Command {
  readonly url: string
  readonly program: string
  readonly args: readonly string[]
  readonly options: SpawnOptions
  /** Takes the log, and is where the program runs. It goes with the server. */
  readonly folder: string
  readonly signals: { readonly properly: NodeJS.Signals; readonly 'at once': NodeJS.Signals }
  isAnswering(): Promise<boolean>
}

/** A program of this machine that is run as a child of this process. */
export class Running implements Server {
  readonly url: string
  readonly #command: Command
  #child: ChildProcess | null = null
  #exited: Promise<void> = Promise.resolve()

  constructor(command: Command) {
    this.url = command.url
    this.#command = command
  }

  async start(): Promise<void> {
    const { program, args, options, folder } = this.#command
    const log = openSync(join(folder, 'server.log'), 'a')
    const child = spawn(program, args, { ...options, cwd: folder, stdio: ['ignore', log, log] })
    closeSync(log)
    this.#child = child
    this.#exited = new Promise((resolve) => child.once('exit', () => resolve()).once('error', () => resolve()))
    await untilAnswering(this.#command, () => child.exitCode !== null || child.signalCode !== null || !child.pid)
  }

  async stop(how: 'properly' | 'at once'): Promise<void> {
    this.#child?.kill(this.#command.signals[how])
    await this.#exited
  }

  /** Sees to it that it is gone. */
  async remove(): Promise<void> {
    const lastResort = setTimeout(() => this.#child?.kill('SIGKILL'), 5_000)
    await this.stop('at once')
    clearTimeout(lastResort)
    rmSync(this.#command.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
  }
}

/** Asks until the server answers. */
export async function untilAnswering(
  { folder, isAnswering }: Pick<Command, 'folder' | 'isAnswering'>,
  isGone: () => boolean | Promise<boolean>,
): Promise<void> {
  for (const patience = performance.now() + 60_000; !(await isAnswering());) {
    if (await isGone()) throw new Error(`It ended at once:\n${endOfLog(folder)}`)
    if (performance.now() > patience) throw new Error(`It did not answer within a minute:\n${endOfLog(folder)}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function endOfLog(folder: string): string {
  try {
    return readFileSync(join(folder, 'server.log'), 'utf8').trimEnd().split('\n').slice(-20).join('\n')
  } catch {
    return ''
  }
}
