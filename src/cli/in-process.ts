import { systemRuntime } from '../core/runtime.ts'
import { run } from './program.ts'
import { terminalOf } from './terminal.ts'

/** Runs the command line that this process was started with, and ends the process. */
export async function runInProcess(): Promise<never> {
  // Whoever reads the output may stop reading: `celeriac jobs | head`.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  const code = await run(process.argv.slice(2), {
    terminal: terminalOf(process.stdout, process.stderr, process.env, systemRuntime),
    runtime: systemRuntime,
    environment: process.env,
    folder: process.cwd(),
    onInterrupt: (call) => listen(['SIGINT'], call),
    onStop: (call) => listen(['SIGINT', 'SIGTERM'], call),
  })
  await Promise.all([flushed(process.stdout), flushed(process.stderr)])
  // A module that was loaded may hold things open that nobody closes.
  process.exit(code)
}

function listen(signals: readonly NodeJS.Signals[], call: (signal: NodeJS.Signals) => void): () => void {
  for (const signal of signals) process.on(signal, call)
  return () => {
    for (const signal of signals) process.off(signal, call)
  }
}

const flushed = (output: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => output.write('', () => resolve()))
