import type { Case, Figures, Run } from '../../case.ts'
import { withBench } from '../../contenders/celeriac.ts'
import { withClient, withDatabase } from '../../contenders/database.ts'
import { finish, queue, rateOfPart } from '../../contenders/depth.ts'

export const measured: Case = {
  name: 'postgres/transaction',
  needs: ['postgres'],
  rounds: 3,
  contenders: {
    open: (run) => withDatabase(run, (url) => beside(url, run, true)),
    none: (run) => withDatabase(run, (url) => beside(url, run, false)),
  },
  lines: [
    {
      section: 'postgres itself',
      label: 'drain, 300,000 jobs into a transaction',
      figure: 'open.late',
      beside: 'open.early',
      target: { type: 'ratio', atLeast: 0.85 },
    },
    { section: 'postgres itself', label: '  as many jobs, no transaction', figure: 'none.late', beside: 'none.early' },
    { section: 'postgres itself', label: '  at its end, with / without one', figure: 'open.late', beside: 'none.late' },
  ],
}

/** The drain at the beginning of an open transaction of somebody else in the same database, and after many jobs. */
function beside(url: string, run: Run, isOpen: boolean): Promise<Figures> {
  const [many, count] = run.quick ? [100_000, 10_000] : [300_000, 30_000]
  return withBench(url, (bench) =>
    withClient(url, async (client) => {
      await bench.app.queues.list()
      if (isOpen) await client.query('begin isolation level repeatable read; select txid_current()')
      await queue(bench, count)
      const early = await rateOfPart(bench, count)
      await finish(bench, many)
      await queue(bench, count)
      const late = await rateOfPart(bench, count)
      if (isOpen) await client.query('commit')
      return { early, late }
    }),
  )
}
