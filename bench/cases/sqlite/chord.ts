import { chord } from 'celeriac'
import { Worker } from 'celeriac/worker'
import type { Case, Figures, Run } from '../../case.ts'
import { withFreshBench, type Mode } from '../../contenders/celeriac.ts'

const members = 10_000

export const measured: Case = {
  name: 'sqlite/chord',
  rounds: 5,
  contenders: {
    celeriac: (run) => tenThousand(run, 'fast'),
    durable: (run) => tenThousand(run, 'durable'),
  },
  lines: [
    {
      section: 'sqlite alone',
      label: 'chord of 10,000, submit to result, s',
      figure: 'celeriac.seconds',
      decimals: 2,
      target: { type: 'below', limit: 1 },
    },
    { section: 'sqlite alone', label: '  durable, s', figure: 'durable.seconds', decimals: 2 },
  ],
}

function tenThousand(run: Run, mode: Mode): Promise<Figures> {
  return withFreshBench(run, mode, async ({ app, add }) => {
    const sum = app.task('bench.sum', (values: number[]) => values.reduce((total, value) => total + value, 0))
    const worker = new Worker(app)
    await worker.start()
    const startedAt = performance.now()
    const header = Array.from({ length: members }, (_, index) => add.s(index, 1))
    const handle = await app.submit(chord(header, sum.s()))
    const total = await handle.result()
    const seconds = (performance.now() - startedAt) / 1000
    await worker.stop()
    if (total !== (members * (members + 1)) / 2) throw new Error(`the chord gave ${total}`)
    return { seconds }
  })
}
