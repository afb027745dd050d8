import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { withClient } from './database.ts'

/** How many requests a second a server is sent while something goes on, by whomever. */
export function countRequests(url: string, during: () => Promise<unknown>): Promise<number> {
  return url.startsWith('redis:') ? countCommands(url, during) : countTransactions(url, during)
}

/** `MONITOR` shows every command; those that a script calls are not requests. */
async function countCommands(url: string, during: () => Promise<unknown>): Promise<number> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  let text = ''
  socket.on('data', (said) => (text += said.toString('latin1')))
  socket.write('MONITOR\r\n')
  await wait(50)
  text = ''
  const startedAt = performance.now()
  await during()
  const seconds = (performance.now() - startedAt) / 1000
  socket.destroy()
  return text.split('\n').filter((line) => line.startsWith('+') && !line.includes(' lua] ')).length / seconds
}

/** Outside of transactions of the caller's own, each request is one. */
async function countTransactions(url: string, during: () => Promise<unknown>): Promise<number> {
  const database = new URL(url).pathname.slice(1)
  return withClient(url, async (client) => {
    const committed = async (): Promise<{ count: number; at: number }> => {
      const { rows } = await client.query<{ count: string }>(
        'select xact_commit + xact_rollback as count from pg_stat_database where datname = $1',
        [database],
      )
      return { count: Number(rows[0]?.count), at: performance.now() }
    }
    const before = await committed()
    await during()
    const after = await committed()
    const ownRequests = 1
    return ((after.count - before.count - ownRequests) / (after.at - before.at)) * 1000
  })
}
