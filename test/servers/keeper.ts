/**
 * Keeps one server for the process that started this one, and ends with it, however that ends: then nothing is left of
 * the server. Signals from the keyboard are none of its business.
 *
 *     node keeper.ts <postgres|redis|pgbouncer|nginx> <settings as JSON>
 */
import { nginxServer } from './nginx.ts'
import { pgbouncerServer } from './pgbouncer.ts'
import { postgresServer } from './postgres.ts'
import { redisServer } from './redis.ts'
import { type Server, type Settings, Unavailable } from './server.ts'

/** What the keeper is asked, and what it answers. */
export interface Asked {
  readonly id: number
  readonly act: 'start' | 'stop properly' | 'stop at once' | 'remove'
}
export type Said =
  | { readonly type: 'ready'; readonly url: string }
  | { readonly type: 'unavailable' | 'broken'; readonly reason: string }
  | { readonly type: 'done'; readonly id: number; readonly error: string | null }

const makers = { nginx: nginxServer, pgbouncer: pgbouncerServer, postgres: postgresServer, redis: redisServer }
const [kind, settings = '{}'] = process.argv.slice(2)
let server: Server | null = null

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
process.on('disconnect', () => void end())
process.on('message', (asked: Asked) => void answer(asked))

try {
  server = await makers[kind as keyof typeof makers](JSON.parse(settings) as Settings)
  await server.start()
  say({ type: 'ready', url: server.url })
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error)
  say({ type: error instanceof Unavailable ? 'unavailable' : 'broken', reason })
  await end()
}

async function answer({ id, act }: Asked): Promise<void> {
  try {
    if (act === 'start') await server?.start()
    else if (act === 'remove') await server?.remove()
    else await server?.stop(act === 'stop properly' ? 'properly' : 'at once')
    say({ type: 'done', id, error: null })
  } catch (error) {
    say({ type: 'done', id, error: String(error) })
  }
  if (act === 'remove') process.disconnect()
}

async function end(): Promise<void> {
  await server?.remove()
  process.exit(0)
}

function say(said: Said): void {
  if (process.connected) process.send?.(said)
}
