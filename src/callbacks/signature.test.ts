import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import { newSecret } from '../core/secret.ts'
import { systemRuntime } from '../core/runtime.ts'
import { isSigned, signatureHeader } from './signature.ts'

const [one, two, three] = Array.from({ length: 3 }, () => newSecret(systemRuntime)) as [string, string, string]
const text = '{"type":"collection.settled","data":{"name":"Zoë 🐘"}}'
const message = { id: 'msg_1', timestamp: '1767225600', body: new TextEncoder().encode(text) }
const at = new Date(Number(message.timestamp) * 1000)

test('it is the signature of Standard Webhooks', async () => {
  expect(await signatureHeader([one], message)).toBe(new Webhook(one).sign(message.id, at, text))
})

test('the example of the library for everybody is signed alike', async () => {
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
  const body = new TextEncoder().encode('{"test": 2432232314}')
  const signed = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: '1614265330', body }
  expect(await signatureHeader([secret], signed)).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
})

test('each secret signs, newest first', async () => {
  const header = await signatureHeader([one, two], message)
  expect(header.split(' ')).toEqual([one, two].map((secret) => new Webhook(secret).sign(message.id, at, text)))
})

test('one signature by one of the secrets is enough', async () => {
  const header = `v1a,other ${await signatureHeader([one, two], message)} v2,other`
  expect(await isSigned(header, [two], message)).toBe(true)
  expect(await isSigned(header, [three, one], message)).toBe(true)
  expect(await isSigned(header, [three], message)).toBe(false)
})

test.each([
  ['another id', { ...message, id: 'msg_2' }],
  ['another time', { ...message, timestamp: '1767225601' }],
  ['another body', { ...message, body: new TextEncoder().encode(`${text} `) }],
])('%s is not signed', async (_, other) => {
  expect(await isSigned(await signatureHeader([one], message), [one], other)).toBe(false)
})

test('a part of a signature is none', async () => {
  const header = await signatureHeader([one], message)
  for (const given of ['', 'v1,', header.slice(0, -1), `${header}=`, header.slice(3), header.replace('v1,', 'v2,')]) {
    expect(await isSigned(given, [one], message)).toBe(false)
  }
})
