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

/**
 * A token that lets whoever has it look at one collection and follow it, and nothing else: a JWT (RFC 7519) signed with a
 * secret that all processes on one store share.
 *
 * @param lifetime how long it is good for; default a day
 */
export async function signRunToken(
  { runtime, engine }: Access,
  collectionId: string,
  lifetime: Duration = defaultLifetime,
): Promise<string> {
  const until = Math.floor((runtime.now() + longerThanNothing(lifetime, 'token: expiresIn')) / 1000)
  const { SignJWT } = await import('jose')
  const token = await new SignJWT()
    .setProtectedHeader({ alg: algorithm })
    .setSubject(collectionId)
    .setAudience(audience)
    .setExpirationTime(until)
    .sign(await secretOf({ runtime, engine }))
  return runTokenPrefix + token
}

/** The collection that a token is for, and until when; null where it is none of this store's, or its time is over. */
export async function readRunToken(
  access: Access,
  token: string,
): Promise<{ readonly collectionId: string; readonly until: number } | null> {
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
    return { collectionId: payload.sub as string, until: (payload.exp as number) * 1000 }
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
