import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { systemRuntime } from '../../core/runtime.ts'
import type { Engine } from '../../engine/engine.ts'
import type { Signal } from '../../engine/feed.ts'
import { manualRuntime } from '../../../test/fixtures/clock.ts'
import { alone, submission } from '../../../test/fixtures/graphs.ts'
import { Proxy } from '../../../test/fixtures/proxy.ts'
import { hire } from '../../../test/servers/hire.ts'
import { closedAfterEach, ownPostgres } from '../../../test/servers/own.ts'
import type { PostgresOptions } from './options.ts'
import { postgres } from './postgres.ts'

const own = ownPostgres()

const closing = closedAfterEach()
let schema = ''
let count = 0

function connect(options: Partial<PostgresOptions> = {}, runtime = systemRuntime): Engine {
  const from = options.pool === undefined ? { url: own.server.url } : {}
  const engine = postgres({ ...from, schema, ...options })(runtime)
  closing.push(() => engine.close())
  return engine
}
const freshSchema = (): string => (schema = `watched_${++count}`)

/** What an engine was told, and the way to wait for more of it. */
class Heard {
  readonly signals: Signal[] = []
  #waiting: (() => void)[] = []

  constructor(engine: Engine) {
    closing.push(
      engine.subscribe((signal) => {
        this.signals.push(signal)
        for (const look of this.#waiting.splice(0)) look()
      }),
    )
  }
  async next(isIt: (signal: Signal) => boolean): Promise<void> {
    for (this.signals.length = 0; !this.signals.some(isIt);)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}
const isAnything = ({ queued, changed, cancel }: Signal): boolean => queued && changed && cancel
const isQueued = ({ queued, cancel }: Signal): boolean => queued && !cancel

/** An engine that listens, and what it hears. */
async function listening(options: Partial<PostgresOptions> = {}): Promise<Heard> {
  const engine = connect(options)
  await engine.migrate()
  const heard = new Heard(engine)
  await heard.next(isAnything)
  return heard
}

/** The server's processes that listen for this schema; what such a one asked last is either of the two. */
const listeners = async (): Promise<number[]> => {
  const { rows } = await own.admin.query<{ pid: number }>(
    'select pid from pg_stat_activity where query = any ($1) and pid <> pg_backend_pid()',
    [[`listen "celeriac:${schema}"`, `select "${schema}".feed_standing()`]],
  )
  return rows.map(({ pid }) => pid)
}

describe('listening', () => {
  test('what another process did is heard, and what this one did is not heard twice', async () => {
    freshSchema()
    const engine = connect()
    await engine.migrate()
    const heard = new Heard(engine)
    await heard.next(isAnything)
    const other = connect()
    await other.migrate()
    const told = heard.next(isQueued)
    await other.submit([submission(alone())])
    await told
    heard.signals.length = 0
    const echo = new Heard(other)
    await echo.next(isAnything)
    const both = echo.next(isQueued)
    await engine.submit([submission(alone())])
    await both
    expect(heard.signals.filter(isQueued)).toHaveLength(1)
  })

  test('a call tells of itself, and seldom; what comes at once after it is told together', async () => {
    freshSchema()
    const runtime = manualRuntime()
    const engine = connect({ clock: 'process' }, runtime)
    await engine.migrate()
    await own.admin.query(`listen "celeriac:${schema}"`)
    const heard: string[] = []
    let isOver = (): void => undefined
    own.admin.on('notification', ({ payload = '' }) => (payload === 'over' ? isOver() : heard.push(payload)))
    const all = async (): Promise<string[]> => {
      const over = new Promise<void>((resolve) => (isOver = resolve))
      await own.admin.query(`select pg_notify('celeriac:${schema}', 'over')`)
      await over
      return heard.map((payload) => payload.split(' ')[0] ?? '')
    }
    await engine.submit([submission(alone())])
    expect(await all()).toEqual(['qc'])
    for (let count = 0; count < 3; count++) await engine.submit([submission(alone())])
    expect(await all()).toEqual(['qc'])
    runtime.pass(10)
    await engine.close()
    expect(await all()).toEqual(['qc', 'qc'])
    own.admin.removeAllListeners('notification')
    await own.admin.query(`unlisten "celeriac:${schema}"`)
  })

  test('a connection that was ended is made anew, and a look asked for at once', async () => {
    freshSchema()
    const heard = await listening()
    const [pid] = await listeners()
    expect(pid).toBeTypeOf('number')
    const again = heard.next(isAnything)
    await own.admin.query('select pg_terminate_backend($1)', [pid])
    await again
    const other = connect()
    await other.migrate()
    const told = heard.next(isQueued)
    await other.submit([submission(alone())])
    await told
    expect(await listeners()).not.toContain(pid)
  })

  test('a connection that leads nowhere any more is found out and made anew', async () => {
    freshSchema()
    const proxy = await Proxy.before(own.server.url)
    closing.push(() => proxy.close())
    const heard = await listening({ url: proxy.url(own.server.url) })
    const before = proxy.counts.connections
    proxy.freeze()
    await proxy.until(({ connections }) => connections > before)
    const again = heard.next(isAnything)
    proxy.thaw()
    await again
  })

  test('a server that was away is listened to again by itself', async () => {
    freshSchema()
    const own = await hire('postgres')
    closing.push(() => own.remove())
    const heard = await listening({ url: own.url })
    await own.stop('at once')
    const again = heard.next(isAnything)
    await own.start()
    await again
  })

  test('the connection goes when nobody has listened for a while, not before', async () => {
    freshSchema()
    const clock = manualRuntime()
    const engine = connect({}, clock)
    await engine.migrate()
    const signals: Signal[] = []
    const told = new Promise<void>((resolve) => {
      const stop = engine.subscribe((signal) => {
        signals.push(signal)
        resolve()
      })
      closing.push(stop)
    })
    await told
    for (const stop of closing.splice(-1)) stop()
    clock.pass(9_000)
    expect(await listeners()).toHaveLength(1)
    closing.push(engine.subscribe(() => undefined))
    clock.pass(9_000)
    expect(await listeners()).toHaveLength(1)
    for (const stop of closing.splice(-1)) stop()
    clock.pass(10_000)
    while ((await listeners()).length > 0);
  })
})

describe('looking', () => {
  test('what another process did is found without listening, also what was committed late', async () => {
    freshSchema()
    const heard = await listening({ listen: false })
    const client = new pg.Client(own.server.url)
    await client.connect()
    closing.push(() => client.end())
    await client.query(
      `begin; insert into ${schema}.events (number, at, changes) values (nextval('${schema}.event_numbers'), 0, '[]')`,
    )
    const other = connect()
    const told = heard.next(isAnything)
    await other.submit([submission(alone())])
    await told
    const late = heard.next(isAnything)
    await client.query('commit')
    await late
  })

  test('an idle process asks less than twice in a second, whether it listens or not', async () => {
    for (const listen of [true, false]) {
      freshSchema()
      const clock = manualRuntime()
      const proxy = await Proxy.before(own.server.url)
      closing.push(() => proxy.close())
      const engine = connect({ url: proxy.url(own.server.url), listen }, clock)
      await engine.migrate()
      const heard = new Heard(engine)
      await heard.next(isAnything)
      // Each look is let come to its end before the clock goes on.
      const asked = proxy.counts['to server']
      asked.chunks = 0
      let looks = 0
      for (let second = 0; second < 30; second++) {
        for (let part = 0; part < 10; part++) {
          const timers = clock.pending
          clock.pass(100)
          if (clock.pending === timers) continue
          looks++
          while (clock.pending < timers) await new Promise((resolve) => setImmediate(resolve))
        }
      }
      expect(looks).toBeGreaterThan(5)
      expect(asked.chunks).toBeLessThan(2 * 30)
    }
  })
})
