import { state } from '../../engine/codes.ts'
import { library } from './scripts.ts'
import { workingSet } from './working-set.ts'

/**
 * Picking jobs from queues.
 *
 * ```
 * suspectIn(open, session)    a job of these queues whose worker died, where this session may have one now
 * popFirst(open, size)        the digits of the first jobs of these queues, in the order in which they are to run; and which of them
 *                             came in a run (by position)
 * takenBefore(session, token) what a claim under this token already holds: asked again because its answer was lost
 * ```
 */
export const lines = library(
  `
-- Taken singly, one in a session at a time, so that another crash counts only for it.
function S.suspectIn(open, session)
  if call('EXISTS', P .. 'trying:' .. session) == 1 then return nil end
  local isOpen = {}
  for _, queue in ipairs(open) do isOpen[queue] = true end
  for _, member in ipairs(call('ZRANGE', P .. 'suspects', 0, 999)) do
    local job = S.jobAt(tonumber(string.sub(member, 2)))
    if job and job.state == ${state.queued} and isOpen[job.queue] then return job end
  end
end

-- A line is one sorted set, of which more is read as it is needed: most calls take little of what is there.
local function advance(line)
  line.at = line.at + 2
  if line.at > #line.list then
    line.list = call('ZRANGE', line.key, line.seen, line.seen + line.chunk - 1, 'WITHSCORES')
    line.seen, line.at, line.chunk = line.seen + line.chunk, 1, 2 * line.chunk
  end
  line.member, line.head = line.list[line.at], tonumber(line.list[line.at + 1])
end
local function lineOf(key, isRuns)
  local line = {key = key, isRuns = isRuns, list = {}, at = -1, seen = 0, chunk = 16, gone = {}}
  advance(line)
  return line
end
local function firstOf(lines)
  local best
  for _, line in ipairs(lines) do
    local head = line.head
    if head and (not best or head < best.head or (head == best.head and line.member < best.member)) then best = line end
  end
  return best
end
local function takeRun(line, digits, inRun, size)
  local first, last = line.head, tonumber(line.member)
  local to = math.min(last, first + size - #digits - 1)
  for number = first, to do
    local n = #digits + 1
    digits[n], inRun[n] = string.format('%.0f', number), true
  end
  if to < last then call('ZADD', line.key, to + 1, line.member) else line.gone[#line.gone + 1] = line.member end
end
function S.popMerged(lines, size)
  local digits, inRun = {}, {}
  while #digits < size do
    local line = firstOf(lines)
    if not line then break end
    if line.isRuns then takeRun(line, digits, inRun, size)
    else
      digits[#digits + 1] = string.sub(line.member, 2)
      line.gone[#line.gone + 1] = line.member
    end
    advance(line)
  end
  for _, line in ipairs(lines) do change('ZREM', line.key, line.gone) end
  return digits, inRun
end
function S.linesOf(open)
  local lines = {}
  for _, queue in ipairs(open) do
    for kind, key in pairs({single = P .. 'queue:' .. queue, runs = P .. 'runs:' .. queue}) do
      if call('EXISTS', key) == 1 then lines[#lines + 1] = lineOf(key, kind == 'runs') end
    end
  end
  return lines
end
function S.popFirst(open, size)
  if #open > 1 or call('EXISTS', P .. 'runs:' .. open[1]) == 1 then return S.popMerged(S.linesOf(open), size) end
  local popped, digits = call('ZPOPMIN', P .. 'queue:' .. open[1], size), {}
  for at = 1, #popped, 2 do digits[#digits + 1] = string.sub(popped[at], 2) end
  return digits, {}
end

function S.takenBefore(session, token)
  local numbers, taken = call('SMEMBERS', P .. 'run:' .. session), {}
  for at = 1, #numbers do numbers[at] = tonumber(numbers[at]) end
  S.loadJobs(numbers)
  for _, seq in ipairs(numbers) do
    local job = S.jobAt(seq)
    if job and job.state == ${state.running} and job.token == token then
      job.text = S.standingText(job)
      taken[#taken + 1] = job
    end
  end
  table.sort(taken, function(one, other)
    if one.priority ~= other.priority then return one.priority > other.priority end
    if one.collection ~= other.collection then return one.collection < other.collection end
    return one.seq < other.seq
  end)
  return taken
end
`,
  workingSet,
)
