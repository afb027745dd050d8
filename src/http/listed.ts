import type { Given } from './route.ts'

/** A page of nothing: of what is somebody else's. */
export const nothing = { items: [], next: null }

/** What may be asked of a list without going over everything in it. */
const cheap = ['limit', 'cursor', 'collection']

/** Reads a page. With a filter, the store may go over all that it has: such reads take turns, and are told again for two seconds. */
export function lookAt<Found>(
  { service, identity, query }: Pick<Given<unknown, object, unknown>, 'service' | 'identity' | 'query'>,
  what: readonly string[],
  look: () => Promise<Found>,
): Promise<Found> {
  if (Object.keys(query).every((name) => cheap.includes(name))) return look()
  return service.scans.find([...what, identity.actor, identity.collectionId, query], look)
}
