import type { Graph } from '../../core/graph.ts'
import type { JobRef } from '../../core/job.ts'
import type { SubmitAnswer, Submission } from '../../engine/intake.ts'
import { rowsPerCall } from '../../engine/limits.ts'
import { comesInParts, partAt } from '../../engine/parts.ts'
import { CeleriacError } from '../../core/errors.ts'
import { abortedCall, callsOf, hasKey } from '../../engine/calls.ts'
import { uploadMemory } from '../../engine/retention.ts'
import { decideBarrier } from './cascade.ts'
import { type Change, header, takeNumbers } from './change.ts'
import type { Ref } from './claim.ts'
import {
  decideEmpty,
  insertAlone,
  insertBarriers,
  insertGraph,
  insertJobs,
  type Label,
  type Placement,
} from './insert.ts'
import { holdUnique, isStored, meetHolder, recall, refusedOf, remember } from './keys.ts'

export function submit(change: Change, submissions: readonly Submission[], calls?: readonly number[]): SubmitAnswer[] {
  let next = takeNumbers(
    change,
    submissions.reduce((sum, { graph }) => sum + numbersOf(graph), 0),
  )
  return callsOf(submissions, calls).flatMap((call) => {
    const refused = call.mayAbort ? refusedOf(change, call.submissions) : null
    if (refused !== null) return abortedCall(call.submissions.length, refused.at, refused.answer)
    return call.submissions.map((submission) => {
      const number = next
      next += numbersOf(submission.graph)
      return submitOne(change, submission, number)
    })
  })
}

/** A collection takes a number of its own, its jobs and barriers the next ones; a job alone just one. */
const numbersOf = (graph: Graph): number =>
  graph.exit === null || isLarge(graph) ? 1 : 1 + graph.jobs.length + graph.barriers.length
export const isLarge = (graph: Graph): boolean => comesInParts(graph, rowsPerCall)

function submitOne(change: Change, submission: Submission, number: number): SubmitAnswer {
  const { graph } = submission
  if (hasKey(submission) && isStored(change, graph)) return { type: 'existing', collectionId: graph.id }
  const remembered = submission.idempotency === null ? null : recall(change, submission)
  if (remembered !== null) return remembered
  const held = submission.unique === null ? null : meetHolder(change, submission)
  if (held?.type === 'existing' && submission.idempotency !== null) remember(change, submission, held.collectionId)
  if (held !== null) return held
  const stored =
    graph.exit === null ? storeAlone(change, submission, number) : storeCollection(change, submission, number)
  if (stored === null) return { type: 'existing', collectionId: graph.id }
  if (submission.idempotency !== null) remember(change, submission, graph.id)
  if (submission.unique !== null) holdUnique(change, submission.unique, stored, graph.id)
  return { type: 'created', at: change.now }
}

const tagsText = (tags: readonly string[]): string | null => (tags.length === 0 ? null : JSON.stringify(tags))

function labelOf({ actor, description, retention, unique, graph, tags }: Submission): Label {
  const own = graph.exit === null ? graph.jobs[0]?.options.tags : undefined
  return {
    actor: actor?.id ?? null,
    description,
    tags: tagsText(own === undefined || own === tags ? tags : [...new Set([...tags, ...own])]),
    retention,
    uniqueClaim: unique === null ? null : JSON.stringify(unique),
  }
}

function storeAlone(change: Change, submission: Submission, number: number): number | null {
  const job = submission.graph.jobs[0]
  if (job === undefined)
    throw new CeleriacError('BAD_ARGUMENT', 'A graph without an exit is one job: this one has none.')
  return insertAlone(change, job, number, labelOf(submission)) ? number : null
}

function storeCollection(change: Change, submission: Submission, number: number): number | null {
  const { graph } = submission
  if (change.db.get('select 1 from celeriac_collections where id = ?', graph.id) !== undefined) return null
  if (isLarge(graph)) return seal(change, submission)
  const firstJob = number + 1
  const place: Placement = {
    collection: number,
    firstJob,
    firstBarrier: firstJob + graph.jobs.length,
    start: null,
    round: 1,
    parent: null,
    depth: 0,
    scope: null,
  }
  insertHeader(change, submission, number, place.firstBarrier + (graph.exit as number))
  insertGraph(change, graph, place)
  return number
}

function insertHeader(change: Change, submission: Submission, number: number, exit: number): void {
  const label = labelOf(submission)
  change.db.run(
    `insert into celeriac_collections (number, id, state, exit, shape, created_at, description, actor, tags, callback_url, callback_results, retention, unique_claim)
     values (?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    number,
    submission.graph.id,
    exit,
    submission.graph.shape,
    change.now,
    label.description,
    label.actor,
    label.tags,
    submission.callback?.url ?? null,
    submission.callback?.results ?? null,
    label.retention,
    label.uniqueClaim,
  )
}

// ── large graphs ─────────────────────────────────────────────────────────────────────────────────────────────────

interface Upload {
  readonly id: string
  readonly collection: number
  readonly first: number
  readonly last: number
}
const findUpload = (change: Change, id: string): Upload | undefined =>
  change.db.get<Upload>('select id, collection, first, last from celeriac_uploads where id = ?', id)

/** Numbers of an upload: collection (or none), start barrier, jobs, barriers. */
function placeUpload(change: Change, graph: Graph, upload: Upload, parent: Ref | null): Placement {
  const about = parent === null ? null : header(change, parent.collection)
  return {
    collection: upload.collection,
    start: upload.first,
    firstJob: upload.first + 1,
    firstBarrier: upload.first + 1 + graph.jobs.length,
    round: about?.round ?? 1,
    parent: parent?.seq ?? null,
    depth: parent === null ? 0 : parent.depth + 1,
    scope: parent?.scope ?? null,
  }
}

export function upload(
  change: Change,
  graph: Graph,
  part: number,
  within: { ref: JobRef; token: number } | null,
): void {
  const parent = within === null ? null : (within.ref as Ref)
  const found = findUpload(change, graph.id) ?? (part === 0 ? beginUpload(change, graph, parent) : undefined)
  if (found === undefined)
    throw new CeleriacError('NOT_FOUND', 'The first parts of this upload are gone: send it again from part 0.')
  const place = placeUpload(change, graph, found, parent)
  const { from, to } = partAt(graph, rowsPerCall, part)
  insertBarriers(change, graph, place, from, Math.min(to, graph.barriers.length))
  insertJobs(change, graph, place, from, Math.min(to, graph.jobs.length))
  change.db.run('update celeriac_uploads set touched_at = ? where id = ?', change.now, graph.id)
}

function beginUpload(change: Change, graph: Graph, parent: Ref | null): Upload {
  const count = 1 + graph.jobs.length + graph.barriers.length
  const number = takeNumbers(change, parent === null ? count + 1 : count)
  const first = parent === null ? number + 1 : number
  const found: Upload = { id: graph.id, collection: parent?.collection ?? number, first, last: first + count - 1 }
  change.db.run(
    'insert into celeriac_uploads (id, collection, first, last, created_at, touched_at) values (?, ?, ?, ?, ?, ?)',
    found.id,
    found.collection,
    found.first,
    found.last,
    change.now,
    change.now,
  )
  change.db.run(
    'insert into celeriac_barriers (number, collection, inputs, pending) values (?, ?, 0, 0)',
    first,
    found.collection,
  )
  return found
}

function seal(change: Change, submission: Submission): number {
  const { graph } = submission
  const found = findUpload(change, graph.id)
  if (found === undefined)
    throw new CeleriacError(
      'NOT_FOUND',
      'A large graph is uploaded in parts before it is submitted: this one was not, or too long ago.',
    )
  const place = placeUpload(change, graph, found, null)
  insertHeader(change, submission, found.collection, place.firstBarrier + (graph.exit as number))
  sealRows(change, graph, place)
  return found.collection
}

/** Makes an uploaded graph part of the collection: from here on it is seen, and runs. */
export function sealContinuation(change: Change, graph: Graph, parent: Ref): number {
  const found = findUpload(change, graph.id)
  if (found === undefined)
    throw new CeleriacError('NOT_FOUND', 'The upload of this continuation is gone: send it again.')
  const place = placeUpload(change, graph, found, parent)
  sealRows(change, graph, place)
  return place.firstBarrier + (graph.exit as number)
}

function sealRows(change: Change, graph: Graph, place: Placement): void {
  change.db.run('delete from celeriac_uploads where id = ?', graph.id)
  decideBarrier(change, place.start as number)
  decideEmpty(change, graph, place)
}

/** Removes uploads that nobody goes on with, some rows at a time. True where there may be more. */
export function abandonUploads(change: Change): boolean {
  const found = change.db.get<Upload>(
    'select id, collection, first, last from celeriac_uploads where touched_at < ? limit 1',
    change.now - uploadMemory,
  )
  if (found === undefined) return false
  const jobs = change.db.run(
    'delete from celeriac_jobs where seq in (select seq from celeriac_jobs where seq between ? and ? limit ?)',
    found.first,
    found.last,
    rowsPerCall,
  )
  const barriers = change.db.run(
    'delete from celeriac_barriers where number in (select number from celeriac_barriers where number between ? and ? limit ?)',
    found.first,
    found.last,
    rowsPerCall,
  )
  change.left -= jobs + barriers
  if (jobs + barriers === 0) change.db.run('delete from celeriac_uploads where id = ?', found.id)
  return true
}

/**
 * A number of no graph that is still being uploaded. No two overlap, so only the last that begins before it need be looked at: there
 * may be hundreds that somebody gave up, and every list asks this of every job.
 */
export const isSealed = (number: string): string =>
  `coalesce((select u.last < ${number} from celeriac_uploads u where u.first <= ${number} order by u.first desc limit 1), 1)`
/** Rows that belong to an unfinished upload are not to be seen. */
export const isVisible = isSealed('j.seq')
