import type { Case } from '../../case.ts'
import { withDatabase } from '../../contenders/database.ts'
import { drainedBesideEmpty, drainedFrom, manyQueues } from '../../contenders/queues.ts'

export const measured: Case = {
  name: 'postgres/queues',
  needs: ['postgres'],
  rounds: 3,
  contenders: {
    one: (run) => withDatabase(run, (url) => drainedBesideEmpty(url, run, 0)),
    empty: (run) => withDatabase(run, (url) => drainedBesideEmpty(url, run, manyQueues)),
    ten: (run) => withDatabase(run, (url) => drainedFrom(url, run, 10)),
    full: (run) => withDatabase(run, (url) => drainedFrom(url, run, manyQueues)),
  },
  lines: [
    {
      section: 'postgres itself',
      label: 'drain, beside 10,000 queues that are empty / none',
      figure: 'empty.rate',
      beside: 'one.rate',
      target: { type: 'ratio', atLeast: 0.9 },
    },
    { section: 'postgres itself', label: '  from 10,000 queues / from 10', figure: 'full.rate', beside: 'ten.rate' },
  ],
}
