import { type ChildProcess, fork } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

interface Said {
  readonly type: string
  readonly notices?: readonly string[]
  readonly attempt?: number
}

/** A worker in a process of its own. */
export interface WorkerProcess {
  readonly child: ChildProcess
  /** Resolves when the process says it; rejects when it exits first. */
  said(type: string): Promise<Said>
  exited: Promise<void>
}

/** Starts a module of this folder as a process. Compiled code is kept between them: they start three times as fast. */
export function startProcess(module: string, ...args: readonly (string | number)[]): ChildProcess {
  return fork(join(import.meta.dirname, module), args.map(String), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'celeriac-compile-cache') },
  })
}

export function startWorkerProcess(url: string, lease: number): WorkerProcess {
  const child = startProcess('worker-process.ts', url, lease)
  const heard: Said[] = []
  const listeners = new Set<() => void>()
  const tell = (): void => listeners.forEach((listener) => listener())
  child.on('message', (message) => {
    heard.push(message as Said)
    tell()
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  void exited.then(tell)
  const said = async (type: string): Promise<Said> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = heard.findIndex((each) => each.type === type)
        if (found === -1 && child.exitCode === null && child.signalCode === null) return
        listeners.delete(look)
        if (found === -1)
          reject(
            new Error(`The worker process ended (${child.exitCode ?? child.signalCode}) before it said "${type}".`),
          )
        else resolve(heard.splice(found, 1)[0] as Said)
      }
      listeners.add(look)
      look()
    })
  return { child, said, exited }
}

/** Ends it, whatever it is doing. */
export async function end(worker: WorkerProcess): Promise<void> {
  worker.child.kill('SIGKILL')
  await worker.exited
}
