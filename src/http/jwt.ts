import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify, type JWTVerifyGetKey } from 'jose'
import { CeleriacError } from '../core/errors.ts'
import { anything, badOption, functionOption, type OptionReaders, readOptions, shortText } from '../core/option.ts'
import type { Runtime } from '../core/runtime.ts'
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
  readonly access?:
    ((claims: JWTPayload) => { readonly scopes?: readonly Scope[]; readonly actor?: string | null }) | undefined
}

const jwtReaders: OptionReaders<JwtOptions> = {
  issuer: anything,
  audience: anything,
  jwks: anything,
  secret: anything,
  algorithms: anything,
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
    const { scopes = scopesOf(claims), actor = subject } = access?.(claims) ?? {}
    return {
      ...checkedGrant('jwt: access', { scopes, actor }),
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
  const key = jwks === undefined ? secretBytes(secret as string | Uint8Array) : createRemoteJWKSet(new URL(jwks))
  return async (token: string, currentDate: Date): Promise<JWTPayload> => {
    const all = { ...terms, currentDate }
    const verified = await (key instanceof Uint8Array
      ? jwtVerify(token, key, all)
      : jwtVerify(token, key as JWTVerifyGetKey, all))
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
    const isTheirs = error instanceof errors.JWKSTimeout || !(error instanceof errors.JOSEError)
    if (isTheirs)
      throw new CeleriacError('STORE_UNREACHABLE', 'The keys of the identity provider cannot be read.', {
        cause: error,
      })
    const why = error instanceof errors.JWTExpired ? 'it has expired' : 'it is not valid here'
    throw new RequestError('UNAUTHENTICATED', `The token was refused: ${why}.`)
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
