import { setTimeout as wait } from 'node:timers/promises'
import type { Case, Figures, Line, Run } from '../../case.ts'
import { withBench } from '../../contenders/celeriac.ts'
import { LiveLine } from '../../contenders/live-line.ts'
import { withServer } from '../../contenders/server-process.ts'
import { onEachStore, stores } from '../../contenders/stores.ts'

const followers = 1_000

export const measured: Case = {
  name: 'http/followers',
  needs: ['postgres', 'redis'],
  rounds: 1,
  contenders: onEachStore(idleFollowers),
  lines: stores.flatMap(([store, name]): Line[] => [
    {
      section: 'http alone',
      label: `1,000 followers, ${name}, MB`,
      figure: `${store}.added`,
      target: { type: 'below', limit: 100 },
    },
    { section: 'http alone', label: '  with all else of the process, MB', figure: `${store}.megabytes` },
    {
      section: 'http alone',
      label: '  nothing happening, % of a core',
      figure: `${store}.percent`,
      decimals: 2,
      target: { type: 'below', limit: 2 },
    },
  ]),
}

/** Each of a collection of its own, in which nothing happens. */
function idleFollowers(url: string, { quick }: Run): Promise<Figures> {
  return withBench(url, async ({ add }) => {
    const handles = await add.delayMany(Array.from({ length: followers }, (_, index): [number, number] => [index, 1]))
    return withServer('http-server.mjs', url, async (server) => {
      const before = await server.usage()
      const lines: LiveLine[] = []
      for (const { id } of handles) lines.push(await LiveLine.follow(server.url, { collection: id }))
      // What the beginning set going is not idling.
      await wait(5_000)
      const begun = await server.usage()
      const startedAt = performance.now()
      await wait(quick ? 5_000 : 40_000)
      const elapsed = performance.now() - startedAt
      const { memory, processor } = await server.usage()
      for (const line of lines) line.close()
      return {
        megabytes: memory / 1e6,
        added: (memory - before.memory) / 1e6,
        percent: (processor - begun.processor) / elapsed / 10,
      }
    })
  })
}
