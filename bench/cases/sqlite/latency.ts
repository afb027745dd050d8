import { Worker } from 'celeriac/worker'
import type { Case, Figures, Run } from '../../case.ts'
import { withFreshBench, type Mode } from '../../contenders/celeriac.ts'
import { plainjobWorker, withPlainjob } from '../../peers/plainjob.ts'
import { quantiles } from '../../statistics.ts'

export const measured: Case = {
  name: 'sqlite/latency',
  rounds: 3,
  contenders: {
    celeriac: (run) => celeriacLatency(run, 'fast'),
    durable: (run) => celeriacLatency(run, 'durable'),
    plainjob: plainjobLatency,
  },
  lines: [
    {
      section: 'sqlite alone',
      label: 'delay() to handler, p50, ms',
      figure: 'celeriac.p50',
      decimals: 3,
      target: { type: 'below', limit: 0.3 },
    },
    { section: 'sqlite alone', label: '  p99, ms', figure: 'celeriac.p99', decimals: 3 },
    { section: 'sqlite alone', label: '  durable, p50, ms', figure: 'durable.p50', decimals: 3 },
    { section: 'sqlite alone', label: '  plainjob, polling at 1 ms, p50, ms', figure: 'plainjob.p50', decimals: 3 },
  ],
}

function celeriacLatency(run: Run, mode: Mode): Promise<Figures> {
  return withFreshBench(run, mode, async ({ app }) => {
    let startedAt = 0
    const mark = app.task('bench.mark', () => {
      startedAt = performance.now()
    })
    const worker = new Worker(app)
    await worker.start()
    const waits: number[] = []
    for (let index = 0; index < samples(run); index++) {
      const sentAt = performance.now()
      const handle = await mark.delay()
      await handle.result()
      waits.push(startedAt - sentAt)
    }
    await worker.stop()
    return quantiles(waits)
  })
}

function plainjobLatency(run: Run): Promise<Figures> {
  return withPlainjob(run, async (queue) => {
    let started = (): void => {}
    const worker = plainjobWorker(queue, () => started())
    const stopped = worker.start()
    const waits: number[] = []
    for (let index = 0; index < samples(run); index++) {
      const sentAt = performance.now()
      const handled = new Promise<void>((resolve) => (started = resolve))
      queue.add('bench.add', {})
      await handled
      waits.push(performance.now() - sentAt)
      // Let it mark the job and fall asleep, as Celeriac's worker has done when the result is there.
      await new Promise((resolve) => setImmediate(resolve))
    }
    await worker.stop()
    await stopped
    return quantiles(waits)
  })
}

function samples({ quick }: Run): number {
  return quick ? 300 : 2_000
}
