import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { expect, onTestFinished, test } from 'vitest'
import { openApi } from './api.ts'
import { audience, forged, issuer } from './identities.ts'

/** An identity provider on loopback that answers as the test says, and the API that asks it. */
async function open() {
  const made = new Map<string, { readonly jwk: object; readonly privateKey: CryptoKey }>()
  let answer: (response: ServerResponse) => void = (response) =>
    response
      .setHeader('content-type', 'application/json')
      .end(JSON.stringify({ keys: [...made.values()].map(({ jwk }) => jwk) }))
  const asItIs = answer
  const server = createServer((_request, response) => answer(response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close().closeAllConnections())
  const jwks = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`
  const faults: unknown[] = []
  const onError = (error: unknown): void => void faults.push(error)
  const { as } = await openApi({ url: 'sqlite::memory:' }, { auth: { jwt: { issuer, audience, jwks } }, onError })
  const newKey = async (kid: string): Promise<void> => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
    made.set(kid, { jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' }, privateKey })
  }
  const token = (kid: string, signer = kid): Promise<string> =>
    new SignJWT({})
      .setProtectedHeader({ alg: 'ES256', kid })
      .setSubject('ann')
      .setIssuer(issuer)
      .setAudience(audience)
      .setExpirationTime('10m')
      .sign(made.get(signer)!.privateKey)
  await newKey('one')
  return {
    faults,
    newKey,
    token,
    made,
    ask: async (given: string) => as(given)('GET', '/api/jobs'),
    answers: (next: typeof answer | null) => (answer = next ?? asItIs),
  }
}

test.each<[string, (response: ServerResponse) => void]>([
  ['500', (response) => response.writeHead(500).end('{"keys":[]}')],
  ['503', (response) => response.writeHead(503).end()],
  ['404', (response) => response.writeHead(404).end()],
  ['a redirect', (response) => response.writeHead(302, { location: '/login' }).end()],
  ['a page', (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Maintenance</h1>')],
  ['JSON that is no set of keys', (response) => response.writeHead(200).end('{"error":"later"}')],
  ['nothing', (response) => response.destroy()],
])('keys that do not come are no fault of the token: %s', async (_, answer) => {
  const { ask, token, answers, faults } = await open()
  answers(answer)
  const refused = await ask(await token('one'))
  expect(refused).toMatchObject({ status: 503, body: { code: 'IDENTITY_PROVIDER_UNREACHABLE' } })
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  // Whoever runs the service is told what it was.
  expect(faults).toMatchObject([{ cause: expect.any(Error) }])
  answers(null)
  expect((await ask(await token('one'))).status).toBe(200)
})

test.each<[string, (response: ServerResponse) => void]>([
  ['keys cannot be read', (response) => response.writeHead(503).end()],
  ['a key is not known shortly after a read', (response) => response.end('{"keys":[]}')],
])('tokens without end write one report, where %s', async (_, answer) => {
  const { ask, token, answers, faults } = await open()
  answers(answer)
  const given = await token('one')
  await ask(given)
  for (let n = 0; n < 20; n++) expect((await ask(given)).status).toBe(503)
  expect(faults).toHaveLength(1)
})

test('a key that was added just now is no fault of the token; one that is not there is', async () => {
  const { ask, token, newKey, made } = await open()
  expect((await ask(await token('one'))).status).toBe(200)
  await newKey('two')
  const early = await ask(await token('two'))
  expect(early).toMatchObject({ status: 503, body: { code: 'IDENTITY_PROVIDER_UNREACHABLE' } })
  expect(early.headers.get('retry-after')).toBe('10')
  expect((await ask(await token('one', 'two'))).status).toBe(401)
  expect((await ask(forged({ alg: 'none' }, { sub: 'ann' }))).status).toBe(401)
  const other = await open()
  made.set('three', made.get('two')!)
  const unknown = await token('three')
  // Its keys are read for this token, and that key is not among them.
  expect((await other.ask(unknown)).status).toBe(401)
})
