import { cascade } from './cascade.ts'
import { work } from './codes.ts'
import { part } from './scripts.ts'

/**
 * `forget(number)` takes a settled collection, or a job alone, out of sight at once; its rows go in this call or later, by
 * `removeSome(item)`: true when none is left.
 */
export const removal = part(
  `
local function forget(number)
  local header = headerAt(number)
  if not header.isAlone then
    header.removedAt = now
    saveHeader(header)
  end
  later(${work.remove}, number)
end

local removedIds
local function removeJob(seq)
  local job = jobAt(seq)
  if not job then return end
  removedIds[#removedIds + 1] = job.id
  for _, kind in ipairs({'j:', 's:', 'g:', 'r:', 'f:', 'p:', 'h:', 'a:', 'log:'}) do erase(P .. kind .. seq) end
  if job.scope then erase(P .. 'scope:' .. job.scope) end
  if seq == job.collection then erase(P .. 'u:' .. seq) end
  jobs[seq] = false
end
local function removeBarrier(number)
  erase(P .. 'b:' .. number)
  erase(P .. 'n:' .. number)
  erase(P .. 'l:' .. number)
  barriers[number] = false
end
local function removeSpan(item, span)
  local last = span.last + (span.barrierCount or 0)
  while item.after < last do
    if left <= 0 then return false end
    local numbers = {}
    local from = math.max(span.first - 1, item.after + 1)
    for number = from, math.min(from + math.ceil(left) - 1, last) do numbers[#numbers + 1] = number end
    loadJobs(numbers)
    for _, number in ipairs(numbers) do
      if number >= span.first and number <= span.last then removeJob(number) else removeBarrier(number) end
      item.after = number
      left = left - 1
    end
  end
  return true
end
local function removeSome(item)
  local header, isDone = headerAt(item.subject), true
  removedIds = {}
  for _, span in ipairs(membersOf(item.subject)) do
    if span.first ~= item.subject and isDone then
      span.barrierCount = span.barrierCount or header.barrierCount
      isDone = removeSpan(item, span)
    end
  end
  if isDone then
    if header.isAlone then removeJob(item.subject)
    else
      local id = string.match(call('GET', P .. 'c:' .. item.subject) or '', '^[^\\n]*\\n[^\\n]*\\n([^\\n]*)')
      removedIds[#removedIds + 1] = id
      erase(P .. 'c:' .. item.subject)
      erase(P .. 'k:' .. item.subject)
      erase(P .. 'u:' .. item.subject)
      headers[item.subject] = nil
    end
    erase(P .. 'm:' .. item.subject)
    left = left - 2
  end
  change('HDEL', P .. 'ids', removedIds)
  return isDone
end
`,
  cascade,
)
