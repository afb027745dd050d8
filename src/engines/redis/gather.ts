import type { StoredResult } from '../../core/job.ts'
import { inlineLimit, jobsPerPage, resultsPerPage } from '../../engine/limits.ts'
import type { ResultsPage } from '../../engine/results.ts'
import { library, reading, type Runs } from './scripts.ts'
import { workingSet } from './working-set.ts'

/**
 * ```
 * leafPage(barrier, after)    the numbers of the next jobs at a barrier, in order, whichever of the barriers nested in it they feed; and
 *                             behind which number to go on, nil where there are no more
 * resultsAt(barrier, budget)  their results, nil where they have more characters in all than budget.left or are more than budget.rows
 *                             or a page. A result is its text (empty: there is none), or of a job that continued { shape, barrier,
 *                             results or 0 where they are left out }
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
-- Those that feed it directly are told by its runs.
local function directPage(barrier, runs, after)
  local leaves = {}
  S.eachOf(runs, barrier.base, after, function(seq)
    leaves[#leaves + 1] = seq
    return #leaves == ${resultsPerPage}
  end)
  return leaves, #leaves == ${resultsPerPage} and leaves[#leaves] or nil
end
-- Whether what feeds a barrier comes to another one in the end, for each of these: they are loaded together, a step outward at a time.
local function reaching(numbers, target)
  local at, open = {}, {}
  for _, number in ipairs(numbers) do
    if not at[number] then at[number], open[#open + 1] = number, number end
  end
  while #open > 0 do
    local step, still = {}, {}
    for n, number in ipairs(open) do step[n] = at[number] end
    S.loadBarriers(step)
    for _, number in ipairs(open) do
      local barrier = S.barrierAt(at[number])
      at[number] = barrier and barrier.feeds or false
      if at[number] and at[number] ~= target then still[#still + 1] = number end
    end
    open = still
  end
  return at
end
-- Others have to be found among the jobs of its graph.
local function nestedPage(barrier, after)
  local first, last = math.max(barrier.base, after + 1), barrier.base + barrier.jobCount - 1
  local numbers, fed, leaves = {}, {}, {}
  for seq = first, math.min(first + ${jobsPerPage} - 1, last) do numbers[#numbers + 1] = seq end
  S.loadJobs(numbers)
  for _, seq in ipairs(numbers) do
    local job = S.jobAt(seq)
    if job and job.feeds and job.feeds ~= barrier.number then fed[#fed + 1] = job.feeds end
  end
  local reached = reaching(fed, barrier.number)
  for _, seq in ipairs(numbers) do
    local job = S.jobAt(seq)
    local feeds = job and job.feeds
    if feeds and (feeds == barrier.number or reached[feeds] == barrier.number) then leaves[#leaves + 1] = seq end
  end
  return leaves, first + #numbers <= last and numbers[#numbers] or nil
end
function S.leafPage(number, after)
  local barrier = S.barrierAt(number)
  if not barrier then return {} end
  local _, jobRuns, barrierRuns = S.runsOf(barrier)
  if barrierRuns == '' then return directPage(barrier, jobRuns, after) end
  return nestedPage(barrier, after)
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
  local leaves, rest = S.leafPage(number, -1)
  local results = {}
  budget.rows = budget.rows - #leaves - 1
  if rest or budget.rows < 0 then return nil end
  S.loadRaw(leaves)
  for _, seq in ipairs(leaves) do
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
local leaves, rest = S.leafPage(barrier, after)
S.loadRaw(leaves)
for _, seq in ipairs(leaves) do
  local size, text, continuation, isArchived = S.readRaw(seq)
  if not isArchived then
    if #page > 0 and size > room then return {last, page} end
    room = room - size
    if continuation then page[#page + 1] = {call('GET', P .. 'h:' .. seq) or '0', continuation, 0}
    else page[#page + 1] = text or call('GET', P .. 'r:' .. seq) or '' end
  end
  last = seq
end
return {rest or -1, page}
`,
  gathering,
)

/** A page of the results at a barrier. Nested ones are left out: they have a barrier of their own. */
export async function resultsPage(runs: Runs, barrier: number, after: string | null): Promise<ResultsPage> {
  const [last, page] = await runs.read<[number, ResultReply[]]>(pageScript, [barrier, after ?? -1])
  return { results: page.map(resultIn), next: last < 0 ? null : String(last) }
}
