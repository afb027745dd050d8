import type { JobCounts } from '../../core/collection.ts'
import { jobStates } from '../../core/job.ts'
import { inlineLimit, inputsPerClaim, resultsPerClaim, resultsPerPage } from '../../engine/limits.ts'
import type { JobInput, ReportRecord } from '../../engine/work.ts'
import { changes } from './change.ts'
import { decided, reason, state } from '../../engine/codes.ts'
import { failureIn, type FoundFailure, reportOf } from '../../engine/failures.ts'
import { readStored } from '../../engine/stored.ts'
import { gathering, resultIn, type ResultReply } from './gather.ts'
import { type JobRow, readJob, readStanding } from './rows.ts'
import { library, reading, type Runs } from './scripts.ts'

/**
 * What is put before the arguments of claimed jobs, and what they share.
 *
 * ```
 * readShared(taken)           reads together what most of them need
 * inputOf(job)                0: nothing; the barrier whose results it gets (−1: none); a failure; a summary
 * countStates(numbers)        how many of these jobs are in each state
 * inputs, collections         results by barrier (0: too large to come along), and rows of collections, of those told of so far
 * ```
 */
export const claimInputs = library(
  `
S.inputs, S.collections = {}, {}
local room = {left = ${inputsPerClaim}, rows = ${resultsPerClaim}}
local function budgetOfOne()
  return {left = math.min(${inlineLimit}, room.left), rows = math.min(${resultsPerPage} + 1, room.rows)}
end
local function spend(budget, before, rows)
  room.left, room.rows = room.left - (before - budget.left), room.rows - (rows - budget.rows)
end
local function results(barrier)
  if S.inputs[barrier] ~= nil then return end
  local budget = budgetOfOne()
  local before, rows = budget.left, budget.rows
  local found = S.resultsAt(barrier, budget)
  if found then spend(budget, before, rows) end
  S.inputs[barrier] = found or 0
end
local function collectionsOf(numbers)
  local wanted, names = {}, {}
  for _, number in ipairs(numbers) do
    if not S.collections[number] then
      S.collections[number] = ''
      wanted[#wanted + 1] = number
      names[#names + 1] = P .. 'c:' .. S.digits[number]
    end
  end
  for at, row in ipairs(many('MGET', nil, names)) do
    -- A job alone that continued is the collection of what it continued as.
    S.collections[wanted[at]] = row or call('GET', P .. 'j:' .. wanted[at]) or ''
  end
end
local function failureAt(cause)
  local job = cause and S.jobAt(cause)
  if not job then return 0 end
  collectionsOf({job.collection})
  return {cause, job.row, call('GET', P .. 's:' .. cause) or '', call('GET', P .. 'f:' .. cause) or ''}
end
function S.countStates(numbers)
  local counts = {0, 0, 0, 0, 0, 0, 0, 0}
  S.loadRaw(numbers)
  for _, seq in ipairs(numbers) do
    local row = S.rawStandings[seq]
    local job
    if not row then
      job = S.jobAt(seq)
    else
      job = {state = tonumber(string.sub(row, 1, 1))}
      local _, to = string.find(row, '^[%d,]*')
      if string.byte(row, to + 1) == 59 then S.readSeldom(job, row, to + 1) end
    end
    if job and not job.archived and not (job.state == ${state.skipped} and job.reason == ${reason.notNeeded}) then
      counts[job.state + 1] = counts[job.state + 1] + 1
    end
  end
  return counts
end
-- 0 where there are too many for this script.
local function countsOf(runs, base)
  local most, numbers = math.min(${resultsPerPage}, room.rows), {}
  S.eachOf(runs, base, -1, function(seq)
    numbers[#numbers + 1] = seq
    return #numbers > most
  end)
  if #numbers > most then return 0 end
  room.rows = room.rows - #numbers
  return S.countStates(numbers)
end
-- Its result as a list of one, or the barrier where it is too large to come along.
local function resultOfOne(job)
  local leaf = job.base + string.match(job.input, '^o(%d+)')
  local budget = budgetOfOne()
  local before, rows = budget.left, budget.rows
  local result = S.resultIn(leaf, budget)
  if budget.left < 0 then
    S.inputs[job.behind] = 0
    return job.behind
  end
  spend(budget, before, rows)
  return {result}
end
function S.inputOf(job)
  local kind = string.sub(job.input, 1, 1)
  if kind == '' then return 0 end
  if kind == 'o' then return resultOfOne(job) end
  if kind == 'r' and job.behind and S.inputs[job.behind] then return job.behind end
  local barrier = job.behind and S.barrierAt(job.behind)
  if kind == 'r' then
    if barrier then results(barrier.number) end
    return barrier and barrier.number or -1
  end
  if kind == 'f' then return failureAt(barrier and barrier.cause) end
  local header = S.headerAt(job.collection)
  return {countsOf(string.sub(job.input, 2), job.base), barrier and barrier.decided or ${decided.success}, header.cancelledAt and 1 or 0,
    failureAt(barrier and barrier.cause)}
end
function S.readShared(taken)
  local ones, collections = {}, {}
  for _, job in ipairs(taken) do
    local one = job.input and job.input ~= '' and string.match(job.input, '^o(%d+)')
    if one then ones[#ones + 1] = job.base + one end
    if job.collection and job.collection ~= job.seq and job.collection ~= collections[#collections] then collections[#collections + 1] = job.collection end
  end
  S.loadRaw(ones)
  collectionsOf(collections)
end
`,
  changes,
  gathering,
)

type FailureReply = readonly [cause: number, row: string, standing: string, failure: string] | 0
type SummaryReply = readonly [
  counts: readonly number[] | 0,
  decided: number,
  isCancelled: number,
  failure: FailureReply,
]
type OneReply = readonly [result: ResultReply]
/** What is told of an input. */
export type InputReply = number | OneReply | FailureReply | SummaryReply

/** What the jobs of a claim share. */
export interface Shared {
  readonly inputs: ReadonlyMap<number, readonly ResultReply[] | 0>
  readonly collections: ReadonlyMap<number, About>
}
export interface About {
  readonly id: string
  readonly actor: string | null
}

export const nothing: JobInput = { from: 'nothing' }

/** Of a job behind one success whose result is at hand. */
export const inputBehind = ({ input, behind }: JobRow, result: string | null): JobInput =>
  input === '' ? nothing : { from: 'results', shape: input.slice(1), barrier: behind, results: [{ json: result }] }

/** Later where it is a summary of more jobs than one script goes through. */
export function inputIn(
  runs: Runs,
  job: JobRow,
  input: InputReply,
  shared: Shared,
  now: number,
): JobInput | Promise<JobInput> {
  if (job.input === '') return nothing
  const detail = job.input.slice(1)
  if (job.input.startsWith('r')) {
    if (input === -1) return { from: 'results', shape: detail, barrier: null, results: [] }
    if (typeof input !== 'number')
      return { from: 'results', shape: detail, barrier: job.behind, results: [resultIn((input as OneReply)[0])] }
    const results = shared.inputs.get(input)
    const known = results === undefined || results === 0 ? null : results.map(resultIn)
    return { from: 'results', shape: detail, barrier: input, results: known }
  }
  if (job.input.startsWith('f')) return { from: 'failure', report: reportIn(input as FailureReply, shared, now) }
  const reply = input as SummaryReply
  if (reply[0] !== 0) return summaryIn(reply, reply[0])
  return countPages(runs, job).then((counted) => summaryIn(reply, counted))
}

const countScript = reading(
  'summary',
  `
local runs, base, after = arg(), number(), number()
local numbers = {}
S.eachOf(runs, base, after, function(seq)
  numbers[#numbers + 1] = seq
  return #numbers == ${resultsPerPage}
end)
return {S.countStates(numbers), #numbers == ${resultsPerPage} and numbers[#numbers] or -1}
`,
  claimInputs,
)

async function countPages(runs: Runs, job: JobRow): Promise<readonly number[]> {
  const counted = jobStates.map(() => 0)
  for (let after = -1; ;) {
    const args = [job.input.slice(1), job.base, after]
    const [counts, last] = await runs.read<readonly [counts: number[], last: number]>(countScript, args)
    counts.forEach((count, code) => (counted[code] = (counted[code] ?? 0) + count))
    if (last < 0) return counted
    after = last
  }
}

function foundIn(reply: FailureReply): (FoundFailure & { readonly collection: number }) | null {
  if (reply === 0) return null
  const [cause, row, standing, failure] = reply
  const job = readJob(cause, row)
  return {
    ...failureIn({ ...job, ...readStanding(job, standing || null), failure: failure || null }),
    collection: job.collection,
  }
}

function reportIn(reply: FailureReply, { collections }: Shared, now: number): ReportRecord {
  const found = foundIn(reply)
  return reportOf(found, collections.get(found?.collection ?? 0)?.id ?? '', now)
}

function summaryIn([, decision, isCancelled, failure]: SummaryReply, counted: readonly number[]): JobInput {
  const counts = Object.fromEntries(jobStates.map((name, at) => [name, counted[at] as number])) as unknown as JobCounts
  const lost = isCancelled === 1 || counts.failed === 0 ? 'cancelled' : 'failed'
  const hasSucceeded = decision === decided.success
  return {
    from: 'summary',
    state: hasSucceeded ? 'succeeded' : lost,
    counts,
    failure: foundIn(failure)?.failure ?? null,
  }
}

/** Of a collection's row, or that of the job alone that is its own. */
export function aboutIn(number: number, row: string): About {
  const lines = row.split('\n')
  if (lines.length > 5) {
    const job = readJob(number, row)
    return { id: job.id, actor: job.label.actor }
  }
  const { actor } = readStored<{ actor?: string | null }>(lines[4], {})
  return { id: lines[2] ?? '', actor: actor ?? null }
}
