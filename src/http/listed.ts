import type { Given } from './route.ts'

/** A page of nothing: of what is somebody else's. */
export const nothing = { items: [], next: null }

/** What may be asked of a list without going over everything in it. */
const cheap = ['limit', 'cursor', 'collection']

/**
 * Reads a page. With a filter, or for a user, whose work no index tells, the store may go over all that it has: such reads take turns.
 * With a filter they are told again for two seconds; without one, users see what they have just sent.
 */
export function lookAt<Found>(
  { service: { scans }, identity, query }: Pick<Given<unknown, object, unknown>, 'service' | 'identity' | 'query'>,
  what: string,
  look: () => Promise<Found>,
): Promise<Found> {
  const names = Object.keys(query)
  if (!names.every((name) => cheap.includes(name))) return scans.find(identity, [what, query], look)
  return identity.actor === null ? look() : scans.inTurn(identity, look)
}
