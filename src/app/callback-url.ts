import { isIP } from 'node:net'
import { badOption, type OptionReader } from '../core/option.ts'
import { shown } from '../core/text.ts'
import { isPublicAddress } from './public-address.ts'

/** A host that callbacks may go to wherever it is, as somebody wrote it down by name. */
export interface AllowedHost {
  readonly host: string
  /** `*.example.org`: every name below it, and not itself. */
  readonly isParent: boolean
  /** null: any. */
  readonly port: string | null
}

/**
 * Refuses an address to call back that names no public host: by a literal address in any spelling (`127.1`, `0x7f000001`,
 * `[::1]`, …), all of which the parser of URLs spells alike, or as `localhost`. What a name leads to is looked at when it
 * is called.
 *
 * @throws CeleriacError BAD_OPTION
 */
export function checkCallbackUrl(text: string, allowed: readonly AllowedHost[], what: string): void {
  const url = new URL(text)
  const host = hostOf(url)
  const isLocal = /^(?:.*\.)?localhost$/.test(host) || (isIP(host) !== 0 && !isPublicAddress(host))
  if (!isLocal || isAllowed(url, allowed)) return
  const advice = `for development allow it: new Celeriac({ callbacks: { allow: [${shown(url.host)}] } })`
  throw badOption(what, `${host} is no public address, and may lead into your own network: ${advice}`)
}

/** The host as the resolver is asked for it: without the brackets of IPv6 and the dot of the root. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '').replace(/\.+$/, '')

export function isAllowed(url: URL, allowed: readonly AllowedHost[]): boolean {
  const host = hostOf(url)
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return allowed.some((one) => {
    if (one.port !== null && one.port !== port) return false
    return one.isParent ? host.endsWith(`.${one.host}`) : host === one.host
  })
}

/** Reads names of hosts: `localhost`, `127.0.0.1:4000`, `[::1]`, `*.internal.example`. */
export const readAllowed: OptionReader<readonly AllowedHost[]> = (value, what) => {
  if (!Array.isArray(value)) throw badOption(what, `a list of hosts is needed, not ${shown(value)}`)
  return value.map((entry: unknown, n) => {
    const allowed = typeof entry === 'string' ? allowedHost(entry) : null
    if (allowed !== null) return allowed
    throw badOption(
      `${what}[${n}]`,
      `a host is needed, such as 'localhost:4000' or '*.example.org', not ${shown(entry)}`,
    )
  })
}

function allowedHost(entry: string): AllowedHost | null {
  const [, star, host = '', port = null] = /^(\*\.)?([^\s:/?#@[\]*\\]+|\[[^\]]*\])(?::(\d{1,5}))?$/.exec(entry) ?? []
  if (!URL.canParse(`http://${host}`)) return null
  return { host: hostOf(new URL(`http://${host}`)), isParent: star !== undefined, port }
}
