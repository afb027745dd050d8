import { createServer as createSafeServer } from 'node:https'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { Webhook } from 'standardwebhooks'
import { expect, onTestFinished, test, vi } from 'vitest'
import { verifyCallback } from 'celeriac/callbacks'
import { manualRuntime } from '../../test/fixtures/clock.ts'
import { turns } from '../../test/fixtures/working.ts'
import { certificate, certificateKey } from '../../test/fixtures/certificate.ts'
import { type Answering, type Receiver, type ReceiverOptions, startReceiver } from '../../test/fixtures/receiver.ts'
import { readAllowed } from '../app/callback-url.ts'
import { systemRuntime } from '../core/runtime.ts'
import { newSecret } from '../core/secret.ts'
import type { CallbackFailed } from './failed.ts'
import type { Resolve } from './guard.ts'
import { type Callback, send, type SendingParts } from './send.ts'

const secret = newSecret(systemRuntime)
const loopback: Resolve = async () => [{ address: '127.0.0.1', family: 4 }]

async function receiver(answer?: Answering, create?: ReceiverOptions['create']): Promise<Receiver> {
  const started = await startReceiver(answer, { ...(create && { create }) })
  onTestFinished(() => started.close())
  return started
}

interface Sending extends Partial<Omit<Callback, 'url'>>, Partial<Omit<SendingParts, 'allow'>> {
  readonly allow?: readonly string[]
}

function sending(url: string, { allow = ['127.0.0.1', '*.example', 'localhost'], ...about }: Sending = {}) {
  const callback = { url: new URL(url), id: 'msg_1', body: '{"type":"x"}', secrets: [secret], ...about }
  const parts = { runtime: systemRuntime, resolve: loopback, signal: new AbortController().signal, ...about }
  return send(callback, { ...parts, allow: readAllowed(allow, 'allow') })
}

/** What the failure says of an answer. */
async function failure(sent: Promise<unknown>): Promise<CallbackFailed> {
  return sent.then(
    () => expect.unreachable('It was accepted.'),
    (error: unknown) => error as CallbackFailed,
  )
}

test('it is a POST of JSON, signed as Standard Webhooks says', async () => {
  const { url, received, port } = await receiver()
  const clock = manualRuntime(1, Date.UTC(2026, 0, 1, 0, 0, 0, 999))
  const body = '{"type":"collection.settled","data":{"name":"Zoë 🐘"}}'
  expect(await sending(`${url}?token=1#part`, { body, runtime: clock })).toEqual({ status: 204 })
  const [{ method, path, headers }] = received as [(typeof received)[0]]
  expect([method, path, received[0]?.body]).toEqual(['POST', '/hook?token=1', body])
  expect(headers).toEqual({
    host: `127.0.0.1:${port}`,
    connection: 'close',
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'accept-encoding': 'identity',
    'user-agent': 'celeriac',
    'webhook-id': 'msg_1',
    'webhook-timestamp': String(Date.UTC(2026, 0, 1) / 1000),
    'webhook-signature': new Webhook(secret).sign('msg_1', new Date(clock.now()), body),
  })
  expect(clock.pending).toBe(0)
})

test('any library for Standard Webhooks can check it, by any of the secrets', async () => {
  const { url, received } = await receiver()
  const secrets = [newSecret(systemRuntime), secret]
  const body = '{"type":"collection.settled","timestamp":"2026-01-01T00:00:00Z","data":{}}'
  await sending(url, { secrets, body })
  const [request] = received as [(typeof received)[0]]
  for (const one of secrets) {
    expect(new Webhook(one).verify(request.body, request.headers)).toEqual(JSON.parse(body))
    expect(await verifyCallback(request, one)).toEqual(JSON.parse(body))
  }
  expect(() => new Webhook(newSecret(systemRuntime)).verify(request.body, request.headers)).toThrow()
})

test.each([200, 201, 204, 299])('%i is success', async (status) => {
  const { url } = await receiver((response) => void response.writeHead(status).end())
  expect(await sending(url)).toEqual({ status })
})

test.each([400, 404, 429, 500, 503, 304])('%i is a failure, to be tried again', async (status) => {
  const { url, port } = await receiver((response) => void response.writeHead(status).end())
  expect(await failure(sending(url))).toMatchObject({ message: `127.0.0.1:${port} answered ${status}`, isFinal: false })
})

test('410 is the end of it', async () => {
  const { url, port } = await receiver((response) => void response.writeHead(410).end('moved out'))
  const message = `127.0.0.1:${port} answered 410, it wants no more callbacks: moved out`
  expect(await failure(sending(url))).toMatchObject({ message, isFinal: true })
})

test('what is said beside it is told: its beginning, on one line, without what was asked for', async () => {
  const said = `Cannot POST /hook?token=hunter2&name=a%20b\r\n\x1b[31mred\u202e \0 token hunter2, ${'é🐘'.repeat(200)}`
  const { url } = await receiver((response) => void response.writeHead(500).end(said))
  const { message } = await failure(sending(`${url}?token=hunter2&name=a%20b`))
  const [, told = ''] = /answered 500: (.*)$/.exec(message) ?? []
  expect(told).toMatch(/^Cannot POST \/hook… \[31mred token …, é🐘é/)
  expect(Array.from(told)).toHaveLength(200)
  expect(message).not.toContain('hunter2')
})

test.each([
  ['http://127.0.0.1:1/other?token=hunter2', 'http://127.0.0.1:1/other'],
  ['https://user:hunter2@b.example/x#y', 'https://b.example/x'],
  ['/elsewhere?token=hunter2', 'http://127.0.0.1:<port>/elsewhere'],
  ['javascript:alert(1)', 'javascript:alert(1)'],
  ['http://[', 'nowhere'],
])('a redirect to %s is told and not followed', async (location, told) => {
  const { url, port, received } = await receiver((response) => void response.writeHead(308, { location }).end('Moved'))
  const { message, isFinal } = await failure(sending(`${url}?token=hunter2`))
  const advice = 'callbacks are not redirected, give the address itself as callbackUrl'
  expect(message).toBe(
    `127.0.0.1:${port} answered 308, which leads to ${told.replace('<port>', String(port))}: ${advice}`,
  )
  expect([isFinal, received.length]).toEqual([false, 1])
})

test('a receiver that answers endlessly is heard to 64 KiB', async () => {
  const chunk = 'x'.repeat(16 * 1024)
  const closed = Promise.withResolvers<void>()
  const endless: Answering = (response) => {
    response.on('close', () => closed.resolve())
    const write = (): void => {
      while (!response.destroyed && response.write(chunk));
    }
    response.writeHead(200).on('drain', write)
    write()
  }
  const { url } = await receiver(endless)
  expect(await sending(url)).toEqual({ status: 200 })
  await closed.promise
})

test('a receiver that never answers is left after 10 s', async () => {
  const { url, port, arrived } = await receiver(() => {})
  const clock = manualRuntime()
  const sent = failure(sending(url, { runtime: clock }))
  await arrived(1)
  clock.pass(9_999)
  expect(clock.pending).toBe(1)
  clock.pass(1)
  expect((await sent).message).toBe(`127.0.0.1:${port} did not answer within 10 s`)
})

test('an answer that stays unfinished counts as what it says at its head', async () => {
  for (const [status, outcome] of [
    [202, { status: 202 }],
    [500, { message: expect.stringContaining('answered 500: so far') as string }],
  ] as const) {
    const flushed = Promise.withResolvers<void>()
    const { url } = await receiver(
      (response) => void response.writeHead(status).write('so far', () => flushed.resolve()),
    )
    const clock = manualRuntime()
    const sent = sending(url, { runtime: clock }).catch((error: unknown) => error)
    await flushed.promise
    // It lies in this machine already, and is read in the next turn of the event loop.
    await turns()
    clock.pass(10_000)
    expect(await sent).toMatchObject(outcome)
  }
})

test('a resolver that never answers is left after 10 s', async () => {
  const clock = manualRuntime()
  const sent = failure(sending('http://a.example/', { runtime: clock, resolve: () => new Promise(() => {}) }))
  clock.pass(10_000)
  expect((await sent).message).toBe('a.example did not answer within 10 s')
})

test('it ends with the job: with its reason, and without a timer', async () => {
  const { url, arrived } = await receiver(() => {})
  const [stopping, clock] = [new AbortController(), manualRuntime()]
  const sent = failure(sending(url, { signal: stopping.signal, runtime: clock }))
  await arrived(1)
  stopping.abort(new Error('The worker is stopping.'))
  expect((await sent).message).toBe('The worker is stopping.')
  expect(clock.pending).toBe(0)
  const before = failure(sending(url, { signal: stopping.signal }))
  expect((await before).message).toBe('The worker is stopping.')
})

test('a connection that is refused or broken off is told of, without the query', async () => {
  const { url, port, close } = await receiver((response) => void response.socket?.destroy())
  const broken = await failure(sending(`${url}?token=hunter2`))
  expect(broken.message).toMatch(new RegExp(`^127\\.0\\.0\\.1:${port} could not be reached: socket hang up$`))
  await close()
  const refused = await failure(sending(`${url}?token=hunter2`))
  expect(refused.message).toBe(`127.0.0.1:${port} could not be reached: connect ECONNREFUSED 127.0.0.1:${port}`)
})

test('a receiver that wants to speak something else than HTTP gives no answer', async () => {
  const upgrade = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n'
  const { url, port } = await receiver((response) => void response.socket?.write(upgrade))
  const { message } = await failure(sending(url))
  expect(message).toBe(`127.0.0.1:${port} could not be reached: the connection was closed without an answer`)
})

test('nothing is sent to a host that is not public', async () => {
  const { url, port, received } = await receiver()
  for (const to of [url, `http://localhost:${port}/`, `http://a.example:${port}/`]) {
    expect((await failure(sending(to, { allow: [] }))).message).toContain('not public')
  }
  expect(received).toEqual([])
})

test('a name that leads elsewhere when it is asked for again is called where it was looked at', async () => {
  const { port, received } = await receiver()
  const asked: string[] = []
  const resolve: Resolve = async (host) => {
    asked.push(host)
    return [{ address: asked.length === 1 ? '127.0.0.1' : '127.0.0.2', family: 4 }]
  }
  // The system's own resolver knows no such name: had it been asked, this would fail.
  expect(await sending(`http://rebound.example:${port}/`, { resolve })).toEqual({ status: 204 })
  expect(asked).toEqual(['rebound.example'])
  expect(received[0]?.headers['host']).toBe(`rebound.example:${port}`)
})

test('over TLS a receiver is believed only under the name of its certificate, and only a certificate that is trusted', async () => {
  const asked: unknown[] = []
  const { port, received } = await receiver(undefined, (listener) =>
    createSafeServer({ cert: certificate, key: certificateKey }, listener).on('secureConnection', ({ servername }) =>
      asked.push(servername),
    ),
  )
  // Nor may the environment say otherwise.
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
  onTestFinished(() => void vi.unstubAllEnvs())
  const untrusted = await failure(sending(`https://right.example:${port}/`))
  expect(untrusted.message).toContain(`right.example:${port} could not be reached: self-signed certificate`)
  const trusted = getCACertificates('default')
  onTestFinished(() => setDefaultCACertificates(trusted))
  setDefaultCACertificates([certificate])
  for (const host of ['wrong.example', '127.0.0.1']) {
    expect((await failure(sending(`https://${host}:${port}/`))).message).toContain(
      "does not match certificate's altnames",
    )
  }
  expect(received).toEqual([])
  asked.length = 0
  // With the dot of the root it is the same name.
  for (const host of ['right.example', 'right.example.']) {
    expect(await sending(`https://${host}:${port}/`)).toEqual({ status: 204 })
  }
  expect(asked).toEqual(['right.example', 'right.example'])
})
