import type { Case } from '../../case.ts'
import { withKeyspace } from '../../contenders/keyspace.ts'
import { drainedBesideEmpty, drainedFrom, manyQueues } from '../../contenders/queues.ts'

export const measured: Case = {
  name: 'redis/queues',
  needs: ['redis'],
  rounds: 3,
  contenders: {
    one: (run) => withKeyspace(run, (url) => drainedBesideEmpty(url, run, 0)),
    empty: (run) => withKeyspace(run, (url) => drainedBesideEmpty(url, run, manyQueues)),
    ten: (run) => withKeyspace(run, (url) => drainedFrom(url, run, 10)),
    full: (run) => withKeyspace(run, (url) => drainedFrom(url, run, manyQueues)),
  },
  lines: [
    {
      section: 'redis itself',
      label: 'drain, beside 10,000 queues that are empty / none',
      figure: 'empty.rate',
      beside: 'one.rate',
      target: { type: 'ratio', atLeast: 0.9 },
    },
    { section: 'redis itself', label: '  from 10,000 queues / from 10', figure: 'full.rate', beside: 'ten.rate' },
  ],
}
