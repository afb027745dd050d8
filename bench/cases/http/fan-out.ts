import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { group } from 'celeriac'
import type { Case, Figures, Line, Run } from '../../case.ts'
import { withBench } from '../../contenders/celeriac.ts'
import { LiveLine } from '../../contenders/live-line.ts'
import { withServer } from '../../contenders/server-process.ts'
import { onEachStore, stores } from '../../contenders/stores.ts'
import { quantiles } from '../../statistics.ts'

const followers = 500
/** As many are looked into; of the others messages are counted. */
const heard = 20
const tickingWorker = fileURLToPath(new URL('../../programs/ticking-worker.ts', import.meta.url))

export const measured: Case = {
  name: 'http/fan-out',
  needs: ['postgres', 'redis'],
  rounds: 1,
  contenders: onEachStore(fannedOut),
  lines: stores.flatMap(([store, name]): Line[] => [
    {
      section: 'http alone',
      label: `100 events/s to 500, ${name}, p50, ms`,
      figure: `${store}.p50`,
      decimals: 1,
    },
    { section: 'http alone', label: '  p99, ms', figure: `${store}.p99`, decimals: 1 },
    {
      section: 'http alone',
      label: '  last third / first third',
      figure: `${store}.late`,
      beside: `${store}.early`,
      decimals: 1,
      target: { type: 'share', atMost: 1.25 },
    },
    { section: 'http alone', label: '  server, % of a core', figure: `${store}.percent` },
  ]),
}

/** From the instant of an event in the store, by its clock, to the message at the other end of a WebSocket. */
function fannedOut(url: string, { quick }: Run): Promise<Figures> {
  return withBench(url, async ({ app }) => {
    // One after the other, fifty a second; each is told when it begins and when it has ended.
    const jobs = quick ? 150 : 900
    const tick = app.declare<() => void>('bench.tick')
    const { id } = await app.submit(group(...Array.from({ length: jobs }, () => tick.s())))
    return withServer('http-server.mjs', url, async (server) => {
      const delays: number[] = []
      const lines: LiveLine[] = []
      for (let index = 0; index < followers; index++) {
        const hear = index % (followers / heard) === 0 ? note : undefined
        lines.push(await LiveLine.follow(server.url, { collection: id }, hear))
      }
      function note({ type, at }: { readonly type: string; readonly at?: string }, heardAt: number): void {
        if (type === 'state') delays.push(heardAt - Date.parse(at ?? ''))
      }
      const before = await server.usage()
      const startedAt = performance.now()
      const worker = fork(tickingWorker, [url], { execArgv: ['--disable-warning=ExperimentalWarning'] })
      // The snapshot, two states of each job, and that it settled.
      await Promise.all(lines.map((line) => line.told(2 + 2 * jobs)))
      const elapsed = performance.now() - startedAt
      const { processor } = await server.usage()
      for (const line of lines) line.close()
      const ended = once(worker, 'exit')
      worker.send('stop')
      await ended
      const third = Math.floor(delays.length / 3)
      return {
        ...quantiles(delays),
        early: quantiles(delays.slice(0, third)).p50,
        late: quantiles(delays.slice(-third)).p50,
        percent: (processor - before.processor) / elapsed / 10,
      }
    })
  })
}
