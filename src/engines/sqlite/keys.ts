import type { Callback } from '../../core/collection.ts'
import type { Graph } from '../../core/graph.ts'
import { callbackOf, type CallbackColumns } from '../../engine/callback.ts'
import type { SubmitAnswer, Submission } from '../../engine/intake.ts'
import { idempotencyMemory } from '../../engine/retention.ts'
import { type Change, header } from './change.ts'
import { cancelCollection } from './control.ts'
import type { Value } from './database.ts'

/** Sent before, under its own id. */
export function isStored(change: Change, graph: Graph): boolean {
  const rows = graph.exit === null ? 'celeriac_jobs' : 'celeriac_collections'
  return change.db.get(`select 1 from ${rows} where id = ?`, graph.id) !== undefined
}

interface Refused {
  readonly at: number
  readonly answer: SubmitAnswer
}

/**
 * The first submission of a call that its keys refuse, found before any of them is stored: of a user's own transaction nothing
 * can be taken back. A key that one of them takes counts as held for those behind it.
 */
export function refusedOf(change: Change, submissions: readonly Submission[]): Refused | null {
  const taken: Taken = { remembered: new Map(), held: new Map() }
  for (const [at, submission] of submissions.entries()) {
    const answer = isStored(change, submission.graph) ? null : meetKeys(change, submission, taken)
    if (answer?.type === 'conflict') return { at, answer }
  }
  return null
}

/** Keys that the submissions before have taken. */
interface Taken {
  readonly remembered: Map<string, Remembered>
  readonly held: Map<string, Holder>
}

/** What a submission would be answered for its keys; null where it would be stored, and takes them. */
function meetKeys(change: Change, submission: Submission, { remembered, held }: Taken): SubmitAnswer | null {
  const { graph, idempotency, unique } = submission
  const key = JSON.stringify([scopeOf(submission), idempotency?.key])
  const note = (id: string): void => {
    if (idempotency !== null) remembered.set(key, { fingerprint: idempotency.fingerprint, collection_id: id })
  }
  const before = idempotency === null ? null : (remembered.get(key) ?? remembering(change, submission))
  if (before !== null && idempotency !== null) return recalled(before, idempotency.fingerprint)
  if (unique !== null) {
    const holder = held.get(unique.key) ?? holderNow(change, unique.key)
    const answer = holder === null ? null : answerOfHolder(holder, submission)
    if (answer?.type === 'existing') note(answer.collectionId)
    if (answer !== null) return answer
    held.set(unique.key, { id: graph.id, callback: submission.callback })
  }
  note(graph.id)
  return null
}

/** Keys are scoped by actor: what one user chose must not meet what another did. */
const scopeOf = ({ actor }: Submission): string => actor?.id ?? ''

interface Remembered {
  readonly fingerprint: string
  readonly collection_id: string
}

function remembering(change: Change, submission: Submission): Remembered | null {
  const { key } = submission.idempotency as NonNullable<Submission['idempotency']>
  const row = change.db.get<Remembered>(
    'select fingerprint, collection_id from celeriac_idempotency where scope = ? and key = ?',
    scopeOf(submission),
    key,
  )
  return row ?? null
}

function recalled(known: Remembered, fingerprint: string): SubmitAnswer {
  const { collection_id: collectionId } = known
  if (known.fingerprint === fingerprint) return { type: 'existing', collectionId }
  return { type: 'conflict', reason: 'idempotency', collectionId }
}

export function recall(change: Change, submission: Submission): SubmitAnswer | null {
  const known = remembering(change, submission)
  return known && recalled(known, submission.idempotency!.fingerprint)
}

export function remember(change: Change, submission: Submission, collectionId: string): void {
  const { key, fingerprint } = submission.idempotency as NonNullable<Submission['idempotency']>
  change.db.run(
    'insert into celeriac_idempotency (scope, key, fingerprint, collection_id, expires_at) values (?, ?, ?, ?, ?)',
    scopeOf(submission),
    key,
    fingerprint,
    collectionId,
    change.now + idempotencyMemory,
  )
}

/** What a submission with a unique key meets; null when the key is free (now). */
export function meetHolder(change: Change, submission: Submission): SubmitAnswer | null {
  const { key } = submission.unique as NonNullable<Submission['unique']>
  const holder = holderOf(change, key)
  if (holder === null) return null
  const answer = answerOfHolder(holderAt(change, holder), submission)
  if (answer !== null) return answer
  cancelCollection(change, header(change, holder.number))
  change.db.run('delete from celeriac_unique where key = ?', key)
  return null
}

/** Who holds a unique key. */
interface Holder {
  readonly id: string
  readonly callback: Callback | null
}

/** null: the holder is to be replaced. */
function answerOfHolder(
  { id, callback }: Holder,
  { graph, unique, callback: wanted }: Submission,
): SubmitAnswer | null {
  if (id === graph.id) return { type: 'existing', collectionId: id }
  if (unique?.onConflict === 'reject') return { type: 'conflict', reason: 'unique', collectionId: id }
  if (unique?.onConflict === 'replace') return null
  const isCalled = wanted === null || (wanted.url === callback?.url && wanted.results === callback.results)
  if (isCalled) return { type: 'existing', collectionId: id }
  return { type: 'conflict', reason: 'callback', collectionId: id }
}

function holderNow(change: Change, key: string): Holder | null {
  const holder = holderOf(change, key)
  return holder === null ? null : holderAt(change, holder)
}

/** One that holds a key until a time may have been removed: then it calls nobody back. */
function holderAt(change: Change, { number, collectionId }: KeyHolder): Holder {
  const row = change.db.get<CallbackColumns>(
    'select callback_url, callback_results from celeriac_collections where number = ?',
    number,
  )
  return { id: collectionId, callback: row === undefined ? null : callbackOf(row) }
}

interface KeyHolder {
  readonly number: number
  readonly collectionId: string
}

/** The collection that holds a unique key. One that holds it until a time may have been removed. */
export function holderOf(change: Change, key: string): KeyHolder | null {
  const row = change.db.get<KeyHolder & { expires_at: number | null }>(
    'select collection as number, collection_id as collectionId, expires_at from celeriac_unique where key = ?',
    key,
  )
  if (row === undefined) return null
  if (row.expires_at === null || row.expires_at > change.now) return row
  change.db.run('delete from celeriac_unique where key = ?', key)
  return null
}

export function holdUnique(
  change: Change,
  { key, until }: NonNullable<Submission['unique']>,
  collection: number,
  collectionId: string,
): void {
  const values: Value[] = [
    key,
    collection,
    collectionId,
    typeof until === 'number' ? 'time' : until,
    typeof until === 'number' ? change.now + until : null,
  ]
  change.db.run(
    'insert into celeriac_unique (key, collection, collection_id, until, expires_at) values (?, ?, ?, ?, ?)',
    ...values,
  )
  change.hasUniqueKeys = true
}
