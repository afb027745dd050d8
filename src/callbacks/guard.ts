import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { type AllowedHost, hostOf, isAllowed } from '../app/callback-url.ts'
import { isPublicAddress } from '../app/public-address.ts'
import { CallbackFailed, reasonIn } from './failed.ts'

/** All addresses of a host. */
export type Resolve = (host: string) => Promise<readonly LookupAddress[]>

/** As connections are made: by the resolver of the system, with what its files say. */
export const systemResolve: Resolve = async (host) => lookup(host, { all: true })

/**
 * The addresses that a callback may be sent to: those that its host has now, all of them public, or of a host that is
 * allowed by name. Where they are not is not told: whoever gave the URL may read it, and would learn what is in this network.
 *
 * @throws CallbackFailed
 */
export async function addressesFor(
  url: URL,
  allowed: readonly AllowedHost[],
  resolve: Resolve,
): Promise<readonly LookupAddress[]> {
  const host = hostOf(url)
  const family = isIP(host)
  const addresses = family === 0 ? await resolved(host, resolve) : [{ address: host, family }]
  if (isAllowed(url, allowed) || addresses.every(({ address }) => isPublicAddress(address))) return addresses
  const advice =
    'nothing was sent; if it is meant to be called, allow it: callbacks: { allow: […] } or CELERIAC_CALLBACK_ALLOW'
  throw new CallbackFailed(`${url.host} leads to an address that is not public: ${advice}`)
}

async function resolved(host: string, resolve: Resolve): Promise<readonly LookupAddress[]> {
  const addresses = await resolve(host).catch((error: unknown) => {
    throw new CallbackFailed(`${host} was not found: ${reasonIn(error)}`)
  })
  if (addresses.length === 0) throw new CallbackFailed(`${host} was not found: it has no address`)
  return addresses
}

/** Has a connection go to addresses that were looked at. Were the name asked for again, it could lead elsewhere by then. */
export function pinned(addresses: readonly LookupAddress[]): LookupFunction {
  return (_host, { all }, callback) => {
    const [first] = addresses as [LookupAddress]
    if (all) callback(null, [...addresses])
    else callback(null, first.address, first.family)
  }
}
