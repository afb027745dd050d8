import type { StoredResult } from '../../core/job.ts'
import { inlineLimit } from '../../engine/limits.ts'
import { library, reading, type Runs } from './scripts.ts'
import { workingSet } from './working-set.ts'

const pageRows = 1_000

/**
 * ```
 * leavesOf(barrier)           the numbers of the jobs at a barrier, in order, whichever of the barriers nested in it they feed
 * resultsAt(barrier, budget)  their results, nil where they have more characters in all than budget.left. A result is its text (empty:
 *                             there is none), or of a job that continued { shape, barrier, results or 0 where they are left out }
 * resultOf(seq, budget)       that of one job; resultIn, where its row has been read by loadRaw
 * ```
 * They read how jobs stand from the store: what a script changed is flushed before.
 */
export const gathering = library(
  `
S.rawStandings = {}
function S.loadRaw(list)
  local wanted, found = {}, {}
  for _, seq in ipairs(list) do
    if S.rawStandings[seq] == nil then
      wanted[#wanted + 1] = seq
      found[#found + 1] = P .. 's:' .. seq
    end
  end
  if #wanted == 0 then return end
  found = many('MGET', nil, found)
  for at, seq in ipairs(wanted) do S.rawStandings[seq] = found[at] end
end
local function addLeaves(barrier, leaves)
  local _, jobRuns, barrierRuns = S.runsOf(barrier)
  S.eachOf(jobRuns, barrier.base, -1, function(seq) leaves[#leaves + 1] = seq end)
  S.eachOf(barrierRuns, barrier.base, -1, function(number)
    leaves.isNested = true
    addLeaves(S.barrierAt(number), leaves)
  end)
end
function S.leavesOf(number)
  local barrier, leaves = S.barrierAt(number), {}
  if barrier then addLeaves(barrier, leaves) end
  if leaves.isNested then table.sort(leaves) end
  return leaves
end
-- What a row of s: says of the result: its size, its text (nil where it is long), the barrier it is found at, whether it is archived.
function S.readRaw(seq)
  local row = S.rawStandings[seq]
  if not row then return 4, '' end
  local _, to = string.find(row, '^[%d,]*')
  local continuation, archived
  if string.byte(row, to + 1) == 59 then
    local seldom = {}
    to = S.readSeldom(seldom, row, to + 1) - 1
    continuation, archived = seldom.continuation, seldom.archived
  end
  local sign = string.byte(row, to + 1)
  if sign == 10 then return #row - to - 1, string.sub(row, to + 2), continuation, archived end
  if sign == 13 then return tonumber(string.sub(row, to + 2)), nil, continuation, archived end
  return 4, '', continuation, archived
end

function S.resultIn(seq, budget)
  local size, text, continuation = S.readRaw(seq)
  if not continuation then
    budget.left = budget.left - size
    if not text and budget.left >= 0 then text = call('GET', P .. 'r:' .. seq) end
    return text or ''
  end
  local results = budget.left >= 0 and S.resultsAt(continuation, budget) or 0
  return {call('GET', P .. 'h:' .. seq) or '0', continuation, results}
end
function S.resultsAt(number, budget)
  local leaves, results = S.leavesOf(number), {}
  for from = 1, #leaves, 1000 do
    local some = {}
    for at = from, math.min(from + 999, #leaves) do some[#some + 1] = leaves[at] end
    S.loadRaw(some)
    for _, seq in ipairs(some) do
      -- Most have a short result and nothing seldom to say.
      local text = string.match(S.rawStandings[seq] or '', '^[%d,]*\\n(.*)$')
      if text then
        budget.left = budget.left - #text
        results[#results + 1] = text
      else
        local _, _, _, isArchived = S.readRaw(seq)
        if not isArchived then results[#results + 1] = S.resultIn(seq, budget) end
      end
      if budget.left < 0 then return nil end
    end
  end
  return results
end
function S.resultOf(seq, budget)
  S.loadRaw({seq})
  return S.resultIn(seq, budget)
end
`,
  workingSet,
)

/** A result as scripts tell it. */
export type ResultReply = string | readonly [shape: string, barrier: number, results: readonly ResultReply[] | 0]

export function resultIn(reply: ResultReply): StoredResult {
  if (typeof reply === 'string') return { json: reply === '' ? null : reply }
  const [shape, barrier, results] = reply
  return { shape, barrier, results: results === 0 ? null : results.map(resultIn) }
}

// ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────

const pageScript = reading(
  'results',
  `
local barrier, after = number(), number()
local page, room, last = {}, ${inlineLimit}, after
local leaves = S.leavesOf(barrier)
local at = 1
while at <= #leaves and leaves[at] <= after do at = at + 1 end
local some = {}
for n = at, math.min(at + ${pageRows - 1}, #leaves) do some[#some + 1] = leaves[n] end
S.loadRaw(some)
for _, seq in ipairs(some) do
  local size, text, continuation, isArchived = S.readRaw(seq)
  if not isArchived then
    if #page > 0 and size > room then return {last, page} end
    room = room - size
    if continuation then page[#page + 1] = {call('GET', P .. 'h:' .. seq) or '0', continuation, 0}
    else page[#page + 1] = text or call('GET', P .. 'r:' .. seq) or '' end
  end
  last = seq
end
if at + #some > #leaves then return {-1, page} end
return {last, page}
`,
  gathering,
)

/** A page of the results at a barrier. Nested ones are left out: they have a barrier of their own. */
export async function resultsPage(
  runs: Runs,
  barrier: number,
  after: string | null,
): Promise<{ results: StoredResult[]; next: string | null }> {
  const [last, page] = await runs.read<[number, ResultReply[]]>(pageScript, [barrier, after ?? -1])
  return { results: page.map(resultIn), next: last < 0 ? null : String(last) }
}

/** Loads what was left out, however large. */
export async function loadResult(runs: Runs, result: StoredResult): Promise<StoredResult> {
  if ('json' in result) return result
  const results = result.results ?? (await allResults(runs, result.barrier as number))
  const whole: StoredResult[] = []
  for (const each of results) whole.push(await loadResult(runs, each))
  return { ...result, results: whole }
}

async function allResults(runs: Runs, barrier: number): Promise<StoredResult[]> {
  const all: StoredResult[] = []
  for (let after: string | null = null; ;) {
    const page = await resultsPage(runs, barrier, after)
    for (const result of page.results) all.push(result)
    if (page.next === null) return all
    after = page.next
  }
}
