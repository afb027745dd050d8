import { badOption, type OptionReader } from './option.ts'
import type { Runtime } from './runtime.ts'
import { shown } from './text.ts'

const prefix = 'whsec_'
/** Bytes of a key, as Standard Webhooks has them; both included. */
const [shortest, longest] = [24, 64]

/** A new secret that callbacks are signed with: `whsec_` and 32 random bytes in base64. */
export function newSecret(runtime: Pick<Runtime, 'randomBytes'>): string {
  const key = new Uint8Array(32)
  runtime.randomBytes(key)
  return prefix + btoa(String.fromCharCode(...key))
}

/** The key that a secret holds; null where it is none. */
export function keyOf(secret: unknown): Uint8Array<ArrayBuffer> | null {
  if (typeof secret !== 'string' || !secret.startsWith(prefix)) return null
  const text = secret.slice(prefix.length)
  // Written in full, so that one key has one spelling: `atob` forgives spaces and missing ends.
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return null
  const key = Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
  return key.length >= shortest && key.length <= longest ? key : null
}

/** Reads a list of secrets, newest first. What is wrong with one never tells of the text itself. */
export const readSecrets: OptionReader<readonly string[]> = (value, what) => {
  if (!Array.isArray(value)) throw badOption(what, `a list of secrets is needed, not ${kindOf(value)}`)
  if (value.length === 0) throw badOption(what, 'the list is empty: leave it out to have the store keep one')
  if (value.length > mostSecrets) throw badOption(what, `there are ${value.length}, the most are ${mostSecrets}`)
  for (const [n, secret] of value.entries()) {
    if (keyOf(secret) === null) throw badOption(`${what}[${n}]`, `${form}: ${example}`)
  }
  return [...new Set(value as string[])]
}

/** Each of them signs every callback. */
const mostSecrets = 10
const form = `a secret is ${prefix} and ${shortest} to ${longest} bytes in base64`
const example = `make one with  echo ${prefix}$(openssl rand -base64 32)`

/** A secret given where a list belongs is not repeated either. */
const kindOf = (value: unknown): string => (typeof value === 'string' ? 'a text' : shown(value))
