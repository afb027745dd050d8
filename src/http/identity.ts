import { createHash } from 'node:crypto'
import { shortText } from '../core/option.ts'
import { RequestError } from './problem.ts'

/**
 * What a request may do. `read`: look and follow. `submit`: send work. `operate`: retry, cancel, pause. `admin`: all of it,
 * and jobs with other arguments than they were sent with.
 */
export const scopes = ['read', 'submit', 'operate', 'admin'] as const
export type Scope = (typeof scopes)[number]

/** Who asks, and what of everything is there for them. */
export interface Identity {
  /** For people: the name of a key, the subject of a token. */
  readonly name: string
  readonly scopes: readonly Scope[]
  /** Only what this actor asked for is there; null: everything. */
  readonly actor: string | null
  /** Only this collection is there; null: no such limit. */
  readonly collectionId: string | null
  /** When what it showed of itself ends, in milliseconds since 1970; undefined where that is not known. */
  readonly until?: number | undefined
  /** The API key that this is, or was made with: when that is revoked, this opens nothing. */
  readonly keyId?: string | undefined
  /** The user that made this run token, as `makerOf` gives it. */
  readonly madeBy?: string | undefined
}

/**
 * What bounds for one credential are kept by. All run tokens that one user made count together: each by itself would multiply
 * what that user may have. They do not count as the user, whom whoever has such a token could then keep out.
 */
export const credentialOf = ({ name, actor, collectionId, keyId, madeBy }: Identity): string =>
  JSON.stringify(madeBy === undefined ? [name, actor, collectionId, keyId] : [name, madeBy])

/** Who is named as the maker of a run token; undefined for services, which make them for many users. */
export function makerOf(identity: Identity): string | undefined {
  if (identity.actor === null) return identity.madeBy
  return createHash('sha256').update(credentialOf(identity)).digest('base64url')
}

/**
 * What code of the app's own lets somebody do, where it says so in these words and no others: a missing actor would show everything, a
 * text of scopes has other scopes in it, and a misspelt name, or a promise, leaves what is usual.
 *
 * @param names what the answer may have
 * @param usual what holds where it does not say
 * @throws TypeError, as a fault inside
 */
export function checkedGrant<Grant extends Pick<Identity, 'scopes' | 'actor'>>(
  what: string,
  answer: unknown,
  names: readonly (keyof Grant & string)[],
  usual: Partial<Grant> = {},
): Grant {
  if (typeof answer !== 'object' || answer === null) throw new TypeError(`${what} is to answer an object`)
  const given = Object.entries(answer).filter(([, value]) => value !== undefined)
  for (const [name] of given) {
    if (!(names as readonly string[]).includes(name))
      throw new TypeError(`${what} answers ${names.join(', ')}, and not "${name.slice(0, 40)}"`)
  }
  const grant = { ...usual, ...Object.fromEntries(given) } as Grant
  if (!isListOf(grant.scopes, scopes)) throw new TypeError(`${what}: scopes is to be a list of ${scopes.join(', ')}`)
  if (grant.actor !== null && !isShortText(grant.actor))
    throw new TypeError(`${what}: actor is to be a text of 1 to 256 characters, or null for everything`)
  return grant
}

const isListOf = (given: unknown, known: readonly unknown[]): boolean =>
  Array.isArray(given) && given.every((one) => known.includes(one))

function isShortText(given: unknown): boolean {
  try {
    shortText(256)(given, '')
    return true
  } catch {
    return false
  }
}

/** @throws RequestError FORBIDDEN */
export function demand(identity: Identity, scope: Scope): void {
  if (identity.scopes.includes(scope) || identity.scopes.includes('admin')) return
  const has = identity.scopes.length === 0 ? 'none' : identity.scopes.join(', ')
  throw new RequestError('FORBIDDEN', `This needs the scope "${scope}", and what was sent has ${has}.`)
}

/** Whether it may be answered with what is in the store, and not only with whether it was done. */
export const mayRead = ({ scopes }: Identity): boolean => scopes.includes('read') || scopes.includes('admin')

/** For what belongs to nobody in particular: queues, workers, statistics. @throws RequestError FORBIDDEN */
export function demandEverything(identity: Identity): void {
  if (identity.actor === null && identity.collectionId === null) return
  throw new RequestError('FORBIDDEN', 'This tells of everybody’s work, and what was sent sees only its own.')
}

/** For what tells of many collections. @throws RequestError FORBIDDEN */
export function demandMany({ collectionId }: Identity): void {
  if (collectionId !== null)
    throw new RequestError('FORBIDDEN', 'A run token is for one collection, and tells of no other.')
}

interface Owned {
  readonly actor?: { readonly id: string } | null
}

export function sees(identity: Identity, collectionId: string, { actor }: Owned): boolean {
  if (identity.collectionId !== null && identity.collectionId !== collectionId) return false
  return identity.actor === null || actor?.id === identity.actor
}
