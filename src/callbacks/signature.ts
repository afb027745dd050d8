import { keyOf } from '../core/secret.ts'

/** What is signed, after Standard Webhooks: https://www.standardwebhooks.com */
export interface Message {
  readonly id: string
  /** In seconds since 1970. */
  readonly timestamp: string
  readonly body: Uint8Array<ArrayBuffer>
}

/** The header `webhook-signature`: one signature for each secret, so that a receiver may know any of them. */
export async function signatureHeader(secrets: readonly string[], message: Message): Promise<string> {
  return (await Promise.all(secrets.map((secret) => signature(secret, message)))).join(' ')
}

/** Is one of the signatures in the header by one of the secrets? */
export async function isSigned(header: string, secrets: readonly string[], message: Message): Promise<boolean> {
  const given = header.split(' ')
  const wanted = await Promise.all(secrets.map((secret) => signature(secret, message)))
  return wanted.some((one) => given.some((other) => isSame(one, other)))
}

/** By the cryptography of the web platform, so that receivers need no Node. */
async function signature(secret: string, { id, timestamp, body }: Message): Promise<string> {
  const key = await crypto.subtle.importKey('raw', keyOf(secret)!, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  const head = new TextEncoder().encode(`${id}.${timestamp}.`)
  const signed = new Uint8Array(head.length + body.length)
  signed.set(head)
  signed.set(body, head.length)
  const mac = new Uint8Array(await crypto.subtle.sign('HMAC', key, signed))
  return `v1,${btoa(String.fromCharCode(...mac))}`
}

/** Takes as long wherever they differ: the time must not tell how much of a guess was right. */
function isSame(one: string, other: string): boolean {
  let difference = one.length ^ other.length
  for (let n = 0; n < one.length; n++) difference |= one.charCodeAt(n) ^ other.charCodeAt(n)
  return difference === 0
}
