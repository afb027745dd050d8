import { readRunToken, runTokenPrefix } from '../app/run-token.ts'
import { badOption, functionOption, type OptionReaders, readOptions } from '../core/option.ts'
import type { Runtime } from '../core/runtime.ts'
import { shown } from '../core/text.ts'
import type { Values } from '../engine/values.ts'
import { checkedGrant, type Identity, scopes } from './identity.ts'
import { jwtReader, type JwtOptions, type ReadJwt } from './jwt.ts'
import { type Keyring, keyPrefix } from './keys.ts'
import { foreignSign, type Incoming } from './local.ts'
import { RequestError } from './problem.ts'
import { redeemTicket, ticketPrefix } from './tickets.ts'

/**
 * Who may do what. API keys, made by `celeriac keys`, are always taken. `none`: whoever asks may do everything, because
 * something in front of this has let them in.
 */
export type Auth =
  | 'none'
  | {
      readonly jwt?: JwtOptions | undefined
      /** Knows who asks by whatever you know them by, such as a session cookie; null where you do not. */
      readonly identify?: ((request: Request) => Promise<Known | null> | Known | null) | undefined
    }

/** A name that is not known might have been meant to close something. */
const authReaders: OptionReaders<Exclude<Auth, 'none'>> = {
  jwt(value, what) {
    if (typeof value === 'object' && value !== null) return value as JwtOptions
    throw badOption(what, `{ issuer, audience, jwks } is needed, not ${shown(value)}`)
  },
  identify: functionOption,
}

type Known = Omit<Identity, 'collectionId'>
const names = ['name', 'scopes', 'actor', 'until', 'keyId', 'madeBy'] as const

const everything: Identity = { name: 'anybody', scopes, actor: null, collectionId: null }

export class Authenticator {
  readonly #auth: Exclude<Auth, 'none'> | null
  readonly #jwt: ReadJwt | null
  readonly #keyring: Keyring
  readonly #origins: readonly string[]
  readonly #isOpenLocally: boolean
  readonly #access: () => Promise<{ readonly runtime: Runtime; readonly engine: Values }>

  constructor(
    auth: Auth,
    keyring: Keyring,
    { origins, openLocally }: { readonly origins: readonly string[]; readonly openLocally: boolean },
    runtime: Runtime,
    access: () => Promise<{ readonly runtime: Runtime; readonly engine: Values }>,
  ) {
    if (auth !== 'none' && (typeof auth !== 'object' || auth === null)) {
      throw badOption('createHandler: auth', `'none' or { jwt, identify } is needed`)
    }
    this.#auth = auth === 'none' ? null : readOptions<Exclude<Auth, 'none'>>(auth, authReaders, 'createHandler: auth')
    this.#jwt = this.#auth?.jwt ? jwtReader(this.#auth.jwt, runtime) : null
    this.#keyring = keyring
    this.#origins = origins
    this.#isOpenLocally = openLocally
    this.#access = access
  }

  /** Whether access is configured, by `auth` or by a key that was ever made: then nobody comes in without showing something. */
  async isConfigured(): Promise<boolean> {
    if (this.#auth === null || this.#jwt !== null || this.#auth.identify) return true
    return this.#keyring.hasEverHeld()
  }

  /** Whether requests of this machine are answered without a key or token. */
  async isOpen(): Promise<boolean> {
    return this.#isOpenLocally && !(await this.isConfigured())
  }

  /**
   * @param incoming what Node knows of the request; undefined: nobody counts as being on this machine
   * @throws RequestError UNAUTHENTICATED
   */
  async identify(request: Request, incoming: Incoming | undefined, takesTicket: boolean): Promise<Identity> {
    if (this.#auth === null) {
      this.#checkOrigin(request)
      return everything
    }
    const token = tokenOf(request)
    if (token !== null) return this.#byToken(token)
    const ticket = takesTicket ? new URL(request.url).searchParams.get('ticket') : null
    if (ticket !== null) return this.#byTicket(ticket)
    return this.#byPlace(request, incoming)
  }

  /** Known by what comes along with every request from that browser or machine, whatever page sends it. */
  async #byPlace(request: Request, incoming: Incoming | undefined): Promise<Identity> {
    const known = await this.#auth?.identify?.(request)
    if (!known) await this.#checkLocal(incoming)
    this.#checkOrigin(request)
    return known ? { collectionId: null, ...checkedGrant<Known>('auth: identify', known, names) } : everything
  }

  async #checkLocal(incoming: Incoming | undefined): Promise<void> {
    if (await this.isConfigured()) throw unauthenticated('Send authorization: Bearer, with a key or token.')
    if (!this.#isOpenLocally) throw unauthenticated(`Nobody may ask here yet: ${howToConfigure}.`)
    const sign = await foreignSign(incoming)
    if (sign === null) return
    throw unauthenticated(`Until access is configured only this machine may ask, and ${sign}: ${howToConfigure}.`)
  }

  #checkOrigin({ headers, url }: Request): void {
    const origin = headers.get('origin')
    if (origin === null || this.#origins.includes(origin) || isOwn(origin, headers.get('host') ?? new URL(url).host))
      return
    throw new RequestError('FORBIDDEN', 'Pages of this origin may not ask here: name it in origins.')
  }

  async #byToken(token: string): Promise<Identity> {
    if (token.startsWith(keyPrefix)) {
      const identity = await this.#keyring.identify(token)
      if (identity) return identity
      throw unauthenticated('The API key is not known here: it is wrong, was revoked, or its time is over.')
    }
    if (token.startsWith(runTokenPrefix)) {
      const read = await readRunToken(await this.#access(), token)
      if (read && (await this.#keyring.holds(read.keyId)))
        return { name: 'run token', scopes: ['read'], actor: null, ...read }
      throw unauthenticated('The run token is not valid here: its time is over, or the key that made it was revoked.')
    }
    if (token.startsWith(ticketPrefix)) throw unauthenticated('A ticket opens a stream of events: give it as ?ticket=.')
    if (this.#jwt) return this.#jwt(token)
    throw unauthenticated('This is no API key, and tokens of an identity provider are not taken here.')
  }

  async #byTicket(ticket: string): Promise<Identity> {
    const identity = await redeemTicket(await this.#access(), ticket)
    if (identity && (await this.#keyring.holds(identity.keyId))) return identity
    throw unauthenticated(
      'The ticket was used, or its 30 seconds or what it was asked for with are over: ask for another one.',
    )
  }
}

export const howToConfigure = 'make a key with celeriac keys create, or configure auth'

/** Whether a page came from the host that is asked. `x:443` is `x`, to pages that came by https. */
function isOwn(origin: string, host: string): boolean {
  const page = URL.parse(origin)
  return page !== null && page.host !== '' && page.host === URL.parse(`${page.protocol}//${host}`)?.host
}

function tokenOf({ headers }: Request): string | null {
  const header = headers.get('authorization')
  if (header === null) return null
  const [, token] = /^Bearer +([^\s,]+)$/i.exec(header) ?? []
  if (token === undefined || token.length > 8192)
    throw unauthenticated('Write authorization: Bearer and the key or token.')
  return token
}

const unauthenticated = (why: string): RequestError =>
  new RequestError('UNAUTHENTICATED', why, { headers: { 'www-authenticate': 'Bearer' } })
