import type { CallbackSettings } from '../app/callback-settings.ts'
import { isWhole, summaryOfCollection, summaryOfJob, valueOf } from '../app/snapshots.ts'
import { steadily } from '../app/store-away.ts'
import type { Callback, CollectionDetail } from '../core/collection.ts'
import type { CurrentJob } from '../core/handle.ts'
import type { StoredResult } from '../core/job.ts'
import type { Runtime } from '../core/runtime.ts'
import type { Inspection } from '../engine/inspect.ts'
import type { Values } from '../engine/values.ts'
import { Body } from './body.ts'
import { CallbackFailed } from './failed.ts'
import { type Resolve, systemResolve } from './guard.ts'
import { signingSecrets } from './secrets.ts'
import { send } from './send.ts'

type Store = Pick<Inspection, 'collection' | 'job' | 'resolve'> & Pick<Values, 'values' | 'putValue'>

/** What callbacks are sent with. */
export interface CallbackParts {
  readonly store: Store
  readonly runtime: Runtime
  readonly settings: CallbackSettings
  /** Default: the resolver of the system. */
  readonly resolve?: Resolve | undefined
}

/**
 * Tells the receiver of a collection what became of it: one attempt of the job that calls back.
 *
 * @throws CallbackFailed, or what the store answers
 */
export async function callBack(
  { store, runtime, settings, resolve = systemResolve }: CallbackParts,
  job: Pick<CurrentJob, 'id' | 'collectionId' | 'signal'>,
): Promise<{ readonly status: number }> {
  const { collection, body } = await steadily(runtime, () => read(store, job.collectionId))
  const secrets = await steadily(runtime, () => signingSecrets({ settings, store, runtime }))
  // A retry of the collection is news of its own; sending the same news again is not.
  const id = `msg_${job.id}_${collection.round}`
  const url = new URL(collection.callback.url)
  return send({ url, id, body, secrets }, { runtime, allow: settings.allow, resolve, signal: job.signal })
}

type Called = CollectionDetail & { readonly callback: Callback }

async function read(store: Store, collectionId: string): Promise<{ collection: Called; body: string }> {
  const collection = await store.collection(collectionId)
  if (!collection?.callback) throw new CallbackFailed('its collection has no address to call back', { isFinal: true })
  // Then this attempt is nobody's any more, and the next round calls back.
  if (collection.state === 'running')
    throw new CallbackFailed('its collection was retried: it calls back when that is over')
  const called = collection as Called
  return { collection: called, body: await bodyOf(store, called) }
}

async function bodyOf(store: Store, collection: Called): Promise<string> {
  const { results } = collection.callback
  const isCarried = results !== 'none' && collection.state === 'succeeded'
  const result = isCarried ? await resultOf(store, collection.result) : { value: undefined }
  const body = new Body(summaryOfCollection(collection), collection.jobs.map(summaryOfJob), result)
  if (result === null) body.truncate()
  if (results === 'all') await addResults(store, body)
  return body.toString()
}

/** How many jobs are asked for at once. */
const atOnce = 20

async function addResults(store: Store, body: Body): Promise<void> {
  const ids = body.awaiting
  for (let n = 0; n < ids.length; n += atOnce) {
    const jobs = await Promise.all(ids.slice(n, n + atOnce).map((id) => store.job(id, { history: false })))
    for (const job of jobs) {
      if (job === null) continue
      const result = await resultOf(store, job.result)
      if (result === null) return body.truncate()
      if (!body.addResult(job.id, result)) return
    }
  }
}

/** null where it is larger than what comes along, and so than a body may be. */
async function resultOf(store: Store, stored: StoredResult | null): Promise<{ readonly value: unknown } | null> {
  if (stored !== null && !isWhole(stored)) return null
  return { value: await valueOf(store, stored) }
}
