import { join } from 'node:path'
import type { Case, Figures, Run } from '../../case.ts'
import { drain, fileUrl, fill, withBench, withFreshBench, type Bench } from '../../contenders/celeriac.ts'

export const measured: Case = {
  name: 'sqlite/full-file',
  rounds: 7,
  async prepare(run) {
    await withBench(fileUrl(finishedFile(run), 'fast'), (bench) => finish(bench, run.quick ? 100_000 : 1_000_000))
    await withBench(fileUrl(delayedFile(run), 'fast'), ({ add }) => fill(add.with({ startIn: '1d' }), 100_000))
  },
  contenders: {
    empty: (run) => withFreshBench(run, 'fast', (bench) => drained(bench, run)),
    finished: (run) => withBench(fileUrl(finishedFile(run), 'fast'), (bench) => drained(bench, run)),
    delayed: (run) => withBench(fileUrl(delayedFile(run), 'fast'), (bench) => drained(bench, run)),
  },
  lines: [
    {
      section: 'sqlite itself',
      label: 'drain, 1,000,000 finished / empty',
      figure: 'finished.rate',
      beside: 'empty.rate',
      target: { type: 'ratio', atLeast: 0.85 },
    },
    {
      section: 'sqlite itself',
      label: 'drain, 100,000 delayed / empty',
      figure: 'delayed.rate',
      beside: 'empty.rate',
      target: { type: 'ratio', atLeast: 0.85 },
    },
  ],
}

/** By parts, so that no more than one part of the handles is in memory. */
async function finish(bench: Bench, count: number): Promise<void> {
  const part = 50_000
  for (let done = 0; done < count; done += part) await drain(bench, part, await fill(bench.add, part))
}

async function drained(bench: Bench, run: Run): Promise<Figures> {
  const count = run.quick ? 10_000 : 30_000
  const handles = await fill(bench.add, count)
  return { rate: (count / (await drain(bench, count, handles))) * 1000 }
}

function finishedFile({ folder }: Run): string {
  return join(folder, 'finished.sqlite')
}

function delayedFile({ folder }: Run): string {
  return join(folder, 'delayed.sqlite')
}
