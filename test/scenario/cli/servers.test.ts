import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createClient } from '@redis/client'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { displayWidth } from '../../../src/cli/text.ts'
import { start, startCommand, type Started } from '../../fixtures/command-process.ts'
import { type Listening, oldPostgres, oldRedis, silentServer } from '../../fixtures/old-server.ts'
import { describeEngines } from '../../fixtures/store.ts'
import { hire, type Hired } from '../../servers/hire.ts'
import { findPort } from '../../servers/port.ts'
import { startStandby } from '../../servers/standby.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'celeriac-servers-'))
const hired: Hired[] = []
const hiring = async (...given: Parameters<typeof hire>): Promise<Hired> => {
  const server = await hire(...given)
  hired.push(server)
  return server
}
afterAll(async () => {
  await Promise.all(hired.map((server) => server.remove()))
  rmSync(folder, { recursive: true })
})

/** The command gives a server 3 s to answer, which is not always enough where many tests run at once. */
const busy = { retry: 2 }

/** Nothing may ever tell it. */
const secret = 'geheim-4711'

async function celeriac(...args: readonly string[]) {
  const { ended, said } = startCommand(args, { cwd: folder })
  const code = await ended
  expect(said.out + said.err).not.toContain(secret)
  return { code, ...said }
}

/** The command says one sentence and ends with this code. */
async function says(url: string, code: number, message: RegExp, command = 'jobs'): Promise<void> {
  const ran = await celeriac(command, '--url', url)
  expect(ran).toMatchObject({ code, out: '' })
  expect(ran.err).toMatch(/^error: .*\n$/)
  expect(ran.err).toMatch(message)
}

/** Doctor says it where it tells of the store. */
async function doctorSays(url: string, found: RegExp): Promise<void> {
  const { code, out } = await celeriac('doctor', '--url', url)
  expect(code).toBe(1)
  const said = out.replaceAll(/\s+/g, ' ')
  expect(said).toMatch(/✗ store it cannot be opened → /)
  expect(said).toMatch(found)
}

/** The same url for somebody else, or with something else changed. */
function at(url: string, change: Partial<Pick<URL, 'username' | 'password' | 'pathname' | 'port' | 'search'>>): string {
  return Object.assign(new URL(url), change).href
}

describeEngines(() => {
  let server: Hired

  const ask = async (sql: string, database = 'postgres'): Promise<void> => {
    const client = new pg.Client({ connectionString: at(server.url, { pathname: `/${database}` }) })
    await client.connect()
    await client.query(sql)
    await client.end()
  }
  const as = (username: string, database = 'shop'): string =>
    at(server.url, { username, password: secret, pathname: `/${database}` })

  beforeAll(async () => {
    server = await hiring('postgres')
    for (const user of ['shop', 'guest', 'reader']) await ask(`create role ${user} login password '${secret}'`)
    await ask('alter role reader set default_transaction_read_only = on')
    await ask('create database shop owner shop')
    await ask(`create database latin encoding 'LATIN1' template template0 locale 'C'`)
  }, 60_000)

  it.each([
    ['a user that there is not', () => as('nobody'), 1, /refused the user or the password: .*\(STORE_DENIED\)/],
    [
      'a wrong password',
      () => at(as('shop'), { password: `${secret}!` }),
      1,
      /refused the user or the password: .*\(STORE_DENIED\)/,
    ],
    ['a database that there is not', () => as('shop', 'nothing'), 1, /has no such database: .*\(STORE_UNREACHABLE\)/],
    ['a user who may only read', () => as('reader'), 1, /lets this user only read .*\(STORE_READ_ONLY\)/],
    ['another encoding', () => as('shop', 'latin'), 1, /keeps text as LATIN1, .*\(STORE_UNSUITABLE\)/],
    [
      'a schema of a forbidden name',
      () => at(as('shop'), { search: '?schema=My-Jobs' }),
      2,
      /a schema is named .*'My-Jobs' is not.*\(BAD_URL\)/,
    ],
    [
      'a setting that there is not',
      () => at(as('shop'), { search: '?shcema=a' }),
      2,
      /"shcema" is not a setting .* did you mean "schema"\? ?\(BAD_URL\)/,
    ],
    ['a url that is none', () => 'postgres://shop:geheim-4711@host:port/x', 2, /cannot be read: .*\(BAD_URL\)/],
    [
      'a password that cuts the url short',
      () => 'postgres://shop:ge/geheim-4711@host/x',
      2,
      /cannot be read: .*\(BAD_URL\)/,
    ],
  ])('%s', busy, (_, url, code, message) => says(url(), code, message))

  it('a right that is missing', busy, () =>
    says(as('guest'), 1, /has no schema "celeriac", and this user may not make one: .*\(STORE_DENIED\)/, 'migrate'),
  )

  it('a schema that is newer than this package, also to doctor', busy, async () => {
    expect((await celeriac('migrate', '--url', as('shop'))).out).toMatch(/^Made: schema \d+\.\n$/)
    await ask(`update celeriac.meta set value = '999' where key = 'schema'`, 'shop')
    await says(as('shop'), 1, /has schema 999 .*update the package celeriac\. \(STORE_TOO_NEW\)/)
    const { code, out } = await celeriac('doctor', '--url', as('shop'))
    expect(code).toBe(1)
    expect(out).toMatch(/\n✗ store +it cannot be opened\n +→ .* has schema 999/)
    for (const line of out.split('\n')) expect(displayWidth(line)).toBeLessThanOrEqual(80)
  })

  it('a standby', busy, async () => {
    const standby = await startStandby(server.url)
    onTestFinished(() => standby.remove())
    const url = at(as('shop'), { port: new URL(standby.url).port })
    await says(url, 1, /is a standby, which can only be read: .*\(STORE_READ_ONLY\)/)
    await doctorSays(url, /is a standby/)
  })

  it('a server of another kind', busy, async () => {
    const other = await hiring('redis')
    await says(at(server.url, { port: new URL(other.url).port }), 1, /cannot be reached: .*\(STORE_UNREACHABLE\)/)
  })
}, ['postgres'])

describeEngines(() => {
  let server: Hired

  const ask = async (...command: readonly string[]): Promise<void> => {
    const client = createClient({ url: at(server.url, { password: secret }) })
    client.on('error', () => undefined)
    await client.connect()
    await client.sendCommand(command)
    await client.close()
  }
  const as = (username: string, password = secret): string => at(server.url, { username, password })

  beforeAll(async () => {
    server = await hiring('redis')
    await ask('config', 'set', 'requirepass', secret)
    await ask('acl', 'setuser', 'guest', 'on', `>${secret}`, '~{guest}:*', '+@read')
  }, 60_000)

  it.each([
    ['no password', () => server.url, 1, /asks for a password: .*\(STORE_DENIED\)/],
    ['a wrong password', () => as('', `${secret}!`), 1, /refused the user or the password: .*\(STORE_DENIED\)/],
    ['a right that is missing', () => as('guest'), 1, /does not allow this to the user: .*\(STORE_DENIED\)/],
    [
      'a database that there is not',
      () => at(as(''), { pathname: '/99' }),
      1,
      /has no database of this number: .*\(STORE_UNSUITABLE\)/,
    ],
    [
      'a namespace of a forbidden name',
      () => at(as(''), { search: '?namespace=a{b}' }),
      2,
      /a namespace has .* is none\. \(BAD_URL\)/,
    ],
    [
      'a setting that there is not',
      () => at(as(''), { search: '?namspace=a' }),
      2,
      /'namspace' is not a setting .*\(BAD_URL\)/,
    ],
  ])('%s', busy, (_, url, code, message) => says(url(), code, message))

  it('a schema that is newer than this package', busy, async () => {
    expect((await celeriac('migrate', '--url', as(''))).out).toMatch(/^Made: schema \d+\.\n$/)
    await ask('hset', '{celeriac}:meta', 'version', '999')
    await says(as(''), 1, /has schema 999, .*update the package celeriac\. \(STORE_TOO_NEW\)/)
  })

  it('a server that throws away what it has no room for, unless that is wanted', busy, async () => {
    const evicting = await hiring('redis', { 'maxmemory-policy': 'allkeys-lru' })
    await says(evicting.url, 1, /maxmemory-policy allkeys-lru\): .*\(STORE_UNSUITABLE\)/)
    expect((await celeriac('migrate', '--url', `${evicting.url}?allowEviction=true`)).code).toBe(0)
    const { code, out } = await celeriac('doctor', '--url', `${evicting.url}?allowEviction=true`)
    expect(code).toBe(1)
    expect(out).toMatch(/\n✗ eviction +allkeys-lru\n +→ /)
  })

  it('a replica', busy, async () => {
    const primary = await hiring('redis')
    const replica = await hiring('redis', { replicaof: `127.0.0.1 ${new URL(primary.url).port}` })
    await says(replica.url, 1, /is a replica, .*\(STORE_READ_ONLY\)/)
  })
}, ['redis'])

describe('a server that is too old', () => {
  it.each([
    [
      'PostgreSQL',
      oldPostgres,
      (port: number) => `postgres://shop:${secret}@127.0.0.1:${port}/shop`,
      /is version 12\.17\b/,
    ],
    ['Redis', oldRedis, (port: number) => `redis://:${secret}@127.0.0.1:${port}`, /is Redis 6\.2\.14\b/],
  ] as const)('of %s', busy, async (_, start, urlAt, found) => {
    const { port } = await listening(start)
    await says(urlAt(port), 1, /.*\(STORE_UNSUITABLE\)/)
    await says(urlAt(port), 1, found)
    await doctorSays(urlAt(port), found)
  })
})

describe('somebody who takes the connection and says nothing', () => {
  it.each([
    ['PostgreSQL', (port: number) => `postgres://shop:${secret}@127.0.0.1:${port}/shop`],
    ['Redis', (port: number) => `redis://:${secret}@127.0.0.1:${port}`],
  ] as const)('in place of %s', busy, async (_, urlAt) => {
    const { port } = await listening(silentServer)
    const others = new pg.Client({ host: '127.0.0.1', port, connectionTimeoutMillis: 5_000 }).connect()
    const isOver = await Promise.race([
      says(urlAt(port), 1, /127\.0\.0\.1:\d+.*\(STORE_UNREACHABLE\)/).then(() => 'before others lose patience'),
      others.catch(() => 'after 5 s'),
    ])
    expect(isOver).toBe('before others lose patience')
    await others.catch(() => undefined)
  })
})

async function listening(start: () => Promise<Listening>): Promise<Listening> {
  const server = await start()
  onTestFinished(() => server.close())
  return server
}

describe('no server', () => {
  it.each(['postgres://shop:geheim-4711@127.0.0.1', 'redis://:geheim-4711@127.0.0.1'])('at %s', async (url) => {
    const port = await findPort()
    await says(`${url}:${port}/0`, 1, /127\.0\.0\.1:\d+.*\(STORE_UNREACHABLE\)/)
    const { code, out } = await celeriac('doctor', '--url', `${url}:${port}/0`)
    expect(code).toBe(1)
    expect(out).toMatch(/✗ store +it cannot be opened\n +→ /)
  })

  it.each(['postgres://nowhere.invalid/shop', 'redis://nowhere.invalid'])('of the name in %s', (url) =>
    says(url, 1, /nowhere\.invalid.*\(STORE_UNREACHABLE\)/),
  )
})

describe('a driver that is not installed', () => {
  beforeAll(() => {
    cpSync(join(root, 'src'), join(folder, 'src'), { recursive: true, filter: (path) => !path.endsWith('.test.ts') })
    mkdirSync(join(folder, 'node_modules'))
    symlinkSync(join(root, 'node_modules/commander'), join(folder, 'node_modules/commander'))
    writeFileSync(join(folder, 'package.json'), '{"type":"module","version":"0.0.0"}')
  })

  it.each([
    ['postgres://localhost/shop', /the package pg, .*: run npm install pg\. \(DRIVER_MISSING\)/],
    ['redis://localhost', /the package @redis\/client .*: npm install @redis\/client\. \(DRIVER_MISSING\)/],
  ])('for %s', async (url, message) => {
    const run = async (command: string): Promise<Started['said']> => {
      const { ended, said } = start([join(folder, 'src/cli/main.ts'), command, '--url', url], {
        env: { NODE_OPTIONS: '--disable-warning=ExperimentalWarning' },
      })
      expect(await ended).toBe(1)
      return said
    }
    for (const command of ['jobs', 'migrate']) {
      const { err } = await run(command)
      expect(err).toMatch(/^error: .*\n$/)
      expect(err).toMatch(message)
    }
    const { out } = await run('doctor')
    expect(out.replaceAll(/\s+/g, ' ')).toMatch(/✗ store it cannot be opened → .* npm install /)
  })
})
