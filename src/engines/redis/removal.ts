import { cascade } from './cascade.ts'
import { work } from '../../engine/codes.ts'
import { library } from './scripts.ts'

/**
 * `forget(number)` takes a settled collection, or a job alone, out of sight at once; its rows go in this call or later, by
 * `removeSome(item)`: true when none is left.
 */
export const removal = library(
  `
function S.forget(number)
  local header = S.headerAt(number)
  if not header.isAlone then
    header.removedAt = now
    S.saveHeader(header)
  end
  S.later(${work.remove}, number)
end

function S.removeJob(seq)
  local job = S.jobAt(seq)
  if not job then return end
  S.removedIds[#S.removedIds + 1] = S.idOf(job)
  for _, kind in ipairs({'j:', 's:', 'g:', 'r:', 'f:', 'p:', 'h:', 'a:', 'log:', 'notes:'}) do S.erase(P .. kind .. seq) end
  if job.scope then S.erase(P .. 'scope:' .. job.scope) end
  if seq == job.collection then S.erase(P .. 'u:' .. seq) end
  S.jobs[seq] = false
end
function S.removeBarrier(number)
  S.erase(P .. 'b:' .. number)
  S.erase(P .. 'n:' .. number)
  S.erase(P .. 'l:' .. number)
  S.barriers[number] = false
end
local function removeSpan(item, span)
  local last = span.last + (span.barrierCount or 0)
  while item.after < last do
    if S.left <= 0 then return false end
    local numbers = {}
    local from = math.max(span.first - 1, item.after + 1)
    for number = from, math.min(from + math.ceil(S.left) - 1, last) do numbers[#numbers + 1] = number end
    S.loadJobs(numbers)
    for _, number in ipairs(numbers) do
      if number >= span.first and number <= span.last then S.removeJob(number) else S.removeBarrier(number) end
      item.after = number
      S.left = S.left - 1
    end
  end
  return true
end
function S.removeSome(item)
  local header, isDone = S.headerAt(item.subject), true
  S.removedIds = {}
  for _, span in ipairs(S.membersOf(item.subject)) do
    if span.first ~= item.subject and isDone then
      span.barrierCount = span.barrierCount or header.barrierCount
      isDone = removeSpan(item, span)
    end
  end
  if isDone then
    if header.isAlone then S.removeJob(item.subject)
    else
      local id = string.match(call('GET', P .. 'c:' .. item.subject) or '', '^[^\\n]*\\n[^\\n]*\\n([^\\n]*)')
      S.removedIds[#S.removedIds + 1] = id
      S.erase(P .. 'c:' .. item.subject)
      S.erase(P .. 'k:' .. item.subject)
      S.erase(P .. 'u:' .. item.subject)
      S.headers[item.subject] = nil
    end
    S.erase(P .. 'm:' .. item.subject)
    S.left = S.left - 2
  end
  change('HDEL', P .. 'ids', S.removedIds)
  return isDone
end
`,
  cascade,
)
