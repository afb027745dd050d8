import { createHash, timingSafeEqual } from 'node:crypto'
import { CeleriacError } from '../core/errors.ts'
import { shortText } from '../core/option.ts'
import type { Runtime } from '../core/runtime.ts'
import { longerThanNothing } from '../core/stored-options.ts'
import type { Duration } from '../core/time.ts'
import { allValues, type Values } from '../engine/values.ts'
import { type Identity, type Scope, scopes } from './identity.ts'

export const keyPrefix = 'cel_'

/** What is known of a key: everything but the key. */
export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly createdAt: Date
  readonly expiresAt?: Date
}

interface KeptKey {
  readonly name: string
  readonly scopes: readonly Scope[]
  /** SHA-256 of the secret part, in base64url: 256 random bits need no salt and no slow hash. */
  readonly hash: string
  readonly createdAt: number
  /** An instant in milliseconds; null: until it is revoked. */
  readonly expiresAt: number | null
}

type Access = { readonly runtime: Runtime; readonly engine: Values }

/** How long what a store said of a key is believed, in milliseconds: so long a revoked key may still open. */
const believedFor = 5_000
const mostRemembered = 1_000
/** A mark beside the keys, kept for ever: there was one. */
const everMade = 'keys-made'

/**
 * Makes a key and stores what is needed to know it again. The key itself is told here and never again.
 *
 * @throws CeleriacError BAD_OPTION, BAD_DURATION
 */
export async function createKey(
  { runtime, engine }: Access,
  { name, scopes: given, expiresIn }: { name: string; scopes: readonly string[]; expiresIn?: Duration | undefined },
): Promise<{ readonly key: string; readonly about: ApiKey }> {
  const kept = { name: shortText(100)(name, 'keys: name'), scopes: readScopes(given) }
  const lifetime = expiresIn === undefined ? null : longerThanNothing(expiresIn, 'keys: expires')
  const id = draw(runtime, 6).toString('hex')
  const secret = draw(runtime, 32).toString('base64url')
  const createdAt = runtime.now()
  const expiresAt = lifetime === null ? null : createdAt + lifetime
  const text = JSON.stringify({ ...kept, hash: hashOf(secret), createdAt, expiresAt } satisfies KeptKey)
  // First, so that a process that dies between the two leaves the door closed.
  await engine.putValue({ kind: 'secret', id: everMade, text: 'yes', lifetime: null }, 'keep')
  await engine.putValue({ kind: 'key', id, text, lifetime }, 'replace')
  const until = expiresAt === null ? {} : { expiresAt: new Date(expiresAt) }
  return { key: `${keyPrefix}${id}_${secret}`, about: { id, ...kept, createdAt: new Date(createdAt), ...until } }
}

export async function listKeys(engine: Values): Promise<readonly ApiKey[]> {
  const stored = await allValues(engine, 'key')
  const keys = stored.map(({ id, text, expiresAt }) => {
    const { name, scopes, createdAt } = JSON.parse(text) as KeptKey
    const until = expiresAt === null ? {} : { expiresAt: new Date(expiresAt) }
    return { id, name, scopes, createdAt: new Date(createdAt), ...until }
  })
  return keys.sort((one, other) => one.createdAt.getTime() - other.createdAt.getTime())
}

/** From then on, within five seconds, it opens nothing any more. False where there is no such key. */
export async function revokeKey(engine: Values, id: string): Promise<boolean> {
  return (await engine.takeValue('key', id)) !== null
}

/** Knows keys again, and asks the store for each at most every five seconds. */
export class Keyring {
  readonly #access: () => Promise<Access>
  readonly #remembered = new Map<string, { readonly kept: KeptKey | null; readonly at: number }>()
  #everHeld: { readonly is: boolean; readonly at: number } | undefined

  constructor(access: () => Promise<Access>) {
    this.#access = access
  }

  /** Whose key this is; null where it is nobody's. */
  async identify(key: string): Promise<Identity | null> {
    const [, id = '', secret = ''] = /^cel_([0-9a-f]{12})_([A-Za-z0-9_-]{43})$/.exec(key) ?? []
    if (id === '') return null
    const kept = await this.#find(id)
    if (kept === null || !isSame(hashOf(secret), kept.hash)) return null
    const until = kept.expiresAt === null ? {} : { until: kept.expiresAt }
    return { name: kept.name, scopes: kept.scopes, actor: null, collectionId: null, keyId: id, ...until }
  }

  /** Whether what was made with this key, or without any, is still good. */
  async holds(keyId: string | undefined): Promise<boolean> {
    return keyId === undefined || (await this.#find(keyId)) !== null
  }

  /** Whether a key is in the store at this moment. */
  async stillHolds(keyId: string): Promise<boolean> {
    this.#remembered.delete(keyId)
    return this.holds(keyId)
  }

  /**
   * Whether a key was ever made on this store. It stays true when the last one expires or is revoked: whoever relied on keys
   * must not find the door open again.
   */
  async hasEverHeld(): Promise<boolean> {
    const { runtime, engine } = await this.#access()
    const now = runtime.elapsed()
    if (this.#everHeld === undefined || (!this.#everHeld.is && now - this.#everHeld.at > believedFor)) {
      this.#everHeld = { is: (await engine.value('secret', everMade)) !== null, at: now }
    }
    return this.#everHeld.is
  }

  async #find(id: string): Promise<KeptKey | null> {
    const { runtime, engine } = await this.#access()
    const now = runtime.elapsed()
    const known = this.#remembered.get(id)
    if (known !== undefined && now - known.at <= believedFor) return known.kept
    const text = await engine.value('key', id)
    const kept = text === null ? null : (JSON.parse(text) as KeptKey)
    // Whoever guesses ids may push others out, and fills no memory.
    if (this.#remembered.size >= mostRemembered) this.#remembered.clear()
    this.#remembered.set(id, { kept, at: now })
    return kept
  }
}

function readScopes(given: readonly string[]): readonly Scope[] {
  const unknown = given.find((scope) => !(scopes as readonly string[]).includes(scope))
  if (unknown === undefined && given.length > 0) return scopes.filter((scope) => given.includes(scope))
  const problem = unknown === undefined ? 'there are none' : `there is no scope "${unknown.slice(0, 60)}"`
  throw new CeleriacError('BAD_OPTION', `keys: scopes: ${problem}: give some of ${scopes.join(', ')}`)
}

const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('base64url')
const isSame = (one: string, other: string): boolean => timingSafeEqual(Buffer.from(one), Buffer.from(other))

function draw(runtime: Runtime, length: number): Buffer {
  const bytes = new Uint8Array(length)
  runtime.randomBytes(bytes)
  return Buffer.from(bytes)
}
