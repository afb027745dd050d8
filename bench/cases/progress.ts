import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Case, Figures, Run } from '../case.ts'
import { withBench } from '../contenders/celeriac.ts'
import { withScratchFile } from '../contenders/scratch-file.ts'
import { quantile } from '../statistics.ts'

const reportingProcess = fileURLToPath(new URL('../contenders/reporting-process.ts', import.meta.url))

export const measured: Case = {
  name: 'progress',
  rounds: 2,
  contenders: { celeriac: progress },
  lines: [
    { section: 'alone', label: 'progress across processes, p50, ms', figure: 'celeriac.p50', decimals: 1 },
    {
      section: 'alone',
      label: '  p99, ms',
      figure: 'celeriac.p99',
      decimals: 1,
      target: { type: 'below', limit: 100 },
    },
  ],
}

/** From `progress()` in a handler to the event in another process that follows the job. */
function progress(run: Run): Promise<Figures> {
  return withScratchFile(run, (path) =>
    withBench(path, 'durable', async ({ app }) => {
      const report = app.declare<(count: number) => number>('bench.report')
      const job = await report.delay(run.quick ? 30 : 120)
      const worker = fork(reportingProcess, [path], { execArgv: ['--disable-warning=ExperimentalWarning'] })
      const waits: number[] = []
      for await (const event of job.events()) {
        if (event.type === 'progress') waits.push(performance.timeOrigin + performance.now() - Number(event.message))
      }
      const ended = once(worker, 'exit')
      worker.send('stop')
      await ended
      return { p50: quantile(waits, 0.5), p99: quantile(waits, 0.99) }
    }),
  )
}
