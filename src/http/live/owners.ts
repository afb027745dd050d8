import type { FindOwners } from '../../app/feed-events.ts'
import type { Inspection } from '../../engine/inspect.ts'

const mostRemembered = 50_000
const mostAtOnce = 1_000

/** Who asked for a collection never changes, so each is asked for once, and many together. */
export function rememberedOwners(
  connect: () => Promise<{ readonly engine: Pick<Inspection, 'actorsOf'> }>,
): FindOwners {
  const known = new Map<string, string | null>()
  return async (collectionIds) => {
    const ids = [...new Set(collectionIds)]
    const unknown = ids.filter((id) => !known.has(id))
    const { engine } = await connect()
    if (known.size > mostRemembered) known.clear()
    for (let at = 0; at < unknown.length; at += mostAtOnce) {
      for (const [id, actor] of await engine.actorsOf(unknown.slice(at, at + mostAtOnce))) known.set(id, actor)
    }
    return known
  }
}
