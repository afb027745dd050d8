import { mkdtempSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { containerServer, hasDocker } from './docker.ts'
import { findPort } from './port.ts'
import { findProgram } from './programs.ts'
import { Running, type Server, type Settings, Unavailable } from './server.ts'

const neither = 'this machine has neither redis-server, nor valkey-server, nor Docker: install one of them'

/** In memory alone, unless a test wants to see it come back with what it had. */
const quick = {
  save: '',
  appendonly: 'no',
  'maxmemory-policy': 'noeviction',
  loglevel: 'warning',
  'repl-diskless-sync-delay': '0',
}

/** A Redis or Valkey that listens on loopback. Not started yet. */
export async function redisServer(settings: Settings): Promise<Server> {
  const program = findRedis()
  if (program === null && !hasDocker()) throw new Unavailable(`${neither}, or name a server in CELERIAC_TEST_REDIS_URL`)
  const port = await findPort()
  const url = `redis://127.0.0.1:${port}`
  // Else the nodes of a cluster talk on a port of those that the system hands out, which may be taken.
  const bus = settings['cluster-enabled'] === 'yes' ? { 'cluster-port': String(await findPort()) } : {}
  const options = Object.entries({ ...quick, ...bus, ...settings }).flatMap(([name, value]) => [`--${name}`, value])
  const answers = (): Promise<boolean> => isAnswering(port)
  if (program === null) {
    const args = ['redis-server', ...options]
    return containerServer({ url, image: 'redis:7-alpine', ports: [port, 6379], args, isAnswering: answers })
  }
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-redis-'))
  return new Running({
    url,
    program,
    args: ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, ...options],
    options: {},
    folder,
    signals: { properly: 'SIGTERM', 'at once': 'SIGKILL' },
    isAnswering: answers,
  })
}

export const findRedis = (): string | null => findProgram('redis-server') ?? findProgram('valkey-server')

const isAnswering = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    const tell = (answers: boolean): void => {
      socket.destroy()
      resolve(answers)
    }
    socket.setTimeout(2_000, () => tell(false))
    // Refused while it still loads its data.
    socket.once('data', (said) => tell(said.toString('latin1').startsWith('+PONG')))
    socket.once('error', () => tell(false))
    socket.once('close', () => resolve(false))
  })
