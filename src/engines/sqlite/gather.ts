import type { JobCounts, SettledState } from '../../core/collection.ts'
import type { StoredResult } from '../../core/job.ts'
import { decided, reason, state } from '../../engine/codes.ts'
import { failureIn, type FoundFailure, reportOf, type StoredEnd } from '../../engine/failures.ts'
import { inlineLimit, shortResult } from '../../engine/limits.ts'
import { type Counted, tallyOf } from '../../engine/records.ts'
import type { JobInput, ReportRecord } from '../../engine/work.ts'
import { type Change, header } from './change.ts'
import type { Database } from './database.ts'

const pageRows = 1_000

// ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────

interface Leaf {
  readonly seq: number
  readonly result: string | null
  readonly continuation: number | null
  readonly shape: string | null
}

/** The jobs at a barrier, in order, whichever of the barriers nested in it they feed. */
function leavesOf(db: Database, barrier: number, after: number, limit: number): Leaf[] {
  const isNested = db.get('select 1 from celeriac_barriers where feeds = ? limit 1', barrier) !== undefined
  return db.all<Leaf>(isNested ? nestedLeaves : leaves, barrier, after, limit)
}
const leaves = `select seq, result, continuation, shape from celeriac_jobs
  where feeds = ?1 and archived is null and seq > ?2 order by seq limit ?3 + 0`
const nestedLeaves = `with recursive inner_barriers (number) as (
    select ?1 union all select b.number from celeriac_barriers b join inner_barriers i on b.feeds = i.number)
  select j.seq, j.result, j.continuation, j.shape from celeriac_jobs j
  where j.feeds in (select number from inner_barriers) and j.archived is null and j.seq > ?2 order by j.seq limit ?3 + 0`

interface Budget {
  left: number
}

/** The results at a barrier, nested ones included; null where they are larger than the budget. */
export function resultsAt(db: Database, barrier: number, budget: Budget): StoredResult[] | null {
  const rows = leavesOf(db, barrier, -1, -1)
  const results: StoredResult[] = []
  for (const row of rows) {
    const result = resultOf(db, row, budget)
    budget.left -= 'json' in result ? (result.json?.length ?? 4) : 0
    if (budget.left < 0) return null
    results.push(result)
  }
  return results
}

/** A job's result; that of a job which continued as a canvas is found at the end of that one. */
export function resultOf(
  db: Database,
  row: Pick<Leaf, 'result' | 'continuation' | 'shape'>,
  budget: Budget,
): StoredResult {
  if (row.continuation === null) return { json: row.result }
  const results = budget.left < 0 ? null : resultsAt(db, row.continuation, budget)
  return { shape: row.shape ?? '0', barrier: row.continuation, results }
}

/** A page of the results at a barrier. Nested ones are left out where they are large: they have a barrier of their own. */
export function resultsPage(
  db: Database,
  barrier: number,
  after: string | null,
): { results: StoredResult[]; next: string | null } {
  const rows = leavesOf(db, barrier, after === null ? -1 : Number(after), pageRows)
  const results: StoredResult[] = []
  let left = inlineLimit
  for (const row of rows) {
    const size = row.result?.length ?? 4
    if (results.length > 0 && size > left) break
    left -= size
    results.push(
      row.continuation === null
        ? { json: row.result }
        : { shape: row.shape ?? '0', barrier: row.continuation, results: null },
    )
  }
  const last = rows[results.length - 1]
  const isAll = results.length === rows.length && rows.length < pageRows
  return { results, next: isAll || last === undefined ? null : String(last.seq) }
}

/** Loads what was left out, however large. */
export function loadResult(db: Database, result: StoredResult): StoredResult {
  if ('json' in result) return result
  const results = (result.results ?? resultsAt(db, result.barrier as number, { left: Infinity })) as StoredResult[]
  return { ...result, results: results.map((each) => loadResult(db, each)) }
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
  const room = Math.min(inlineLimit, change.inputsLeft)
  const budget = { left: room }
  const results = resultsAt(change.db, barrier, budget)
  if (results !== null) change.inputsLeft -= room - budget.left
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
