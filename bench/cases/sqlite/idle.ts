import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'celeriac/worker'
import type { Case, Run } from '../../case.ts'
import { withFreshBench } from '../../contenders/celeriac.ts'

export const measured: Case = {
  name: 'sqlite/idle',
  rounds: 1,
  contenders: {
    worker: (run) =>
      withFreshBench(run, 'durable', async ({ app, add }) => {
        const worker = new Worker(app)
        await worker.start()
        const handle = await add.delay(1, 1)
        await handle.result()
        const share = await coreShare(run)
        await worker.stop()
        return { percent: share * 100 }
      }),
  },
  lines: [
    {
      section: 'sqlite alone',
      label: 'idle worker, % of a core',
      figure: 'worker.percent',
      decimals: 2,
      target: { type: 'below', limit: 1 },
    },
  ],
}

/** What this process, with all its threads, used of one core. */
async function coreShare({ quick }: Run): Promise<number> {
  // What the start set going (compiling, collecting garbage) is not idling.
  await sleep(2_000)
  const startedAt = performance.now()
  const before = process.cpuUsage()
  await sleep(quick ? 5_000 : 20_000)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000 / (performance.now() - startedAt)
}
