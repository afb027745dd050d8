import {
  createRemoteJWKSet,
  customFetch,
  errors,
  type FetchImplementation,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyGetKey,
} from 'jose'
import {
  badOption,
  functionOption,
  type OptionReader,
  type OptionReaders,
  readOptions,
  shortText,
} from '../core/option.ts'
import type { Runtime } from '../core/runtime.ts'
import { shown } from '../core/text.ts'
import { checkedGrant, type Identity, type Scope, scopes } from './identity.ts'
import { RequestError } from './problem.ts'

/** Tokens that an identity provider of your own gives its users. */
export interface JwtOptions {
  /** What `iss` must say. */
  readonly issuer: string
  /** What `aud` must say. */
  readonly audience: string
  /** Where its public keys are: a JWK Set. */
  readonly jwks?: string | URL | undefined
  /** In place of `jwks`: the secret it shares with this server, at least 32 bytes. */
  readonly secret?: string | Uint8Array | undefined
  /** Default: every asymmetric one for `jwks`, every HMAC for `secret`. Never both kinds. */
  readonly algorithms?: readonly string[] | undefined
  /**
   * What a token lets do. Default: the scopes that its claims `scope` and `scp` name and that are known here, each a text or a
   * list; a token with neither claim: `read`, `submit` and `operate`. On what its subject asked for, and nothing else.
   * `actor: null`: on everything.
   */
  readonly access?: ((claims: JWTPayload) => Granted | Promise<Granted>) | undefined
}

/** What is not said here is as it is by default. */
interface Granted {
  readonly scopes?: readonly Scope[]
  readonly actor?: string | null
}

const text: OptionReader<string> = (value, what) => {
  if (typeof value === 'string') return value
  throw badOption(what, `a text is needed, not ${shown(value)}`)
}
const address: OptionReader<URL> = (value, what) => {
  const url = URL.parse(String(value))
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url
  throw badOption(what, `the address of a JWK Set is needed, https://…, not ${shown(value)}`)
}
const list: OptionReader<readonly string[]> = (value, what) => {
  if (Array.isArray(value) && value.length > 0) return value.map((one) => text(one, what))
  throw badOption(what, `a list of algorithms is needed, not ${shown(value)}`)
}
const bytes: OptionReader<string | Uint8Array> = (value, what) => {
  if (typeof value === 'string' || value instanceof Uint8Array) return value
  throw badOption(what, 'a text or a Uint8Array is needed')
}

const jwtReaders: OptionReaders<JwtOptions> = {
  issuer: text,
  audience: text,
  jwks: address,
  secret: bytes,
  algorithms: list,
  access: functionOption,
}

const symmetric = ['HS256', 'HS384', 'HS512']
const asymmetric = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']
const usual: readonly Scope[] = ['read', 'submit', 'operate']
/** How far the clocks of two machines may be apart, in seconds. */
const clockTolerance = 5

export type ReadJwt = (token: string) => Promise<Identity>

/** @throws CeleriacError BAD_OPTION where it would let in more than is meant */
export function jwtReader(options: JwtOptions, runtime: Runtime): ReadJwt {
  const { access, ...terms } = readOptions<JwtOptions>(options, jwtReaders, 'jwt')
  const verify = verifier(terms)
  return async (token) => {
    const claims = await read(() => verify(token, new Date(runtime.now())))
    const subject = subjectOf(claims)
    const usual = { scopes: scopesOf(claims), actor: subject }
    return {
      ...(access ? checkedGrant('jwt: access', await access(claims), ['scopes', 'actor'], usual) : usual),
      name: subject,
      collectionId: null,
      until: (claims.exp as number) * 1000,
    }
  }
}

function verifier({ issuer, audience, jwks, secret, algorithms }: JwtOptions) {
  if (!issuer || !audience) throw badOption('jwt', 'issuer and audience say whose tokens these are: give both')
  if ((jwks === undefined) === (secret === undefined)) throw badOption('jwt', 'give jwks or secret, one of them')
  const kind = jwks === undefined ? symmetric : asymmetric
  const foreign = algorithms?.find((algorithm) => !kind.includes(algorithm))
  if (foreign !== undefined)
    throw badOption('jwt: algorithms', `${foreign} does not go with it: take of ${kind.join(', ')}`)
  const terms = {
    issuer,
    audience,
    algorithms: [...(algorithms ?? kind)],
    requiredClaims: ['exp', 'sub'],
    clockTolerance,
  }
  const key = jwks === undefined ? secretBytes(secret as string | Uint8Array) : remoteKeys(new URL(jwks))
  return async (token: string, currentDate: Date): Promise<JWTPayload> => {
    const all = { ...terms, currentDate }
    const verified = await (key instanceof Uint8Array ? jwtVerify(token, key, all) : jwtVerify(token, key, all))
    return verified.payload
  }
}

function secretBytes(secret: string | Uint8Array): Uint8Array {
  const bytes = typeof secret === 'string' ? new TextEncoder().encode(secret) : secret
  if (bytes.length < 32) throw badOption('jwt: secret', 'it has fewer than 32 bytes, so it can be guessed')
  return bytes
}

async function read(verify: () => Promise<JWTPayload>): Promise<JWTPayload> {
  try {
    return await verify()
  } catch (error) {
    if (isOfProvider(error)) throw unreachable(error)
    const why = error instanceof errors.JWTExpired ? 'it has expired' : 'it is not valid here'
    throw new RequestError('UNAUTHENTICATED', `The token was refused: ${why}.`)
  }
}

/** Its keys did not come, or what came were none: no word of the token. */
function isOfProvider(error: unknown): boolean {
  if (error instanceof KeysNotRead || !(error instanceof errors.JOSEError)) return true
  // An answer of another status, and one that is no JSON, have no class of their own.
  return [errors.JWKSTimeout.code, errors.JWKSInvalid.code, errors.JOSEError.code].includes(error.code)
}

/** A key that is not known may have been added since its keys were read, which was too short a time ago to do it again. */
class KeysNotRead extends Error {}

const unreachable = (cause: unknown): RequestError =>
  Object.assign(
    new RequestError(
      'IDENTITY_PROVIDER_UNREACHABLE',
      'The keys of the identity provider cannot be read now. Try again later.',
      {
        headers: { 'retry-after': String(keysEvery / 1000) },
      },
    ),
    { cause },
  )

/** How often its keys are read at most for a key that is not among them, in milliseconds. */
const keysEvery = 10_000

/** The keys that are read from an address. */
function remoteKeys(url: URL): JWTVerifyGetKey {
  let reads = 0
  const count: FetchImplementation = (...given) => {
    reads++
    return fetch(...given)
  }
  const keys = createRemoteJWKSet(url, { cooldownDuration: keysEvery, [customFetch]: count })
  return async (header, token) => {
    const before = reads
    try {
      return await keys(header, token)
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey && reads === before) throw new KeysNotRead(error.message)
      throw error
    }
  }
}

function subjectOf({ sub }: JWTPayload): string {
  try {
    return shortText(256)(sub, 'sub')
  } catch {
    throw new RequestError(
      'UNAUTHENTICATED',
      'The token was refused: its subject is not a text of 1 to 256 characters.',
    )
  }
}

/** What is there and not understood grants nothing. */
function scopesOf({ scope, scp }: JWTPayload): readonly Scope[] {
  if (scope === undefined && scp === undefined) return usual
  const named = [scope, scp].flatMap((claim) => (typeof claim === 'string' ? claim.split(' ') : claim))
  return scopes.filter((one) => named.includes(one))
}
