// Whoever says a name is let in by it: enough to tell people apart in a demo, and nothing else. In its place stands an
// identity provider, whose tokens `createHandler` takes in the same way.
import { randomBytes } from 'node:crypto'
import { jwtVerify, SignJWT } from 'jose'
import type { JwtOptions } from 'celeriac/http'

const secret = randomBytes(32)
/** What the HTTP API is told, to know these tokens. */
export const jwt: JwtOptions = { issuer: 'studio', audience: 'studio', secret }

export const tokenFor = (name: string): Promise<string> =>
  new SignJWT()
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer(jwt.issuer)
    .setAudience(jwt.audience)
    .setSubject(name)
    .setExpirationTime('12h')
    .sign(secret)

/** Who asks; null where nobody knows. */
export async function whoAsks(request: Request): Promise<string | null> {
  const [, token = ''] = /^Bearer (.+)$/.exec(request.headers.get('authorization') ?? '') ?? []
  const { issuer, audience } = jwt
  const verified = await jwtVerify(token, secret, { issuer, audience, algorithms: ['HS256'] }).catch(() => null)
  return verified?.payload.sub ?? null
}
