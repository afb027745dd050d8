import { join } from 'node:path'
import type { Case, Run } from '../case.ts'
import { drain, fill, withBench } from '../contenders/celeriac.ts'

const queued = 100_000

export const measured: Case = {
  name: 'memory',
  rounds: 1,
  async prepare(run) {
    await withBench(file(run), 'fast', ({ add }) => fill(add, queued))
  },
  contenders: {
    worker: (run) =>
      withBench(file(run), 'fast', async (bench) => {
        await drain(bench, queued, [])
        return { megabytes: process.resourceUsage().maxRSS / 1024 }
      }),
  },
  lines: [
    {
      section: 'alone',
      label: 'worker draining 100,000, peak RSS, MB',
      figure: 'worker.megabytes',
      target: { type: 'below', limit: 150 },
    },
  ],
}

function file({ folder }: Run): string {
  return join(folder, 'queued.sqlite')
}
