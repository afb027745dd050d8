import type { CallbackSettings } from '../app/callback-settings.ts'
import { CeleriacError } from '../core/errors.ts'
import type { Runtime } from '../core/runtime.ts'
import { newSecret } from '../core/secret.ts'
import { allValues, type Values } from '../engine/values.ts'

type Store = Pick<Values, 'values' | 'putValue'>

/** Where secrets come from: those that were given, else the store. */
export interface SecretSource {
  readonly settings: Pick<CallbackSettings, 'secrets'>
  readonly store: Store
  readonly runtime: Pick<Runtime, 'randomBytes'>
}

/** How long a secret goes on signing beside the one that took its place, in milliseconds. */
export const overlap = 24 * 60 * 60_000

const id = 'callback'
/** Those that were replaced: each by itself, so that the store forgets it when its time is over. */
const before = `${id}-`

/** All secrets that sign, newest first. Where there is none, the store keeps a new one from now on. */
export async function signingSecrets({ settings, store, runtime }: SecretSource): Promise<readonly string[]> {
  if (settings.secrets !== null) return settings.secrets
  const kept = await allValues(store, 'secret')
  const current =
    kept.find((one) => one.id === id)?.text ??
    (await store.putValue({ kind: 'secret', id, text: newSecret(runtime), lifetime: null }, 'keep'))
  const replaced = kept.filter((one) => one.id.startsWith(before))
  const newestFirst = replaced.toSorted((a, b) => (b.expiresAt ?? 0) - (a.expiresAt ?? 0))
  return [...new Set([current, ...newestFirst.map(({ text }) => text)])]
}

/**
 * Puts a new secret into the place of the store's, which goes on signing beside it for a day. The old one is put aside first,
 * so that it signs whatever breaks this off.
 *
 * @throws CeleriacError UNSUPPORTED where the secrets are not the store's
 */
export async function rotateSecret(source: SecretSource, newId: () => string): Promise<string> {
  const { settings, store, runtime } = source
  if (settings.secrets !== null) throw notKept()
  const [current = ''] = await signingSecrets(source)
  await store.putValue({ kind: 'secret', id: `${before}${newId()}`, text: current, lifetime: overlap }, 'replace')
  return store.putValue({ kind: 'secret', id, text: newSecret(runtime), lifetime: null }, 'replace')
}

function notKept(): CeleriacError {
  const where = 'they are given by CELERIAC_CALLBACK_SECRET or to new Celeriac'
  const advice = 'put a new one in front of them there, and take the old one out a day later'
  return new CeleriacError('UNSUPPORTED', `The secrets are not kept in the store, ${where}: ${advice}.`)
}
