import type { JobCounts, SettledState } from '../../core/collection.ts'
import type { StoredResult } from '../../core/job.ts'
import { decided, reason, state } from '../../engine/codes.ts'
import { failureIn, type FoundFailure, reportOf, type StoredEnd } from '../../engine/failures.ts'
import { inlineLimit, jobsPerPage, resultsPerPage, shortResult } from '../../engine/limits.ts'
import { type Counted, tallyOf } from '../../engine/records.ts'
import type { ResultsPage } from '../../engine/results.ts'
import type { JobInput, ReportRecord } from '../../engine/work.ts'
import { type Change, header } from './change.ts'
import type { Database } from './database.ts'

// ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────

interface Leaf {
  readonly seq: number
  /** Of its result, in bytes. */
  readonly size: number | null
  readonly continuation: number | null
  readonly shape: string | null
}
interface LeafPage {
  readonly leaves: readonly Leaf[]
  /** Behind which job to go on; null where there are no more. */
  readonly next: number | null
}
// Results may be long, and are read once it is known that they fit.
const leafColumns = 'seq, octet_length(result) as size, continuation, shape'

/** The next jobs at a barrier, in order, whichever of the barriers nested in it they feed. */
function leafPage(db: Database, barrier: number, after: number): LeafPage {
  const isNested = db.get('select 1 from celeriac_barriers where feeds = ? limit 1', barrier) !== undefined
  if (isNested) return nestedPage(db, barrier, after)
  const leaves = db.all<Leaf>(
    `select ${leafColumns} from celeriac_jobs where feeds = ? and archived is null and seq > ? order by seq limit ? + 0`,
    barrier,
    after,
    resultsPerPage,
  )
  return { leaves, next: leaves.length < resultsPerPage ? null : (leaves.at(-1)?.seq ?? null) }
}

/** They are found among the jobs of their graph, whose numbers come before those of its barriers. */
function nestedPage(db: Database, barrier: number, after: number): LeafPage {
  const graph = graphOf(db, barrier)
  if (graph === undefined) return { leaves: [], next: null }
  const { sql, whose } = graph
  const page = db.get<{ last: number | null; count: number }>(
    `select max(seq) as last, count(*) as count from (${sql} limit ? + 0)`,
    whose,
    after,
    barrier,
    jobsPerPage,
  )
  if (page === undefined || page.last === null) return { leaves: [], next: null }
  const leaves = db.all<Leaf>(
    `with recursive page as materialized (${sql} limit ?4 + 0),
       climb (start, number) as (
         select distinct feeds, feeds from page where feeds is not null
         union select c.start, b.feeds from climb c join celeriac_barriers b on b.number = c.number where c.number <> ?3 and b.feeds is not null)
     select ${leafColumns} from celeriac_jobs
     where seq in (select seq from page where feeds in (select start from climb where number = ?3)) and archived is null order by seq`,
    whose,
    after,
    barrier,
    jobsPerPage,
  )
  return { leaves, next: page.count < jobsPerPage ? null : page.last }
}

/** What selects the jobs of the graph that a barrier belongs to, from one job it comes from: those of what a job continued as, or of the rest. */
function graphOf(db: Database, barrier: number): { readonly sql: string; readonly whose: number } | undefined {
  for (let at: number | undefined = barrier; at !== undefined;) {
    const job = db.get<{ collection: number; parent: number | null }>(
      'select collection, parent from celeriac_jobs where feeds = ? limit 1',
      at,
    )
    if (job !== undefined)
      return job.parent === null ? { sql: jobsOutside, whose: job.collection } : { sql: jobsInside, whose: job.parent }
    at = db.get<{ number: number }>(
      'select number from celeriac_barriers where feeds = ? and inputs > 0 limit 1',
      at,
    )?.number
  }
  return undefined
}
const jobsInside = 'select seq, feeds from celeriac_jobs where parent = ?1 and seq > ?2 and seq < ?3 order by seq'
const jobsOutside = `select seq, feeds from celeriac_jobs
  where collection = ?1 and collection <> seq and parent is null and seq > ?2 and seq < ?3 order by seq`

/** How much may come along: characters, and results, those of continuations included. */
export interface Budget {
  left: number
  rows: number
}
export const wholeBudget = (): Budget => ({ left: inlineLimit, rows: resultsPerPage + 1 })

/** The results at a barrier, nested ones included; null where they are more than the budget. */
export function resultsAt(db: Database, barrier: number, budget: Budget): StoredResult[] | null {
  const { leaves, next } = leafPage(db, barrier, -1)
  budget.rows -= leaves.length + 1
  if (next !== null || budget.rows < 0) return null
  for (const { size, continuation } of leaves) budget.left -= continuation === null ? (size ?? 4) : 0
  if (budget.left < 0) return null
  const texts = textsOf(db, leaves)
  const results: StoredResult[] = []
  for (const leaf of leaves) {
    results.push(resultOf(db, { ...leaf, result: texts.get(leaf.seq) ?? null }, budget))
    if (budget.left < 0) return null
  }
  return results
}

function textsOf(db: Database, leaves: readonly Leaf[]): ReadonlyMap<number, string> {
  const wanted = leaves.filter(({ size }) => size !== null).map(({ seq }) => seq)
  return new Map(
    db.lists<readonly [seq: number, result: string]>(
      'select seq, result from celeriac_jobs where seq in (select value from json_each(?))',
      `[${wanted.join(',')}]`,
    ),
  )
}

/** A job's result; that of a job which continued as a canvas is found at the end of that one. */
export function resultOf(
  db: Database,
  row: Pick<Leaf, 'continuation' | 'shape'> & { readonly result: string | null },
  budget: Budget,
): StoredResult {
  if (row.continuation === null) return { json: row.result }
  const results = budget.left < 0 || budget.rows < 0 ? null : resultsAt(db, row.continuation, budget)
  return { shape: row.shape ?? '0', barrier: row.continuation, results }
}

/** A page of the results at a barrier. Nested ones are left out: they have a barrier of their own. */
export function resultsPage(db: Database, barrier: number, after: string | null): ResultsPage {
  const page = leafPage(db, barrier, after === null ? -1 : Number(after))
  let left = inlineLimit
  const beyond = page.leaves.findIndex(({ size }, at) => (left -= size ?? 4) < 0 && at > 0)
  const leaves = beyond < 0 ? page.leaves : page.leaves.slice(0, beyond)
  const texts = textsOf(db, leaves)
  const results = leaves.map(({ seq, continuation, shape }): StoredResult =>
    continuation === null
      ? { json: texts.get(seq) ?? null }
      : { shape: shape ?? '0', barrier: continuation, results: null },
  )
  const next = beyond < 0 ? page.next : (leaves.at(-1)?.seq ?? null)
  return { results, next: next === null ? null : String(next) }
}

// ── inputs ───────────────────────────────────────────────────────────────────────────────────────────────────────

interface Consumer {
  readonly seq: number
  readonly collection: number
  readonly input: string | null
  readonly behind: number | null
}
const nothing: JobInput = { from: 'nothing' }

/** What is put before a job's own arguments. */
export function readInput(change: Change, job: Consumer): JobInput {
  if (job.input === null) return nothing
  const detail = job.input.slice(1)
  if (job.input.startsWith('r')) return readResults(change, job.behind, detail)
  const cause = causeAt(change.db, job.behind)
  if (job.input.startsWith('f')) return { from: 'failure', report: report(change, cause) }
  return readSummary(change, job, detail, cause)
}

function readResults(change: Change, barrier: number | null, shape: string): JobInput {
  if (barrier === null) return { from: 'results', shape, barrier, results: [] }
  const results = change.inputs.get(barrier) ?? resultsInRoom(change, barrier)
  return { from: 'results', shape, barrier, results }
}

/** The results at a barrier, if they fit into what is left for this claim; else null. */
function resultsInRoom(change: Change, barrier: number): StoredResult[] | null {
  const room = {
    left: Math.min(inlineLimit, change.inputsLeft),
    rows: Math.min(resultsPerPage + 1, change.resultsLeft),
  }
  const budget = { ...room }
  const results = resultsAt(change.db, barrier, budget)
  if (results === null) return null
  change.inputsLeft -= room.left - budget.left
  change.resultsLeft -= room.rows - budget.rows
  return results
}

/** Reads the inputs of many jobs at once, as far as each is one short result: those of the links of chains. */
export function readShortInputs(change: Change, barriers: readonly number[]): void {
  if (barriers.length < 2) return
  const rows = change.db.lists<readonly [barrier: number, result: string | null]>(
    `select b.number, j.result from celeriac_barriers b join celeriac_jobs j on j.feeds = b.number
     where b.number in (select value from json_each(?)) and b.inputs = 1 and j.continuation is null and j.archived is null
       and coalesce(length(j.result), 0) <= ?`,
    `[${barriers.join(',')}]`,
    shortResult,
  )
  for (const [barrier, json] of rows) change.inputs.set(barrier, [{ json }])
}

function causeAt(db: Database, barrier: number | null): number | null {
  if (barrier === null) return null
  return (
    db.get<{ cause: number | null }>('select cause from celeriac_barriers where number = ?', barrier)?.cause ?? null
  )
}

function readSummary(change: Change, job: Consumer, span: string, cause: number | null): JobInput {
  const [first, last] = span.split(',').map(Number) as [number, number]
  const own = change.db.get<{ role: number }>('select role from celeriac_jobs where seq = ?', job.seq)
  const isMain =
    own === undefined ||
    change.db.get('select 1 from celeriac_jobs where seq between ? and ? and role = 0 limit 1', first, last) !==
      undefined
  const { counts } = tallyOf(
    isMain
      ? countJobs(change.db, 'seq between ? and ? and role = 0', first, last)
      : countJobs(change.db, 'seq between ? and ? and seq <> ?', first, last, job.seq),
  )
  const barrier =
    job.behind === null
      ? undefined
      : change.db.get<{ decided: number }>('select decided from celeriac_barriers where number = ?', job.behind)
  const failure = cause === null ? null : failureOf(change.db, cause)
  return {
    from: 'summary',
    state: summaryState(change, job, counts, barrier?.decided),
    counts,
    failure: failure?.failure ?? null,
  }
}

function summaryState(change: Change, job: Consumer, counts: JobCounts, decision: number | undefined): SettledState {
  if (decision === undefined || decision === decided.success) return 'succeeded'
  if (header(change, job.collection).cancelledAt !== null) return 'cancelled'
  return counts.failed > 0 ? 'failed' : 'cancelled'
}

/** Counts the jobs that a condition picks. */
export const countJobs = (db: Database, where: string, ...values: (string | number)[]): Counted[] =>
  db.lists<Counted>(
    `select state, role, count(*) from celeriac_jobs where ${where} and archived is null
       and (state <> ${state.skipped} or reason <> ${reason.notNeeded}) group by state, role`,
    ...values,
  )

// ── failures ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** The failure of a job that failed or was cancelled. */
export function failureOf(db: Database, seq: number): FoundFailure | null {
  const row = db.get<StoredEnd>(
    'select id, task, state, reason, failure, attempt, finished_at as finishedAt from celeriac_jobs where seq = ?',
    seq,
  )
  return row === undefined ? null : failureIn(row)
}

function report(change: Change, cause: number | null): ReportRecord {
  const found = cause === null ? null : failureOf(change.db, cause)
  return reportOf(found, cause === null ? '' : collectionIdOf(change, cause), change.now)
}

function collectionIdOf(change: Change, seq: number): string {
  const row = change.db.get<{ collection: number }>('select collection from celeriac_jobs where seq = ?', seq)
  return row === undefined ? '' : header(change, row.collection).id
}
