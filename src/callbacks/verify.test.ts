import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import { verifyCallback } from 'celeriac/callbacks'
import { systemRuntime } from '../core/runtime.ts'
import { newSecret } from '../core/secret.ts'

const [secret, other] = [newSecret(systemRuntime), newSecret(systemRuntime)]
const body = JSON.stringify({ type: 'collection.settled', timestamp: '2026-01-01T00:00:00.000Z', data: { id: 'ö' } })
const now = Date.UTC(2026, 0, 1)
const runtime = { now: () => now }
const minute = 60_000

/** Signed by the library for everybody. */
const signed = (at = now, text = body, by = secret) => ({
  headers: {
    'webhook-id': 'msg_1',
    'webhook-timestamp': String(Math.floor(at / 1000)),
    'webhook-signature': new Webhook(by).sign('msg_1', new Date(at), text),
  },
  body: text,
})

const refused = (problem: string) =>
  expect.objectContaining({ code: 'BAD_SIGNATURE', message: expect.stringContaining(problem) })

test('what was signed is given as it was sent, however the request comes', async () => {
  const { headers } = signed()
  const request = new Request('https://a.example/hook', { method: 'POST', headers, body })
  const upper = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), [value]]))
  const bytes = new TextEncoder().encode(body)
  for (const given of [
    request,
    signed(),
    { headers: upper, body: bytes },
    { headers: new Headers(headers), body: Buffer.from(bytes) },
  ]) {
    expect(await verifyCallback(given, secret, { runtime })).toEqual(JSON.parse(body))
  }
})

test('of several secrets one has to fit', async () => {
  expect(await verifyCallback(signed(), [other, secret], { runtime })).toMatchObject({ data: { id: 'ö' } })
  await expect(verifyCallback(signed(), other, { runtime })).rejects.toThrow(refused('no signature is by this secret'))
})

test('what was changed on the way is refused', async () => {
  const { headers } = signed()
  const tampered = [
    { headers, body: body.replace('ö', 'o') },
    { headers: { ...headers, 'webhook-id': 'msg_2' }, body },
    { headers: { ...headers, 'webhook-timestamp': String(now / 1000 + 1) }, body },
    { headers: { ...headers, 'webhook-signature': `v1,${btoa('\0'.repeat(32))}` }, body },
  ]
  for (const given of tampered) {
    await expect(verifyCallback(given, secret, { runtime })).rejects.toThrow(refused('no signature is by this secret'))
  }
})

test.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'])('without %s it is refused', async (name) => {
  const given = signed()
  await expect(
    verifyCallback({ ...given, headers: { ...given.headers, [name]: undefined } }, secret, { runtime }),
  ).rejects.toThrow(refused('it takes the headers webhook-id, webhook-timestamp, webhook-signature'))
})

test('what is old or from the future is refused, further away than the tolerance says', async () => {
  const verify = (at: number, tolerance?: '1h') => verifyCallback(signed(at), secret, { runtime, tolerance })
  for (const at of [now - 5 * minute, now + 5 * minute])
    expect(await verify(at)).toMatchObject({ type: 'collection.settled' })
  await expect(verify(now - 5 * minute - 1000)).rejects.toThrow(refused('it was sent 5m 01s ago, and may be a copy'))
  await expect(verify(now + 5 * minute + 1000)).rejects.toThrow(refused('it is 5m 01s ahead of the clock here'))
  expect(await verify(now - 60 * minute, '1h')).toMatchObject({ type: 'collection.settled' })
  await expect(verify(now - 60 * minute - 1000, '1h')).rejects.toThrow(refused('it was sent 1h 00m ago'))
})

test('a body is not read for what is old', async () => {
  const { headers } = signed(now - 60 * minute)
  const request = { headers: new Headers(headers), arrayBuffer: () => Promise.reject(new Error('It was read.')) }
  await expect(verifyCallback(request, secret, { runtime })).rejects.toThrow(refused('it was sent'))
})

test.each(['', 'now', '-1', '1.5', '0x10', '1e3', '99999999999999'])('%o is no time', async (timestamp) => {
  const given = signed()
  const headers = { ...given.headers, 'webhook-timestamp': timestamp }
  await expect(verifyCallback({ ...given, headers }, secret, { runtime })).rejects.toThrow(refused(''))
})

test('a body that was parsed is refused with what to do', async () => {
  const given = { ...signed(), body: JSON.parse(body) as string }
  await expect(verifyCallback(given, secret, { runtime })).rejects.toThrow(refused('as it came, as text or bytes'))
})

test.each([
  'nothing',
  '{}',
  'null',
  '[]',
  '"text"',
  '{"type":"user.created","data":{}}',
  '{"type":"collection.settled"}',
  '{"type":"collection.settled","data":null}',
])('%s is no callback, whoever signed it', async (text) => {
  await expect(verifyCallback(signed(now, text), secret, { runtime })).rejects.toThrow(
    refused('no callback of a collection'),
  )
})

test('a secret that is none is a mistake of the program', async () => {
  for (const given of ['', 'secret', [], [secret, 'x'], undefined as never]) {
    await expect(verifyCallback(signed(), given, { runtime })).rejects.toMatchObject({ code: 'BAD_OPTION' })
  }
  const tolerance = '5 minutes' as never
  await expect(verifyCallback(signed(), secret, { tolerance })).rejects.toMatchObject({ code: 'BAD_DURATION' })
})
