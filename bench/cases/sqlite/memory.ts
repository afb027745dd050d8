import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Case, Figures, Run } from '../../case.ts'
import { fileUrl, fill, withBench } from '../../contenders/celeriac.ts'

const queued = 100_000
const program = fileURLToPath(new URL('../../programs/draining-worker.mjs', import.meta.url))

export const measured: Case = {
  name: 'sqlite/memory',
  rounds: 1,
  async prepare(run) {
    await withBench(fileUrl(file(run), 'fast'), ({ add }) => fill(add, queued))
  },
  contenders: {
    async worker(run) {
      const worker = fork(program, [`sqlite:${file(run)}?mode=fast`, String(queued)])
      const [figures] = (await Promise.race([once(worker, 'message'), once(worker, 'exit')])) as [
        Figures | number | null,
      ]
      if (figures === null || typeof figures === 'number') throw new Error(`the worker ended with ${figures}`)
      return figures
    },
  },
  lines: [
    {
      section: 'sqlite alone',
      label: 'worker draining 100,000, peak MB',
      figure: 'worker.megabytes',
      target: { type: 'below', limit: 150 },
    },
  ],
}

function file({ folder }: Run): string {
  return join(folder, 'queued.sqlite')
}
