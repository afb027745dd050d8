import { fork } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { hire } from './hire.ts'
import { findProgram } from './programs.ts'

const isListening = (url: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })

describe.each(['postgres', 'redis'] as const)('a server of one’s own: %s', (kind) => {
  const mayStart = process.env['CELERIAC_TEST_OWN_SERVERS']?.includes(kind) === true

  test.skipIf(!mayStart)('is stopped and started at the same address', async () => {
    const server = await hire(kind)
    onTestFinished(async () => server.remove())
    for (const how of ['properly', 'at once'] as const) {
      await server.stop(how)
      expect(await isListening(server.url)).toBe(false)
      await server.start()
      expect(await isListening(server.url)).toBe(true)
    }
  })

  test.skipIf(!mayStart)('leaves nothing when the process that it was started for is killed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'celeriac-killed-'))
    // The server may run as somebody else.
    chmodSync(folder, 0o755)
    const user = fork(join(import.meta.dirname, 'killed.ts'), [kind], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, TMPDIR: folder },
    })
    const url = await new Promise<string>((resolve) => user.once('message', (said) => resolve(said as string)))
    expect(await isListening(url)).toBe(true)
    expect(readdirSync(folder)).toHaveLength(1)
    // The keeper has the same output: it closes when both are gone.
    const gone = new Promise((resolve) => user.once('close', resolve))
    user.kill('SIGKILL')
    await gone
    expect(await isListening(url)).toBe(false)
    expect(readdirSync(folder)).toEqual([])
    rmSync(folder, { recursive: true })
  })
})

const hasBouncer = findProgram('pgbouncer') !== null && process.env['CELERIAC_TEST_POSTGRES_URL'] !== undefined

test.skipIf(!hasBouncer)(
  'a pooler stands before the server and gives each transaction whatever connection is free',
  async () => {
    const pooler = await hire('pgbouncer', {
      target: process.env['CELERIAC_TEST_POSTGRES_URL'] as string,
      default_pool_size: '1',
    })
    onTestFinished(async () => pooler.remove())
    const clients = [1, 2].map(() => new pg.Client({ connectionString: pooler.url }))
    onTestFinished(async () => void (await Promise.all(clients.map(async (client) => client.end()))))
    const backends: unknown[] = []
    for (const client of clients) {
      await client.connect()
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
      backends.push(rows[0]?.pid)
    }
    expect(backends[0]).toBe(backends[1])
  },
)
