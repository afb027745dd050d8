import { lookAtCollection } from '../app/collection-events.ts'
import type { Connection } from '../app/events.ts'
import { type FoundJob, lookAtJob } from '../app/job-events.ts'
import type { CollectionDetail } from '../core/collection.ts'
import { NotFound } from '../core/errors.ts'
import { isId } from '../core/id.ts'
import { type Identity, sees } from './identity.ts'

/** A collection, for one who may see it. What is somebody else's is answered like what is not there. */
export async function seeCollection(
  connection: Connection,
  identity: Identity,
  id: string,
  jobs: boolean,
): Promise<CollectionDetail> {
  const found = isId(id) ? await absent(() => lookAtCollection(connection, id, jobs)) : null
  if (found && sees(identity, id, found)) return found
  throw new NotFound(
    `There is no collection ${shown(id)}: the id is wrong, or it was removed when its retention ended.`,
  )
}

/** A job, for one who may see it. */
export async function seeJob(
  connection: Connection,
  identity: Identity,
  id: string,
  history = true,
): Promise<FoundJob> {
  const found = isId(id) ? await absent(() => lookAtJob(connection, id, { history })) : null
  if (found && sees(identity, found.collectionId, found)) return found
  throw new NotFound(`There is no job ${shown(id)}: the id is wrong, or it was removed when its retention ended.`)
}

/** A query for what this one may see; null where that is nothing. */
export function narrowed<Query extends { readonly actor?: string; readonly collectionId?: string }>(
  { actor, collectionId }: Identity,
  query: Query,
): Query | null {
  if (actor !== null && (query.actor ?? actor) !== actor) return null
  if (collectionId !== null && (query.collectionId ?? collectionId) !== collectionId) return null
  return { ...query, ...(actor !== null && { actor }), ...(collectionId !== null && { collectionId }) }
}

async function absent<T>(look: () => Promise<T>): Promise<T | null> {
  try {
    return await look()
  } catch (error) {
    if (error instanceof NotFound) return null
    throw error
  }
}

const shown = (id: string): string => (isId(id) ? id : `"${id.slice(0, 60)}"`)
