import { state } from '../../engine/codes.ts'
import { keys } from './keys.ts'
import { library } from './scripts.ts'

/**
 * The sorted sets and sets that say which jobs are queued, due, running …: `reindex(job)` notes what a job leaves and enters, from how
 * it stood when it was read (see working-set.ts); `flushIndexes()` writes it, each set in one call. `count(key, queue, by)` is for jobs
 * that come into being.
 */
export const indexes = library(
  `
-- What goes into or leaves one of them with the next flush.
function S.listOf(kind, key)
  local list = S[kind][key]
  if not list then
    list = {}
    S[kind][key] = list
  end
  return list
end
function S.add(key, value, member)
  local list = S.listOf('additions', key)
  list[#list + 1] = value
  if member then list[#list + 1] = member end
end
function S.remove(key, member)
  local list = S.listOf('removals', key)
  list[#list + 1] = member
end
function S.count(key, queue, by)
  local of = S.counts[key]
  if not of then of = {} S.counts[key] = of end
  of[queue] = (of[queue] or 0) + by
end
-- In a sorted set under a score, or not (nil): before, and now.
local function moveIn(key, member, was, is)
  if was == is then return end
  if is then S.add(key, is, member) else S.remove(key, member) end
end

local function queueOf(job, state, isSuspect)
  if state ~= ${state.queued} then return nil end
  return (isSuspect and 'suspects:' or 'queue:') .. job.queue
end
function S.reindex(job)
  local was, is, seq = job.wasState, job.state, job.digits
  local wasIn, isIn = queueOf(job, was, job.wasSuspect), queueOf(job, is, job.crashes > 0)
  -- Those of a run are as they were submitted: what is written of one takes it out, also where it stays in its queue.
  if wasIn ~= isIn or (isIn and job.collection == job.seq) then
    if wasIn and not job.isPopped then S.remove(wasIn, S.place(seq)) end
    if isIn then S.add(isIn, S.score(job.priority, job.collection), S.place(seq)) end
    if wasIn and job.wasSuspect then S.count('suspects', job.queue, -1) end
    if isIn and job.crashes > 0 then S.count('suspects', job.queue, 1) end
  end
  if was == ${state.waiting} and was ~= is then S.count('waiting', job.queue, -1) end
  if is == ${state.waiting} and was ~= is then S.count('waiting', job.queue, 1) end
  if was == ${state.scheduled} and was ~= is then S.count('scheduled', job.queue, -1) end
  if is == ${state.scheduled} and was ~= is then S.count('scheduled', job.queue, 1) end
  moveIn('due', seq, was == ${state.scheduled} and job.wasDue or nil, is == ${state.scheduled} and job.due or nil)
  local wasOpen, isOpen = was == ${state.scheduled} or was == ${state.queued}, is == ${state.scheduled} or is == ${state.queued}
  moveIn('expiring', seq, wasOpen and job.wasExpires or nil, isOpen and job.expires or nil)
  local wasRun, isRun = was == ${state.running} and job.wasSession or nil, is == ${state.running} and job.session or nil
  if wasRun ~= isRun then
    if wasRun then S.remove('run:' .. wasRun, seq) end
    if wasRun and job.wasSuspect then S.remove('trying:' .. wasRun, seq) end
    if isRun then S.add('run:' .. isRun, seq) end
    if isRun and job.crashes > 0 then S.add('trying:' .. isRun, seq) end
  end
  moveIn('marked', seq, wasRun and job.wasMarked or nil, isRun and job.marked or nil)
  if job.timeout then
    moveIn('deadlines', seq, wasRun and job.wasStarted + job.timeout or nil, isRun and job.started + job.timeout or nil)
  end
end

-- Takes those out of the runs of a queue that are in one: what is left of it stays.
function S.leaveRuns(queue, places)
  local runs = P .. 'runs:' .. queue
  if call('EXISTS', runs) == 0 then return end
  for _, place in ipairs(places) do
    local number = tonumber(string.sub(place, 2))
    local run = call('ZREVRANGEBYSCORE', runs, number, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
    local last, first = tonumber(run[1]), tonumber(run[2])
    if last and last >= number then
      if number < last then call('ZADD', runs, number + 1, run[1]) else call('ZREM', runs, run[1]) end
      if number > first then call('ZADD', runs, first, number - 1) end
    end
  end
end

-- Something comes into a queue, the first of it under this score. Those that wait for work may have seen it empty.
function S.enterLine(queue, score)
  local isNew = call('ZADD', P .. 'lines', 'LT', score, queue) == 1
  S.isFirst = S.isFirst or isNew
end
local function leastOf(scores)
  local least = scores[1]
  for at = 3, #scores, 2 do
    if scores[at] ~= least and tonumber(scores[at]) < tonumber(least) then least = scores[at] end
  end
  return least
end
-- What was let go and not claimed at once (see settle.ts).
function S.lineUp(letGo)
  local queues, collections, numbers = letGo.queues, letGo.collections, letGo.numbers
  for n = 1, #numbers do S.add('queue:' .. queues[n], collections[n], S.place(numbers[n])) end
  S.letGo = false
end
function S.flushIndexes()
  if S.letGo then S.lineUp(S.letGo) end
  for key, list in pairs(S.removals) do
    local isSet = string.find(key, '^run:') or string.find(key, '^trying:')
    change(isSet and 'SREM' or 'ZREM', P .. key, list)
    local queue = string.match(key, '^queue:(.*)$')
    if queue then
      S.leaveRuns(queue, list)
      if call('EXISTS', P .. 'queue:' .. queue, P .. 'runs:' .. queue) == 0 then call('ZREM', P .. 'lines', queue) end
    end
  end
  for key, list in pairs(S.additions) do
    local isSet = string.find(key, '^run:') or string.find(key, '^trying:')
    if string.find(key, '^queue:') then
      S.enterLine(string.sub(key, 7), leastOf(list))
      S.wakes = true
    elseif string.find(key, '^suspects:') then S.wakes = true end
    change(isSet and 'SADD' or 'ZADD', P .. key, list)
  end
  for key, of in pairs(S.counts) do
    for queue, by in pairs(of) do
      -- One that was begun anew counts too few, and ends with them.
      if by ~= 0 and call('HINCRBY', P .. key, queue, by) <= 0 then call('HDEL', P .. key, queue) end
    end
  end
  S.additions, S.removals, S.counts = {}, {}, {}
end
`,
  keys,
)
