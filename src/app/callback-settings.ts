import { type OptionReaders, readOptions } from '../core/option.ts'
import { readSecrets } from '../core/secret.ts'
import { type AllowedHost, readAllowed } from './callback-url.ts'

/** How callbacks are signed, and where they may go besides the public internet. */
export interface CallbackOptions {
  /**
   * Secrets of the form `whsec_<base64>`, newest first: all of them sign. Default: the environment's
   * CELERIAC_CALLBACK_SECRET, else one that the store makes and keeps.
   */
  readonly secrets?: readonly string[] | undefined
  /**
   * Hosts of your own network that may be called back: `localhost`, `127.0.0.1:4000`, `*.internal.example`. Default: the
   * environment's CELERIAC_CALLBACK_ALLOW, else none.
   */
  readonly allow?: readonly string[] | undefined
}

/** Options, checked and filled in. */
export interface CallbackSettings {
  /** Newest first; null: the store keeps them. */
  readonly secrets: readonly string[] | null
  readonly allow: readonly AllowedHost[]
}

type Read = { readonly [K in keyof CallbackSettings]?: NonNullable<CallbackSettings[K]> }

const readers: OptionReaders<Read> = { secrets: readSecrets, allow: readAllowed }

export const readCallbacks = (value: unknown, what: string): Read => readOptions<Read>(value, readers, what)

/** What is not given as an option comes from the environment. @throws CeleriacError BAD_OPTION */
export function callbackSettings(
  given: Read,
  environment: Readonly<Record<string, string | undefined>>,
): CallbackSettings {
  const list = (name: string): string[] => (environment[name] ?? '').split(/[\s,]+/).filter(Boolean)
  const [secrets, allow] = [list('CELERIAC_CALLBACK_SECRET'), list('CELERIAC_CALLBACK_ALLOW')]
  return {
    secrets: given.secrets ?? (secrets.length > 0 ? readSecrets(secrets, 'CELERIAC_CALLBACK_SECRET') : null),
    allow: given.allow ?? readAllowed(allow, 'CELERIAC_CALLBACK_ALLOW'),
  }
}
