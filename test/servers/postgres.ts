import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chownSync, mkdtempSync, realpathSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { containerServer, hasDocker } from './docker.ts'
import { findPort } from './port.ts'
import { findProgram, unprivilegedAccount, versionFolders } from './programs.ts'
import { Running, type Server, type Settings, Unavailable } from './server.ts'

const neither = 'this machine has neither the programs of PostgreSQL (postgres, initdb) nor Docker: install one of them'

/** Nothing of these servers outlives the machine that they run on, so nothing waits for its disk. */
const quick = { fsync: 'off', full_page_writes: 'off', max_connections: '300', max_wal_size: '2GB' }

/** A PostgreSQL that listens on loopback, for its superuser with a password. Not started yet. */
export async function postgresServer(settings: Settings): Promise<Server> {
  const programs = findPostgres()
  if (programs === null && !hasDocker())
    throw new Unavailable(`${neither}, or name a server in CELERIAC_TEST_POSTGRES_URL`)
  const port = await findPort()
  const password = randomBytes(12).toString('hex')
  const url = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`
  const options = Object.entries({ ...quick, ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  if (programs !== null) return installedServer({ ...programs, port, password, url, options })
  return containerServer({
    url,
    image: 'postgres:17-alpine',
    ports: [port, 5432],
    env: { POSTGRES_PASSWORD: password },
    args: options,
    isAnswering: () => isAnswering(url),
  })
}

interface Programs {
  readonly server: string
  readonly initdb: string
}

/** Of one version: what lies beside each other. */
export function findPostgres(): Programs | null {
  const server = findProgram('postgres', versionFolders())
  const initdb = server && findProgram('initdb', [dirname(realpathSync(server))])
  return server && initdb ? { server, initdb } : null
}

interface Installed extends Programs {
  readonly port: number
  readonly password: string
  readonly url: string
  readonly options: readonly string[]
}

function installedServer({ server, initdb, port, password, url, options }: Installed): Server {
  const account = unprivilegedAccount()
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-postgres-'))
  const [data, secret] = [join(folder, 'data'), join(folder, 'password')]
  writeFileSync(secret, password, { mode: 0o600 })
  if (account) for (const path of [folder, secret]) chownSync(path, account.uid, account.gid)
  // The system's own settings of language or of another server must not reach this one.
  const env = { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' }
  const as = { env, ...account }
  const running = new Running({
    url,
    program: server,
    args: ['-D', data, '-p', String(port), ...loopback, ...options],
    options: as,
    folder,
    signals: { properly: 'SIGINT', 'at once': 'SIGQUIT' },
    isAnswering: () => isAnswering(url),
  })
  let isMade = false
  return {
    url,
    async start() {
      if (!isMade)
        execFileSync(initdb, ['-D', data, ...cluster, `--pwfile=${secret}`], { ...as, cwd: '/', stdio: 'pipe' })
      isMade = true
      await running.start()
    },
    stop: (how) => running.stop(how),
    remove: () => running.remove(),
  }
}

/** `md5` in place of the default spares each of the thousands of connections that tests make thousands of hashes. */
const cluster = ['-U', 'postgres', '-E', 'UTF8', '--no-locale', '--no-sync', '--auth=md5']
const loopback = ['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=']

export async function isAnswering(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('select 1')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}
