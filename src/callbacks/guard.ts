import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { type AllowedHost, hostOf, isAllowed } from '../app/callback-url.ts'
import { isPublicAddress } from '../app/public-address.ts'
import { CallbackFailed } from './failed.ts'

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
  const addresses = family === 0 ? await resolved(url, host, resolve) : [{ address: host, family }]
  if (isAllowed(url, allowed) || addresses.every(({ address }) => isPublicAddress(address))) return addresses
  throw noPublicAddress(url)
}

async function resolved(url: URL, host: string, resolve: Resolve): Promise<readonly LookupAddress[]> {
  const addresses = await resolve(host).catch(() => [])
  if (addresses.length === 0) throw noPublicAddress(url)
  return addresses
}

/** One sentence for both: whoever gave the URL would learn which names there are in this network. */
const noPublicAddress = ({ host }: URL): CallbackFailed =>
  new CallbackFailed(
    `${host} was not found, or leads to an address that is not public: nothing was sent; check the name or, if it is meant to be called there, allow it: callbacks: { allow: […] } or CELERIAC_CALLBACK_ALLOW`,
  )

/** Has a connection go to addresses that were looked at. Were the name asked for again, it could lead elsewhere by then. */
export function pinned(addresses: readonly LookupAddress[]): LookupFunction {
  return (_host, { all }, callback) => {
    const [first] = addresses as [LookupAddress]
    if (all) callback(null, [...addresses])
    else callback(null, first.address, first.family)
  }
}
