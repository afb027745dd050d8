import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Case, Figures, Line, Run } from '../../case.ts'
import { withBench } from '../../contenders/celeriac.ts'
import { LiveLine } from '../../contenders/live-line.ts'
import { withServer } from '../../contenders/server-process.ts'
import { onEachStore, stores } from '../../contenders/stores.ts'
import { quantiles } from '../../statistics.ts'

const reportingProcess = fileURLToPath(new URL('../../contenders/reporting-process.ts', import.meta.url))

export const measured: Case = {
  name: 'http/progress',
  needs: ['postgres', 'redis'],
  rounds: 2,
  contenders: onEachStore(toBrowser),
  lines: stores.flatMap(([store, name]): Line[] => [
    {
      section: 'http alone',
      label: `progress to a line, ${name}, p50, ms`,
      figure: `${store}.p50`,
      decimals: 1,
      target: { type: 'below', limit: 20 },
    },
    {
      section: 'http alone',
      label: '  p99, ms',
      figure: `${store}.p99`,
      decimals: 1,
      target: { type: 'below', limit: 100 },
    },
  ]),
}

/** From `progress()` in a handler to the message at the other end of a WebSocket: worker, server and reader are three processes. */
function toBrowser(url: string, { quick }: Run): Promise<Figures> {
  return withBench(url, async ({ app }) => {
    const count = quick ? 30 : 150
    const report = app.declare<(count: number) => number>('bench.report')
    const { id } = await report.delay(count)
    return withServer('http-server.mjs', url, async (server) => {
      const waits: number[] = []
      const isOver = Promise.withResolvers<void>()
      const line = await LiveLine.follow(server.url, { job: id }, (event, at) => {
        if (event.type === 'progress') waits.push(at - Number(event.message))
        if (event.state === 'succeeded') isOver.resolve()
      })
      const worker = fork(reportingProcess, [url], { execArgv: ['--disable-warning=ExperimentalWarning'] })
      await isOver.promise
      line.close()
      const ended = once(worker, 'exit')
      worker.send('stop')
      await ended
      return quantiles(waits)
    })
  })
}
