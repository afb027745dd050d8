import { CeleriacError } from '../core/errors.ts'
import type { Runtime } from '../core/runtime.ts'
import { longerThanNothing } from '../core/stored-options.ts'
import type { Duration } from '../core/time.ts'
import type { Values } from '../engine/values.ts'

/** What every such token begins with. */
export const runTokenPrefix = 'run_'
const audience = 'celeriac:run'
const algorithm = 'HS256'
const defaultLifetime = '24h'

type Access = { readonly runtime: Runtime; readonly engine: Values }

interface RunTokenTerms {
  /** How long it is good for; default a day. */
  readonly lifetime?: Duration | undefined
  /** When it ends at the latest, in milliseconds since 1970: with what it is made with. */
  readonly until?: number | undefined
  /** The API key that it is made with: it ends with that. */
  readonly keyId?: string | undefined
  /** The user that it is made by, as a word of fixed length: bounds are kept for all that one user makes. */
  readonly madeBy?: string | undefined
}

/**
 * Signs a token that lets whoever has it look at one collection and follow it, and nothing else: a JWT (RFC 7519) signed with
 * a secret that all processes on one store share.
 */
export async function signRunToken(
  { runtime, engine }: Access,
  collectionId: string,
  { lifetime = defaultLifetime, until = Infinity, keyId, madeBy }: RunTokenTerms = {},
): Promise<string> {
  const end = Math.min(until, runtime.now() + longerThanNothing(lifetime, 'token: expiresIn'))
  const { SignJWT } = await import('jose')
  const token = await new SignJWT({
    ...(keyId !== undefined && { key: keyId }),
    ...(madeBy !== undefined && { by: madeBy }),
  })
    .setProtectedHeader({ alg: algorithm })
    .setSubject(collectionId)
    .setAudience(audience)
    .setExpirationTime(Math.floor(end / 1000))
    .sign(await secretOf({ runtime, engine }))
  return runTokenPrefix + token
}

interface RunToken {
  readonly collectionId: string
  readonly until: number
  readonly keyId?: string
  readonly madeBy?: string
}

/** Reads the collection that a token is for, and until when; null where it is none of this store's, or its time is over. */
export async function readRunToken(access: Access, token: string): Promise<RunToken | null> {
  const { jwtVerify } = await import('jose')
  const terms = {
    algorithms: [algorithm],
    audience,
    requiredClaims: ['exp', 'sub'],
    currentDate: new Date(access.runtime.now()),
  }
  try {
    const secret = await secretOf(access)
    const { payload } = await jwtVerify(token.slice(runTokenPrefix.length), secret, terms)
    const { key, by } = payload as { readonly key?: string; readonly by?: string }
    const made = { ...(key !== undefined && { keyId: key }), ...(by !== undefined && { madeBy: by }) }
    return { collectionId: payload.sub as string, until: (payload.exp as number) * 1000, ...made }
  } catch (error) {
    if (error instanceof CeleriacError) throw error
    return null
  }
}

const secrets = new WeakMap<Values, Promise<Uint8Array>>()

function secretOf({ runtime, engine }: Access): Promise<Uint8Array> {
  let secret = secrets.get(engine)
  if (secret === undefined) {
    secret = makeSecret(runtime, engine)
    secrets.set(engine, secret)
    secret.catch(() => secrets.delete(engine))
  }
  return secret
}

async function makeSecret(runtime: Runtime, engine: Values): Promise<Uint8Array> {
  const kept = await engine.value('secret', 'run-token')
  if (kept !== null) return Buffer.from(kept, 'base64url')
  const drawn = new Uint8Array(32)
  runtime.randomBytes(drawn)
  const text = Buffer.from(drawn).toString('base64url')
  return Buffer.from(
    await engine.putValue({ kind: 'secret', id: 'run-token', text, lifetime: null }, 'keep'),
    'base64url',
  )
}
