import pg from 'pg'
import { afterEach, expect, onTestFinished, test } from 'vitest'
import { systemRuntime } from '../../src/core/runtime.ts'
import { type Intercept, instrument } from '../../src/engine/instrument.ts'
import { Celeriac, currentJob } from '../../src/index.ts'
import { Worker } from '../../src/worker/worker.ts'
import { type Place, serverUrl } from '../engines.ts'
import { chordOf, groupOf, submission } from '../fixtures/graphs.ts'
import { hand, statesOf, succeeded } from '../fixtures/hand.ts'
import { Proxy } from '../fixtures/proxy.ts'
import { describeEngines } from '../fixtures/store.ts'
import { brokenRules, readHistory } from '../model/history.ts'
import { hireFor } from './outage.ts'
import { underFire } from './under-fire.ts'

/** What `pg_stat_activity` tells of a connection. */
interface Backend {
  readonly pid: number
  readonly state: string
  readonly wait_event_type: string | null
  readonly query: string
}

const withParameters = (url: string, parameters: Readonly<Record<string, string>>): string => {
  const changed = new URL(url)
  for (const [name, value] of Object.entries(parameters)) changed.searchParams.set(name, value)
  return changed.href
}

describeEngines(
  ({ place: makePlace, open, mayStart }) => {
    const closing: (() => unknown)[] = []
    afterEach(async () => {
      for (const close of closing.splice(0).reverse()) await close()
    })

    /** A connection of an administrator's own, and one more where it is asked for. */
    async function administrator(at = serverUrl('postgres')): Promise<pg.Client> {
      const client = new pg.Client({ connectionString: at })
      client.on('error', () => undefined)
      await client.connect()
      closing.push(async () => client.end().catch(() => undefined))
      return client
    }

    async function furnish(settings: Readonly<Record<string, string>> = {}) {
      const place = await makePlace()
      closing.push(() => place.remove())
      const schema = new URL(place.url).searchParams.get('schema') as string
      const url = withParameters(place.url, { application_name: schema, ...settings })
      const admin = await administrator()
      const backends = async (): Promise<Backend[]> =>
        (
          await admin.query<Backend>(
            'select pid, state, wait_event_type, query from pg_stat_activity where application_name = $1',
            [schema],
          )
        ).rows
      const terminate = async (chosen: readonly Backend[]): Promise<void> => {
        for (const { pid } of chosen) await admin.query('select pg_terminate_backend($1)', [pid])
      }
      /** Resolves when a request of ours waits for a lock. */
      const blocked = async (): Promise<Backend> => {
        for (;;) {
          const found = (await backends()).find((backend) => backend.wait_event_type === 'Lock')
          if (found) return found
        }
      }
      return { place, url, schema, admin, backends, terminate, blocked }
    }

    async function openBoth({ place, url }: { readonly place: Place; readonly url: string }) {
      const [engine, observer] = [open(url)(systemRuntime), place.open(systemRuntime)]
      closing.push(async () => Promise.all([engine.close(), observer.close()]))
      await engine.migrate()
      return { engine, observer, cursor: await observer.cursor() }
    }

    /** An app with a worker, whose one task waits until it is told to go on. */
    async function work(url: string, intercept?: Intercept) {
      const app = new Celeriac({
        engine: (runtime) => instrument(open(url)(runtime), { runtime, intercept }),
      })
      const [started, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const held = app.task('held', async () => {
        started.resolve()
        await goOn.promise
        return 'done'
      })
      const worker = new Worker(app, { log: () => {} })
      closing.push(async () => app.close())
      closing.push(async () => worker.stop({ grace: 0 }))
      await worker.start()
      return { app, held, worker, started: started.promise, goOn: goOn.resolve }
    }

    test('connections are terminated, idle or at work, while workers run', async () => {
      const { place, url, backends, terminate } = await furnish()
      const strikes = await underFire({
        place,
        url,
        async strike(count) {
          const all = await backends()
          const chosen = [
            all,
            all.filter(({ state }) => state === 'idle'),
            all.filter(({ state }) => state === 'active'),
          ]
          await terminate(chosen[count % 3] ?? [])
        },
      })
      expect(strikes).toBeGreaterThan(3)
    })

    test('a request whose connection is terminated is asked again', async () => {
      const { place, url, schema, blocked, terminate } = await furnish()
      const { engine, observer, cursor } = await openBoth({ place, url })
      const graph = groupOf('a', 'b')
      await engine.submit([submission(graph)])
      const worker = await hand(engine)
      const jobs = await worker.claim(2)
      const other = await administrator()
      await other.query('begin')
      await other.query(`select from ${schema}.jobs where id = $1 for update`, [jobs[0]?.id])
      const settling = engine.settle(
        jobs.map((job) => ({ ref: job.ref, token: job.token, outcome: succeeded(job.task) })),
      )
      const before = await blocked()
      await terminate([before])
      while ((await blocked()).pid === before.pid);
      await other.query('commit')
      expect(await settling).toEqual(['accepted', 'accepted'])
      expect(brokenRules(await readHistory(observer, [graph.id], cursor))).toEqual([])
    })

    test('a deadlock with somebody else is survived', async () => {
      const { place, url, schema, blocked } = await furnish()
      const { engine, observer, cursor } = await openBoth({ place, url })
      const graph = chordOf(['a', 'b'])
      await engine.submit([submission(graph)])
      const worker = await hand(engine)
      const jobs = await worker.claim(2)
      const other = await administrator()
      // Whoever finds the deadlock first is the one that gives way: it shall be the engine's connection.
      await other.query(`set deadlock_timeout = '1min'`)
      await other.query('begin')
      await other.query(`select from ${schema}.jobs where id = $1 for update`, [jobs[1]?.id])
      const before = await deadlocksOf(other)
      const settling = engine.settle(
        jobs.map((job) => ({ ref: job.ref, token: job.token, outcome: succeeded(job.task) })),
      )
      await blocked()
      await other.query(`select from ${schema}.jobs where id = $1 for update`, [jobs[0]?.id])
      await other.query('commit')
      expect(await settling).toEqual(['accepted', 'accepted'])
      expect(await statesOf(observer, graph)).toEqual({ a: 'succeeded', b: 'succeeded', body: 'queued' })
      await worker.drain()
      expect(brokenRules(await readHistory(observer, [graph.id], cursor))).toEqual([])
      // The server counts what a session did up to ten seconds later.
      while ((await deadlocksOf(other)) <= before);
    })

    test.each(['serializable', 'repeatable read'])(
      'transactions that are %s by default, which fail for one another',
      async (isolation) => {
        const options = `-c default_transaction_isolation=${isolation.replace(' ', '\\ ')}`
        const { place, url } = await furnish({ options })
        await underFire({ place, url, workers: 3, canvases: 40, strike: () => undefined })
      },
    )

    test('a settlement that the server gives up for its length is sent until it goes through', async () => {
      const { url, schema } = await furnish({ options: '-c statement_timeout=200' })
      const answers: unknown[] = []
      const second = Promise.withResolvers<void>()
      const { held, started, goOn } = await work(url, async (method, call) => {
        const answer = await call()
        if (method === 'settle' && answers.push(answer) === 2) second.resolve()
        return answer
      })
      const job = await held.delay()
      await started
      const other = await administrator()
      await other.query('begin')
      await other.query(`select from ${schema}.jobs where id = $1 for update`, [job.id])
      goOn()
      await second.promise
      await other.query('commit')
      expect(await job.result()).toBe('done')
      expect(answers.slice(0, 2)).toEqual([['busy'], ['busy']])
      expect((await job.snapshot()).attempts).toMatchObject([{ attempt: 1, outcome: 'succeeded' }])
    })

    test('a transaction of the user’s that is terminated leaves nothing', async () => {
      const { url } = await furnish()
      const { app, held, goOn } = await work(url)
      goOn()
      const client = await administrator()
      await client.query('begin')
      const lost = await held.with({ within: client }).delay()
      const other = await administrator()
      await other.query('select pg_terminate_backend($1)', [(client as unknown as { processID: number }).processID])
      await expect(client.query('commit')).rejects.toThrow()
      await expect(app.job(lost.id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
      expect(await (await held.delay()).result()).toBe('done')
    })

    test('a commit of the user’s whose reply was lost is found by its idempotency key', async () => {
      const { place, url } = await furnish()
      const { held, goOn } = await work(url)
      const proxy = await Proxy.before(place.url)
      closing.push(async () => proxy.close())
      goOn()
      const send = async (client: pg.Client): Promise<string> => {
        await client.query('begin')
        const { id } = await held.with({ within: client, idempotencyKey: 'once' }).delay()
        await client.query('commit')
        return id
      }
      const lost = proxy.loseReply((sent) => sent.includes('commit'))
      await expect(send(await administrator(proxy.url(serverUrl('postgres'))))).rejects.toThrow()
      await lost
      const id = await send(await administrator())
      const job = await held.with({ idempotencyKey: 'once' }).delay()
      expect(job.id).toBe(id)
      expect(await job.result()).toBe('done')
      expect((await job.snapshot()).attempt).toBe(1)
    })

    test('a job completed within a transaction whose commit gets no reply is completed once', async () => {
      const { place, admin, schema } = await furnish()
      const proxy = await Proxy.before(place.url)
      closing.push(async () => proxy.close())
      await admin.query(`create table if not exists ${schema}_sold (shop text)`)
      closing.push(async () => admin.query(`drop table ${schema}_sold`))
      const { app } = await work(proxy.url(place.url))
      const sell = app.task('sell', (shop: string) =>
        currentJob().completeWithin(async (client) => {
          await client.query(`insert into ${schema}_sold values ($1)`, [shop])
          return shop
        }),
      )
      const lost = proxy.loseReply((sent) => /commit/i.test(String(sent)))
      const job = await sell.delay('ikea')
      await lost
      expect(await job.result()).toBe('ikea')
      const { rows } = await admin.query(`select shop from ${schema}_sold`)
      expect(rows).toEqual([{ shop: 'ikea' }])
      expect((await job.snapshot()).attempts).toMatchObject([{ attempt: 1, outcome: 'succeeded' }])
    })

    test('a handler whose transaction is terminated has written nothing, and fails as any other', async () => {
      const { url, admin, schema, backends, terminate } = await furnish()
      await admin.query(`create table if not exists ${schema}_sold (shop text)`)
      closing.push(async () => admin.query(`drop table ${schema}_sold`))
      const { app } = await work(url)
      const retry = { limit: 1, backoff: { base: 1, jitter: false } }
      const sell = app.task('sell', { retry }, async (shop: string) =>
        currentJob().completeWithin(async (client) => {
          await client.query(`insert into ${schema}_sold values ($1)`, [shop])
          if (currentJob().attempt === 1)
            await terminate((await backends()).filter(({ state }) => state === 'idle in transaction'))
          return shop
        }),
      )
      const job = await sell.delay('ikea')
      expect(await job.result()).toBe('ikea')
      const { rows } = await admin.query(`select shop from ${schema}_sold`)
      expect(rows).toEqual([{ shop: 'ikea' }])
    })

    test.skipIf(!mayStart)('a server with no connection left', async () => {
      const server = await hireFor('postgres', { max_connections: '16', superuser_reserved_connections: '0' })
      const place = await makePlace(server.url)
      const proxy = await Proxy.before(server.url)
      onTestFinished(async () => proxy.close())
      await underFire({
        place,
        url: proxy.url(place.url),
        async strike() {
          const taken = await takeAll(server.url)
          // Whoever comes back finds every place taken.
          const { connections } = proxy.counts
          proxy.reset()
          taken.push(...(await takeAll(server.url)))
          await proxy.until((counts) => counts.connections > connections + 3)
          for (const client of taken) await client.end()
        },
      })
    })
  },
  ['postgres'],
)

/** How many deadlocks the server has counted. */
async function deadlocksOf(client: pg.Client): Promise<number> {
  const counted = 'select deadlocks::int from pg_stat_database where datname = current_database()'
  const { rows } = await client.query<{ deadlocks: number }>(counted)
  return rows[0]!.deadlocks
}

/** Opens connections until there are none left. */
async function takeAll(url: string): Promise<pg.Client[]> {
  const taken: pg.Client[] = []
  for (;;) {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => undefined)
    try {
      await client.connect()
      taken.push(client)
    } catch {
      return taken
    }
  }
}
