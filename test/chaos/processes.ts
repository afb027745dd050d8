import { type ChildProcess, fork } from 'node:child_process'
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

export function startWorkerProcess(url: string, lease: number): WorkerProcess {
  const child = fork(join(import.meta.dirname, 'worker-process.ts'), [url, String(lease)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
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
        if (found === -1) reject(new Error(`The worker process ended (${child.exitCode ?? child.signalCode}) before it said "${type}".`))
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
