import type { Case } from '../../case.ts'
import { fileUrl } from '../../contenders/celeriac.ts'
import { withScratchFile } from '../../contenders/scratch-file.ts'
import { drainedBesideEmpty, drainedFrom, manyQueues } from '../../contenders/queues.ts'

export const measured: Case = {
  name: 'sqlite/queues',
  rounds: 3,
  contenders: {
    one: (run) => withScratchFile(run, (path) => drainedBesideEmpty(fileUrl(path, 'fast'), run, 0)),
    empty: (run) => withScratchFile(run, (path) => drainedBesideEmpty(fileUrl(path, 'fast'), run, manyQueues)),
    ten: (run) => withScratchFile(run, (path) => drainedFrom(fileUrl(path, 'fast'), run, 10)),
    full: (run) => withScratchFile(run, (path) => drainedFrom(fileUrl(path, 'fast'), run, manyQueues)),
  },
  lines: [
    {
      section: 'sqlite itself',
      label: 'drain, beside 10,000 queues that are empty / none',
      figure: 'empty.rate',
      beside: 'one.rate',
      target: { type: 'ratio', atLeast: 0.9 },
    },
    { section: 'sqlite itself', label: '  from 10,000 queues / from 10', figure: 'full.rate', beside: 'ten.rate' },
  ],
}
