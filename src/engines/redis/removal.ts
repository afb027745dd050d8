import { role, state } from '../../engine/codes.ts'
import { lookAgainAfter } from '../../engine/retention.ts'
import { cascade } from './cascade.ts'
import { library } from './scripts.ts'

/** While a large collection is looked over, call by call, a retry of anything in it must not go unnoticed. In milliseconds. */
const lookLasts = 10 * 60_000

/**
 * A collection is removed in two steps, each as far as a call may go: first its jobs are looked over, in case a side branch or
 * callback is not over; then it is out of sight, so that nobody can retry anything of it, and its rows go.
 *
 * ```
 * lookOver(item)              free, busy, or more: not all of a settled collection has been looked at; item.after says how far it came
 * noticeRetry(collection)     something of it is retried: whoever is looking it over begins anew
 * forget(number)              takes a settled collection, or a job alone, out of sight
 * removeSome(item)            the work item: detail 0 looks it over first, 1 removes its rows. True when none is left
 * ```
 */
export const removal = library(
  `
local function isRunning(job, number)
  return job and job.seq ~= number and job.role ~= ${role.main} and not job.archived and job.state < ${state.succeeded}
end
local function lookAt(item, span)
  while math.max(item.after + 1, span.first) <= span.last do
    if S.left <= 0 then return 'more' end
    local numbers = {}
    local from = math.max(item.after + 1, span.first)
    for seq = from, math.min(from + math.ceil(4 * S.left) - 1, span.last) do numbers[#numbers + 1] = seq end
    S.loadJobs(numbers)
    for _, seq in ipairs(numbers) do
      if isRunning(S.jobAt(seq), item.subject) then return 'busy' end
    end
    item.after = numbers[#numbers]
    S.left = S.left - #numbers / 4
  end
end
function S.lookOver(item)
  local mark = P .. 'look:' .. item.subject
  if item.after > 0 and call('EXISTS', mark) == 0 then item.after = 0 end
  local isNew = item.after == 0
  local found = S.eachSpan(item.subject, item, function(span) return lookAt(item, span) end)
  if found == 'more' and isNew then call('SET', mark, 1, 'PX', ${lookLasts}) end
  if not found then call('DEL', mark) end
  return found or 'free'
end
function S.noticeRetry(collection)
  call('DEL', P .. 'look:' .. collection)
  call('HINCRBY', P .. 'meta', 'retries', 1)
end

-- A job alone that has more than its own row gives its place to the row of a collection: jobs of it are out of sight by that one.
local function replace(job)
  local id = S.idOf(job)
  S.removedIds = {}
  S.removeJob(job.seq)
  change('HDEL', P .. 'ids', S.removedIds)
  S.put(P .. 'c:' .. job.seq, job.created .. ',' .. job.seq .. ',0,0,0\\n\\n' .. id .. '\\n0\\n{}')
  S.put(P .. 'k:' .. job.seq, math.min(job.state - 3, 3) .. ',' .. job.round .. ',,,' .. S.digits[now])
end
function S.forget(number)
  local header = S.headerAt(number)
  if header.isAlone then
    local job = S.jobAt(number)
    if job and job.collection == number then replace(job) end
  else
    header.removedAt = now
    S.saveHeader(header)
  end
  S.headers[number] = nil
  S.flush()
end

-- What few have.
function S.eraseMore(number)
  for _, kind in ipairs({'p:', 'log:', 'notes:', 'u:'}) do S.erase(P .. kind .. number) end
  S.remove('more', number)
end
function S.removeJob(seq)
  local job = S.jobAt(seq)
  if not job and not S.faulty['job number ' .. S.digits[seq]] then return end
  if job then S.removedIds[#S.removedIds + 1] = S.idOf(job) end
  for _, kind in ipairs({'j:', 's:', 'g:', 'r:', 'f:', 'h:', 'a:'}) do S.erase(P .. kind .. seq) end
  S.eraseMore(seq)
  if job and job.scope then S.erase(P .. 'scope:' .. job.scope) end
  S.jobs[seq] = false
end
function S.removeBarrier(number)
  S.erase(P .. 'b:' .. number)
  S.erase(P .. 'n:' .. number)
  S.erase(P .. 'l:' .. number)
  S.barriers[number] = false
end
-- A graph that came in parts has a barrier before its first job. The number before any other belongs to somebody else.
local function removeStart(span)
  local barrier = S.barrierAt(span.first - 1)
  if barrier and barrier.base == span.first then S.removeBarrier(span.first - 1) end
end
local function removeSpan(item, span)
  local last = span.last + (span.barrierCount or 0)
  if item.after < span.first then removeStart(span) end
  while math.max(span.first, item.after + 1) <= last do
    if S.left <= 0 then return false end
    local numbers = {}
    local from = math.max(span.first, item.after + 1)
    for number = from, math.min(from + math.ceil(S.left) - 1, last) do numbers[#numbers + 1] = number end
    S.loadJobs(numbers)
    for _, number in ipairs(numbers) do
      if number <= span.last then S.removeJob(number) else S.removeBarrier(number) end
      item.after = number
      S.left = S.left - 1
    end
  end
  return true
end
local function eraseSome(item)
  local header, number = S.headerAt(item.subject), item.subject
  S.removedIds = {}
  local isLeft = S.eachSpan(number, item, function(span)
    span.barrierCount = span.barrierCount or header.barrierCount
    return not removeSpan(item, span) or nil
  end)
  if isLeft then
    change('HDEL', P .. 'ids', S.removedIds)
    return false
  end
  S.removedIds[#S.removedIds + 1] = string.match(S.textAt('c:' .. number) or '', '^[^\\n]*\\n[^\\n]*\\n([^\\n]*)')
  for _, kind in ipairs({'c:', 'k:', 'm:'}) do S.erase(P .. kind .. number) end
  S.eraseMore(number)
  S.headers[number] = nil
  S.left = S.left - 2
  change('HDEL', P .. 'ids', S.removedIds)
  return true
end
function S.removeSome(item)
  if item.detail == 0 then
    local found = S.lookOver(item)
    if found == 'busy' then S.leave(item.subject, ${lookAgainAfter}) end
    if found ~= 'free' then return found == 'busy' end
    S.forget(item.subject)
    item.detail, item.after = 1, 0
  end
  return eraseSome(item)
end
`,
  cascade,
)
