import { state } from '../../engine/codes.ts'
import { suspectsTogether, suspicion } from '../../engine/recovery.ts'
import { library } from './scripts.ts'
import { workingSet } from './working-set.ts'

/**
 * Picking jobs from queues, for the claim under way: `S.mine`, with `names` and `wanted` (the queues it asks for, as a list and as a set;
 * false: every queue).
 *
 * ```
 * isOpen(queue)               the claim may take jobs of this queue
 * suspectsIn(session, limit)  jobs whose worker died that this session may have now
 * popFirst(size)              the digits of the first jobs, in the order in which they are to run; and which of them came in a run (by
 *                             position)
 * isAnyBefore(score)          a job that the claim may take stands in line at this score or before it
 * takenBefore(session, token, limit)  the first jobs that a claim under this token holds: asked again because its answer was lost
 * ```
 *
 * `lines` says which queues have jobs in line, so an empty queue costs a claim nothing. Its scores are bounds: no job of the queue comes
 * before it. Whoever takes from a line corrects the bound; a claim that meets a paused queue takes it out, and resuming puts it back.
 */
export const lines = library(
  `
local anyPaused, paused = nil, {}
local function isPaused(queue)
  if anyPaused == nil then anyPaused = call('EXISTS', P .. 'queues') == 1 end
  if not anyPaused then return false end
  if paused[queue] == nil then paused[queue] = call('HEXISTS', P .. 'queues', queue) == 1 end
  return paused[queue]
end
function S.isOpen(queue)
  return (not S.mine.wanted or S.mine.wanted[queue] or false) and not isPaused(queue)
end

-- Few at a time, so that it can be told which of them ended its worker (see engine/recovery.ts).
local function levelsAt(session)
  local count, isAlone = 0, false
  for _, seq in ipairs(numbersIn(call('SMEMBERS', P .. 'trying:' .. session))) do
    local job = S.jobAt(seq)
    if job and job.state == ${state.running} then
      count = count + 1
      isAlone = isAlone or job.crashes > ${suspicion.suspect}
    end
  end
  return count, isAlone
end
local function firstSuspects(size)
  local found = {}
  for _, queue in ipairs(call('HKEYS', P .. 'suspects')) do
    if S.isOpen(queue) then
      local list = call('ZRANGE', P .. 'suspects:' .. queue, 0, size - 1, 'WITHSCORES')
      for at = 1, #list, 2 do found[#found + 1] = {list[at], tonumber(list[at + 1]), queue} end
    end
  end
  table.sort(found, function(one, other)
    if one[2] ~= other[2] then return one[2] < other[2] end
    return one[1] < other[1]
  end)
  return found
end
function S.suspectsIn(session, limit)
  local running, isAlone = levelsAt(session)
  if isAlone then return {} end
  local room, taken = math.min(limit, ${suspectsTogether} - running), {}
  if room <= 0 then return taken end
  for _, each in ipairs(firstSuspects(room + 100)) do
    local job = S.jobAt(tonumber(string.sub(each[1], 2)))
    if not job then
      -- It was removed while it was in line.
      S.remove('suspects:' .. each[3], each[1])
      S.count('suspects', each[3], -1)
    elseif job.state == ${state.queued} and not (job.expires and job.expires <= now) then
      if job.crashes > ${suspicion.suspect} then
        if running + #taken == 0 then taken[1] = job end
        break
      end
      taken[#taken + 1] = job
      if #taken == room then break end
    end
  end
  return taken
end

-- The lines to take from, in the order of their bounds: gives one after the other, nil in the end.
local function eachLine()
  local names, list, at, seen, chunk = S.mine.names, {}, -1, 0, 16
  if names then
    local bounds = many('ZMSCORE', P .. 'lines', names)
    local found = {}
    for n, name in ipairs(names) do
      if bounds[n] then found[#found + 1] = {name, tonumber(bounds[n])} end
    end
    table.sort(found, function(one, other) return one[2] < other[2] end)
    for n, each in ipairs(found) do list[2 * n - 1], list[2 * n] = each[1], each[2] end
  end
  return function()
    at = at + 2
    if at > #list and not names then
      list = call('ZRANGE', P .. 'lines', seen, seen + chunk - 1, 'WITHSCORES')
      seen, at, chunk = seen + chunk, 1, math.min(2 * chunk, 512)
    end
    return list[at], tonumber(list[at + 1])
  end
end

-- A line is two sorted sets, of which more is read as it is needed: most calls take little of what is there.
local function advance(part)
  part.at = part.at + 2
  if part.at > #part.list then
    part.list = call('ZRANGE', part.key, part.seen, part.seen + part.chunk - 1, 'WITHSCORES')
    part.seen, part.at, part.chunk = part.seen + part.chunk, 1, 2 * part.chunk
  end
  part.member, part.head = part.list[part.at], tonumber(part.list[part.at + 1])
  -- No run: a number that is none could be counted from for ever.
  if part.isRuns and part.member and not (numberIn(part.list[part.at + 1]) and numberIn(part.member)) then
    S.faulty['key ' .. string.sub(part.key, #P + 1)] = 'A run in it cannot be read.'
    part.gone[#part.gone + 1] = part.member
    return advance(part)
  end
end
local function isBehind(one, other)
  return one.head > other.head or (one.head == other.head and one.member > other.member)
end
-- Keeps the part that is next at the end.
local function insert(open, part)
  local from, to = 1, #open + 1
  while from < to do
    local middle = math.floor((from + to) / 2)
    if isBehind(open[middle], part) then from = middle + 1 else to = middle end
  end
  table.insert(open, from, part)
end
local function openPart(open, key, isRuns)
  local part = {key = P .. key, isRuns = isRuns, list = {}, at = -1, seen = 0, chunk = 16, gone = {}}
  advance(part)
  if part.head then insert(open, part) end
  return part
end
-- Gives what is left of the run.
local function takeRun(part, digits, inRun, size)
  local first, last = part.head, tonumber(part.member)
  local to = math.min(last, first + size - #digits - 1)
  for number = first, to do
    local n = #digits + 1
    digits[n], inRun[n] = string.format('%.0f', number), true
  end
  if to == last then
    part.gone[#part.gone + 1] = part.member
    return nil
  end
  call('ZADD', part.key, to + 1, part.member)
  return to + 1
end
local function closeLines(opened, left)
  local bounds = {}
  for name, parts in pairs(opened) do
    local head = nil
    for _, part in ipairs(parts) do
      change('ZREM', part.key, part.gone)
      if part.head and (not head or part.head < head) then head = part.head end
    end
    if head then
      bounds[#bounds + 1] = string.format('%.0f', head)
      bounds[#bounds + 1] = name
    else left[#left + 1] = name end
  end
  change('ZREM', P .. 'lines', left)
  change('ZADD', P .. 'lines', bounds)
end
local function popMerged(size)
  local following, open, opened, left, digits, inRun = eachLine(), {}, {}, {}, {}, {}
  local name, bound = following()
  while #digits < size do
    local part = open[#open]
    while name and (not part or bound <= part.head) do
      if isPaused(name) then left[#left + 1] = name
      else opened[name] = {openPart(open, 'queue:' .. name, false), openPart(open, 'runs:' .. name, true)} end
      name, bound = following()
      part = open[#open]
    end
    if not part then break end
    local rest = nil
    if part.isRuns then rest = takeRun(part, digits, inRun, size)
    else
      digits[#digits + 1] = string.sub(part.member, 2)
      part.gone[#part.gone + 1] = part.member
    end
    if rest then part.head = rest
    else
      open[#open] = nil
      advance(part)
      if part.head then insert(open, part) end
    end
  end
  closeLines(opened, left)
  return digits, inRun
end
-- The one line that there is to take from, nil where there are several; false where there is none.
local function onlyLine()
  local names = S.mine.names
  if names then return #names == 1 and names[1] or nil end
  local first = call('ZRANGE', P .. 'lines', 0, 1)
  if #first == 2 then return nil end
  return first[1] or false
end
function S.popFirst(size)
  local name = onlyLine()
  if name == false then return {}, {} end
  if not name or isPaused(name) or call('EXISTS', P .. 'runs:' .. name) == 1 then return popMerged(size) end
  local popped, digits = call('ZPOPMIN', P .. 'queue:' .. name, size), {}
  for at = 1, #popped, 2 do digits[#digits + 1] = string.sub(popped[at], 2) end
  if #digits < size or call('EXISTS', P .. 'queue:' .. name) == 0 then call('ZREM', P .. 'lines', name) end
  return digits, {}
end

function S.firstIn(key)
  return tonumber(call('ZRANGE', P .. key, '0', '0', 'WITHSCORES')[2])
end
-- Of each line that may have one, the first is looked up.
function S.isAnyBefore(score)
  local following, found = eachLine(), false
  local left, bounds = {}, {}
  local name, bound = following()
  while name and bound <= score and not found do
    if isPaused(name) then left[#left + 1] = name
    else
      local single, run = S.firstIn('queue:' .. name), S.firstIn('runs:' .. name)
      local head = math.min(single or math.huge, run or math.huge)
      found = head <= score
      if head == math.huge then left[#left + 1] = name
      else
        bounds[#bounds + 1] = string.format('%.0f', head)
        bounds[#bounds + 1] = name
      end
    end
    name, bound = following()
  end
  change('ZREM', P .. 'lines', left)
  change('ZADD', P .. 'lines', bounds)
  return found
end

function S.takenBefore(session, token, limit)
  local numbers, taken = numbersIn(call('SMEMBERS', P .. 'run:' .. session)), {}
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
  for at = limit + 1, #taken do taken[at] = nil end
  return taken
end
`,
  workingSet,
)
