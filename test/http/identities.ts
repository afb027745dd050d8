import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { onTestFinished } from 'vitest'

export const issuer = 'https://id.example.com/'
export const audience = 'jobs'
export const secret = 'a secret of thirty-two bytes, and more'

/** What an identity provider signs with, and where its public keys are. */
export interface Provider {
  readonly jwks: string
  readonly privateKey: CryptoKey
  /** The public key, as PEM-like bytes that a confused verifier would take for a secret. */
  readonly publicBytes: Uint8Array
  token(subject: string, claims?: Readonly<Record<string, unknown>>): Promise<string>
}

/** A real one, on loopback. Ended when the test is over. */
export async function identityProvider(): Promise<Provider> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
  const key = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256', use: 'sig' }
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [key] }))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  return {
    jwks: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
    privateKey,
    publicBytes: new TextEncoder().encode(JSON.stringify(key)),
    token: (subject, claims = {}) =>
      new SignJWT({ ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'one' })
        .setSubject(subject)
        .setIssuer(issuer)
        .setAudience(audience)
        .setExpirationTime('10m')
        .sign(privateKey),
  }
}

/** A token signed with the shared secret, as whoever asks for it wants it. */
export async function tokenWith(
  claims: Readonly<Record<string, unknown>>,
  { key = new TextEncoder().encode(secret), alg = 'HS256' }: { key?: Uint8Array; alg?: string } = {},
): Promise<string> {
  const whole = { sub: 'ann', iss: issuer, aud: audience, exp: Math.floor(Date.now() / 1000) + 600, ...claims }
  const known = Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== undefined))
  return new SignJWT(known).setProtectedHeader({ alg }).sign(key)
}

/** A token of any parts, signed by nobody. */
export const forged = (header: unknown, claims: unknown, signature = ''): string =>
  [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.') + `.${signature}`
