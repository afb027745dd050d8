import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { Worker } from 'celeriac/worker'
import type { Case, Figures, Run } from '../../case.ts'
import { fileUrl, fill, withBench } from '../../contenders/celeriac.ts'
import { withScratchFile } from '../../contenders/scratch-file.ts'

const busyProcess = fileURLToPath(new URL('../../contenders/busy-process.ts', import.meta.url))

export const measured: Case = {
  name: 'sqlite/pauses',
  rounds: 3,
  contenders: { alone: (run) => pauses(run, false), shared: (run) => pauses(run, true) },
  lines: [
    { section: 'sqlite alone', label: 'event loop held, draining, p50, ms', figure: 'alone.p50', decimals: 1 },
    { section: 'sqlite alone', label: '  longest, ms', figure: 'alone.longest', decimals: 1 },
    { section: 'sqlite alone', label: '  2 processes draining, p50, ms', figure: 'shared.p50', decimals: 1 },
    { section: 'sqlite alone', label: '  longest, ms', figure: 'shared.longest', decimals: 1 },
  ],
}

/** How long the event loop of a worker with a hundred slots stands still, alone or while another process drains another queue. */
function pauses(run: Run, isShared: boolean): Promise<Figures> {
  const count = run.quick ? 10_000 : 40_000
  return withScratchFile(run, (path) =>
    withBench(fileUrl(path, 'fast'), async ({ app, add, called }) => {
      await fill(add.with({ queue: 'ours' }), count)
      // Enough for the other one to be busy for as long as this one is.
      if (isShared) await fill(add.with({ queue: 'theirs' }), count * 4)
      const other = isShared ? await startOther(path) : null
      const all = called(count)
      const worker = new Worker(app, { queues: ['ours'], concurrency: 100 })
      await worker.start()
      const delay = monitorEventLoopDelay({ resolution: 1 })
      delay.enable()
      await all
      delay.disable()
      await worker.stop()
      await stopOther(other)
      return { p50: delay.percentile(50) / 1e6, longest: delay.max / 1e6 }
    }),
  )
}

async function startOther(path: string): Promise<ChildProcess> {
  const other = fork(busyProcess, [path, 'theirs'], { execArgv: ['--disable-warning=ExperimentalWarning'] })
  await once(other, 'message')
  return other
}

async function stopOther(other: ChildProcess | null): Promise<void> {
  if (other === null) return
  if (other.exitCode !== null) throw new Error('the other process ended before it was told to')
  const ended = once(other, 'exit')
  other.kill('SIGKILL')
  await ended
}
