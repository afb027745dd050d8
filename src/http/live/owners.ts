import type { FindOwners } from '../../app/feed-events.ts'
import type { Inspection } from '../../engine/inspect.ts'

const mostRemembered = 50_000
const mostAtOnce = 1_000

/** Who asked for a collection never changes, so each is asked for once, and many together. */
export function rememberedOwners(
  connect: () => Promise<{ readonly engine: Pick<Inspection, 'actorsOf'> }>,
  most = mostRemembered,
): FindOwners {
  const known = new Map<string, string | null>()
  return async (collectionIds) => {
    if (known.size > most) known.clear()
    // Others may ask, and have it forgotten, while the store is asked: what is found is this one's own.
    const found = new Map<string, string | null>()
    const unknown: string[] = []
    for (const id of new Set(collectionIds)) {
      const owner = known.get(id)
      if (owner === undefined) unknown.push(id)
      else found.set(id, owner)
    }
    const { engine } = await connect()
    for (let at = 0; at < unknown.length; at += mostAtOnce) {
      for (const [id, actor] of await engine.actorsOf(unknown.slice(at, at + mostAtOnce))) {
        known.set(id, actor)
        found.set(id, actor)
      }
    }
    return found
  }
}
