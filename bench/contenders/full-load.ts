import { stat } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Celeriac } from 'celeriac'
import { Worker } from 'celeriac/worker'
import type { Case, Figures, Run } from '../case.ts'
import { argumentPairs } from './celeriac.ts'
import { withClient as withDatabaseClient } from './database.ts'
import { withClient as withRedisClient } from './keyspace.ts'
import { type Store, withStore } from './stores.ts'

type Size = () => Promise<number>
type Retention = '10s' | '7d'

/** Gives how many bytes a store takes, for as long as it is used. */
const measuring: Readonly<
  Record<Exclude<Store, 'fast'>, (url: string, use: (size: Size) => Promise<Figures>) => Promise<Figures>>
> = {
  sqlite: (url, use) => use(() => fileSize(url)),
  postgres: (url, use) =>
    withDatabaseClient(url, (client) =>
      use(async () => {
        const { rows } = await client.query<{ size: string }>('select pg_database_size(current_database()) as size')
        return Number(rows[0]?.size)
      }),
    ),
  redis: (url, use) =>
    withRedisClient(url, (client) =>
      use(async () => Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1])),
    ),
}

async function fileSize(url: string): Promise<number> {
  const path = fileURLToPath(`file://${url.slice('sqlite:'.length).replace(/\?.*/, '')}`)
  const sizes = await Promise.all(['', '-wal'].map(async (suffix) => (await stat(path + suffix)).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** Jobs submitted and not run: enough for the worker never to wait. */
const backlog = 4_000
const megabyte = 1_048_576

/**
 * As much as one process can submit and run, for a while: how many jobs a second that comes to in the last two thirds of it,
 * and the size of the store, in megabytes, at its largest in the second and in the last third.
 */
async function fullLoad(url: string, retention: Retention, seconds: number, size: Size): Promise<Figures> {
  const app = new Celeriac({ url, retention })
  let ran = 0
  let wake = (): void => {}
  const add = app.task('bench.add', (x: number, y: number) => {
    ran++
    wake()
    return x + y
  })
  const worker = new Worker(app)
  await worker.start()
  const sizes: number[] = []
  const startedAt = performance.now()
  const passed = (): number => (performance.now() - startedAt) / 1000
  let first: { readonly ran: number; readonly at: number } | null = null
  const pairs = argumentPairs(1_000)
  for (let sent = 0; passed() < seconds;) {
    if (passed() >= sizes.length + 1) sizes.push((await size()) / megabyte)
    if (first === null && passed() >= seconds / 3) first = { ran, at: passed() }
    if (sent - ran < backlog) sent += (await add.delayMany(pairs)).length
    else await new Promise<void>((resolve) => (wake = resolve))
  }
  const rate = (ran - (first?.ran ?? 0)) / (passed() - (first?.at ?? 0))
  await worker.stop()
  await app.close()
  const third = Math.floor(sizes.length / 3)
  return { rate, middle: Math.max(...sizes.slice(third, 2 * third)), last: Math.max(...sizes.slice(2 * third)) }
}

/** Retention has to keep up with as much as a process can submit and run, and the store must stop growing. */
export function retentionCase(store: keyof typeof measuring): Case {
  const loaded = (run: Run, retention: Retention): Promise<Figures> =>
    withStore[store === 'sqlite' ? 'fast' : store](run, (url) =>
      measuring[store](url, (size) => fullLoad(url, retention, run.seconds ?? (run.quick ? 30 : 60), size)),
    )
  return {
    name: `${store}/retention`,
    needs: store === 'sqlite' ? [] : [store],
    rounds: 1,
    contenders: { kept: (run) => loaded(run, '7d'), removed: (run) => loaded(run, '10s') },
    lines: [
      {
        section: `${store} itself`,
        label: 'full load, retention 10 s / a week',
        figure: 'removed.rate',
        beside: 'kept.rate',
        target: { type: 'ratio', atLeast: 0.85 },
      },
      {
        section: `${store} itself`,
        label: '  size of the store, last / middle third',
        figure: 'removed.last',
        beside: 'removed.middle',
        target: { type: 'share', atMost: 1.05 },
      },
      {
        section: `${store} itself`,
        label: '  where nothing is removed, MB',
        figure: 'kept.last',
        beside: 'kept.middle',
      },
    ],
  }
}
