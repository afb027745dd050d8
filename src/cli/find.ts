import type { Celeriac } from '../app/celeriac.ts'
import { NotFound } from '../core/errors.ts'
import type { CollectionHandle, JobHandle } from '../core/handle.ts'
import { isId } from '../core/id.ts'
import { UsageError } from './mistake.ts'

export type Found =
  | { readonly kind: 'collection'; readonly handle: CollectionHandle<unknown> }
  | { readonly kind: 'job'; readonly handle: JobHandle<unknown> }

/** The collection or the job with this id, or with the only id that begins so. A job alone is a collection. */
export async function find(app: Celeriac, text: string): Promise<Found> {
  const wanted = text.toLowerCase()
  const id = isId(wanted) ? wanted : await completeId(app, wanted)
  try {
    return { kind: 'collection', handle: await app.collection(id) }
  } catch (error) {
    if (!(error instanceof NotFound)) throw error
  }
  try {
    return { kind: 'job', handle: await app.job(id) }
  } catch (error) {
    if (!(error instanceof NotFound)) throw error
    throw new NotFound(`Nothing here has the id ${id}: it is in another store (--url), or its retention has ended.`)
  }
}

/** The collection to follow: the one found, or the one that the job belongs to. */
export async function collectionOf(app: Celeriac, found: Found): Promise<CollectionHandle<unknown>> {
  if (found.kind === 'collection') return found.handle
  const { collectionId } = await found.handle.snapshot()
  return app.collection(collectionId)
}

/** So many digits tell the time to about a minute; with fewer, too much would have to be read. */
const fewestDigits = 8
const beginning = /^[0-9a-f]{8}(-?[0-9a-f]{0,4}){0,3}(-?[0-9a-f]{0,12})$/
/** Ids are made by whoever submits, and told by the clock of the store: the two may differ so much. */
const clocksDiffer = 60_000
const mostPages = 25

/** An id begins with the time it was made at, so those that begin alike were sent at about the same time. */
async function completeId(app: Celeriac, text: string): Promise<string> {
  const digits = text.replaceAll('-', '')
  if (!beginning.test(text) || digits.length > 32) {
    throw new UsageError(
      `"${text.slice(0, 60)}" is no id: give one as celeriac jobs or collections show it, or at least its first ${fewestDigits} digits`,
    )
  }
  const time = (fill: '0' | 'f'): number => Number.parseInt(digits.slice(0, 12).padEnd(12, fill), 16)
  const sent = { after: new Date(time('0') - clocksDiffer), before: new Date(time('f') + clocksDiffer + 1), limit: 200 }
  const begins = ({ id }: { readonly id: string }): boolean => id.replaceAll('-', '').startsWith(digits)
  const collections = await findAll((cursor) => app.collections.list({ ...sent, cursor }), begins)
  const ids =
    collections.length > 0 ? collections : await findAll((cursor) => app.jobs.list({ ...sent, cursor }), begins)
  const [first] = ids
  if (!first) throw new NotFound(`Nothing here has an id that begins with ${text}.`)
  if (ids.length > 1)
    throw new UsageError(`Several ids begin with ${text}, such as ${first} and ${ids[1]}: give more of it`)
  return first
}

/** The ids that fit, but no more than two. */
async function findAll(
  list: (cursor: string | undefined) => Promise<{ items: readonly { id: string }[]; next?: string }>,
  fits: (item: { readonly id: string }) => boolean,
): Promise<string[]> {
  const ids: string[] = []
  let cursor: string | undefined
  for (let page = 0; page < mostPages && ids.length < 2; page++) {
    const { items, next } = await list(cursor)
    ids.push(...items.filter(fits).map(({ id }) => id))
    if (next === undefined) break
    cursor = next
  }
  return ids
}
