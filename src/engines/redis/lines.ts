import { state } from './codes.ts'
import { library } from './scripts.ts'
import { workingSet } from './working-set.ts'

/**
 * Picking jobs from queues.
 *
 * ```
 * suspectIn(open, session)    a job of these queues whose worker died, where this session may have one now
 * popFirst(open, size)        the first places of several queues, in the order in which they are to run; with a gap behind each, as
 *                             ZPOPMIN has them
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

local function merge(lists, size)
  local merged = {}
  while #merged < 2 * size do
    local best
    for _, each in ipairs(lists) do
      if each.first and (not best or each.first < best.first or
        (each.first == best.first and each.list[each.at] < best.list[best.at])) then best = each end
    end
    if not best then break end
    merged[#merged + 1], merged[#merged + 2] = best.list[best.at], ''
    best.at = best.at + 2
    best.first = tonumber(best.list[best.at + 1])
  end
  return merged
end
function S.popFirst(open, size)
  local lists = {}
  for _, queue in ipairs(open) do
    local key = P .. 'queue:' .. queue
    local list = call('ZRANGE', key, 0, size - 1, 'WITHSCORES')
    if #list > 0 then lists[#lists + 1] = {key = key, list = list, at = 1, first = tonumber(list[2])} end
  end
  if #lists == 1 then return call('ZPOPMIN', lists[1].key, size) end
  local merged = merge(lists, size)
  for _, each in ipairs(lists) do
    local gone = {}
    for at = 1, each.at - 1, 2 do gone[#gone + 1] = each.list[at] end
    change('ZREM', each.key, gone)
  end
  return merged
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
