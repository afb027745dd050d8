import { connect } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Celeriac } from 'celeriac'
import { serve, type ServeOptions } from 'celeriac/http'
import { partsOf } from '../../src/app/parts.ts'
import { createKey, listKeys, revokeKey } from '../../src/http/keys.ts'
import { describeEngines } from '../fixtures/store.ts'
import { turns } from '../fixtures/working.ts'
import { hire } from '../servers/hire.ts'
import { findProgram, unprivilegedAccount } from '../servers/programs.ts'
import { openApiOn } from './api.ts'

/** The API as it is without keys. */
async function open(options: ServeOptions = {}) {
  const app = new Celeriac({ url: 'sqlite::memory:' })
  onTestFinished(async () => app.close())
  const { url, close, isOpenLocally } = await serve(app, { port: 0, ...options })
  onTestFinished(close)
  return { app, url, host: new URL(url).host, port: new URL(url).port, isOpenLocally }
}

/** Sends these lines to this port, word for word, and gives the status that is answered. */
async function say(port: string, ...lines: readonly string[]): Promise<number> {
  const socket = connect(Number(port), '127.0.0.1')
  socket.write([...lines, '', ''].join('\r\n'))
  const status = new Promise<number>((resolve) =>
    socket.once('data', (data) => resolve(Number(String(data).slice(9, 12)))),
  )
  socket.once('data', () => socket.destroy())
  return status
}

describe('until access is configured', () => {
  test.each([
    ['a program of this machine', () => [], 200],
    ['by its address', (port: string) => [`host: 127.0.0.1:${port}`], 200],
    ['a browser', () => ['connection: keep-alive', 'sec-fetch-site: same-origin'], 200],
    ['another port', () => ['host: localhost:1'], 401],
    ['no port', () => ['host: localhost'], 401],
    ['another address of this machine', (port: string) => [`host: 127.0.0.2:${port}`], 401],
    ['another name', (port: string) => [`host: evil.example:${port}`], 401],
    ['a name that ends like it', (port: string) => [`host: evil.localhost:${port}`], 401],
    ['a connection for one request', () => ['connection: close'], 401],
    ['a setting of nginx for WebSockets', () => ['connection: upgrade'], 401],
    ...[
      'Forwarded: for=203.0.113.7',
      'Via: 1.1 proxy',
      'X-Forwarded-For: 203.0.113.7',
      'X-Forwarded-Host: shop.example',
      'X-Forwarded-Proto: https',
      'X-Real-IP: 203.0.113.7',
      'X-Client-IP: 203.0.113.7',
      'CF-Connecting-IP: 203.0.113.7',
      'CDN-Loop: cloudflare',
      'X-Envoy-Internal: true',
      'X-Amzn-Trace-Id: Root=1',
    ].map((header) => [header, () => [header], 401] as const),
  ] as const)('%s', async (_, given, status) => {
    const { port } = await open()
    const headers = given(port)
    const host = headers.some((one) => one.startsWith('host')) ? [] : [`host: localhost:${port}`]
    expect(await say(port, 'GET /api/jobs HTTP/1.1', ...host, ...headers)).toBe(status)
  })

  test('HTTP/1.0, and an address written for a proxy', async () => {
    const { port } = await open()
    expect(await say(port, 'GET /api/jobs HTTP/1.0', `host: localhost:${port}`)).toBe(401)
    expect(await say(port, 'GET /api/jobs HTTP/1.0', `host: localhost:${port}`, 'connection: keep-alive')).toBe(401)
    expect(await say(port, `GET http://localhost:${port}/api/jobs HTTP/1.1`, 'host: shop.example')).toBe(401)
    expect(await say(port, `GET http://localhost:${port}/api/jobs HTTP/1.1`, `host: localhost:${port}`)).toBe(401)
  })

  test('a WebSocket of a page here, and as nginx forwards it', async () => {
    const { port } = await open()
    const handshake = ['upgrade: websocket', 'sec-websocket-version: 13', 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==']
    const from = (...lines: readonly string[]) => say(port, 'GET /api/live HTTP/1.1', ...handshake, ...lines)
    expect(await from(`host: localhost:${port}`, 'connection: Upgrade')).toBe(101)
    expect(await from(`host: localhost:${port}`, 'connection: keep-alive, Upgrade')).toBe(101)
    expect(await from(`host: localhost:${port}`, 'connection: upgrade')).toBe(401)
    expect(await from(`host: shop.example:${port}`, 'connection: Upgrade')).toBe(401)
    expect(await from(`host: localhost:${port}`, 'connection: Upgrade', 'x-forwarded-for: 203.0.113.7')).toBe(401)
  })

  test('says why it refuses, and what to do', async () => {
    const { url } = await open()
    const answer = await fetch(`${url}/api/jobs`, { headers: { 'x-real-ip': '203.0.113.7' } })
    expect(await answer.json()).toMatchObject({
      code: 'UNAUTHENTICATED',
      detail: expect.stringMatching(/x-real-ip .*celeriac keys create/),
    })
  })

  test('nobody, where that is wanted or in production', async () => {
    await expect(open({ openLocally: false })).rejects.toThrow('celeriac keys create')
    const before = process.env['NODE_ENV']
    onTestFinished(() => void (process.env['NODE_ENV'] = before))
    process.env['NODE_ENV'] = 'production'
    await expect(open()).rejects.toThrow('celeriac keys create')
    expect(await open({ openLocally: true })).toMatchObject({ isOpenLocally: true })
    expect(await open({ auth: 'none' })).toMatchObject({ isOpenLocally: false })
  })
})

describe.skipIf(findProgram('nginx') === null)('behind an nginx on this machine, until access is configured', () => {
  const settings = {
    eleven: 'proxy_http_version 1.1;',
    named: 'proxy_http_version 1.1; proxy_set_header Host localhost:$proxy_port;',
    sockets: 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";',
    theirs: 'proxy_set_header Host $http_host;',
  }
  /** By no more than its user can one be known that is set to leave no sign. */
  const isKnownByUser = process.platform === 'linux' && unprivilegedAccount() !== null
  const hidden = { hidden: 'proxy_http_version 1.1; proxy_set_header Connection "";' }

  test('strangers are refused, whatever it is set to and whatever they claim', async () => {
    const { url, host, port } = await open()
    const nginx = await hire('nginx', { target: url, ...settings, ...(isKnownByUser && hidden) })
    onTestFinished(() => nginx.remove())
    const there = new URL(nginx.url).port
    for (const path of ['', ...Object.keys(settings), ...(isKnownByUser ? ['hidden'] : [])]) {
      const at = `${path && `/${path}`}/api/jobs`
      expect((await fetch(nginx.url + at)).status, path).toBe(401)
      for (const claimed of [host, `localhost:${port}`, 'localhost'])
        expect(await say(there, `GET ${at} HTTP/1.1`, `host: ${claimed}`), `${path} as ${claimed}`).toBe(401)
      expect(await say(there, `GET http://localhost:${port}${at} HTTP/1.1`, `host: ${host}`), path).toBe(401)
    }
    expect((await fetch(`${url}/api/jobs`)).status).toBe(200)
  })
})

describeEngines((engine) => {
  test('the door stays closed when the last key has expired or was revoked', async () => {
    const { app } = await openApiOn(engine, {})
    const connection = await partsOf(app).connect()
    const asked = async (): Promise<number> => {
      const { url, close } = await serve(app, { port: 0 })
      const { status } = await fetch(`${url}/api/jobs`)
      await close()
      return status
    }
    expect(await asked()).toBe(200)
    await createKey(connection, { name: 'short', scopes: ['read'], expiresIn: 1 })
    while ((await listKeys(connection.engine)).length > 0) await turns()
    expect(await asked()).toBe(401)
    const { about } = await createKey(connection, { name: 'ops', scopes: ['read'] })
    expect(await revokeKey(connection.engine, about.id)).toBe(true)
    expect(await asked()).toBe(401)
  })
})
