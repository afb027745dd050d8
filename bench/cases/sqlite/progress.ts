import type { Case } from '../../case.ts'
import { fileUrl } from '../../contenders/celeriac.ts'
import { progressElsewhere } from '../../contenders/elsewhere.ts'
import { withScratchFile } from '../../contenders/scratch-file.ts'

export const measured: Case = {
  name: 'sqlite/progress',
  rounds: 2,
  contenders: {
    celeriac: (run) =>
      withScratchFile(run, (path) => progressElsewhere(fileUrl(path, 'durable'), run.quick ? 30 : 120)),
  },
  lines: [
    { section: 'sqlite alone', label: 'progress across processes, p50, ms', figure: 'celeriac.p50', decimals: 1 },
    {
      section: 'sqlite alone',
      label: '  p99, ms',
      figure: 'celeriac.p99',
      decimals: 1,
      target: { type: 'below', limit: 100 },
    },
  ],
}
