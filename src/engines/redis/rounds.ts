import { attemptOutcomeCode, decided, role, state, work } from '../../engine/codes.ts'
import { firstKept, lastKept } from '../../engine/limits.ts'
import { insideOf, startingNow, taking } from '../../engine/resets.ts'
import { members } from './members.ts'
import { removal } from './removal.ts'
import { library } from './scripts.ts'
import { uniqueKeys } from './unique.ts'

/**
 * A retry goes over the collection's jobs twice, in the order of their numbers. The first time it puts back to `waiting`
 * what is to run again and reopens the barriers it feeds; side branches come after the canvas they hang on, so that their
 * barrier has been reopened when they are met. The second time it lets go what nothing holds up.
 *
 * `retry(id, isCollection, expectedRound, what)`, `resetMembers(item)`, `reopenAll(item)`, `decideEmpty(item)`, `restartMembers(item)`.
 */
export const retrying = library(
  `
local function stateOf(header)
  if header.isAlone then
    local job = S.jobAt(header.number)
    if not job or job.state < ${state.succeeded} then return 'running' end
    return job.state == ${state.succeeded} and 'succeeded' or 'other'
  end
  if header.state == 0 then return 'running' end
  return header.state == 1 and 'succeeded' or 'other'
end
local function beginRound(header)
  header.round = header.round + 1
  if header.isAlone then
    local job = S.jobAt(header.number)
    job.round, job.marked = header.round, nil
    S.save(job)
  else
    header.state, header.settledAt, header.cancelledAt = 0, nil, nil
    S.saveHeader(header)
  end
  S.noteCancelling(header.number, false)
  S.tellCollection(0, header.number, header.round)
end

-- ── resetting ──

-- It belongs to a canvas that a handler returned which is going to be called anew.
local function isOfForgotten(job)
  if not job.parent then return false end
  local parent = S.jobAt(job.parent)
  return not parent or not parent.continuation or parent.archived ~= nil
end
local function archive(job, round)
  S.left = S.left - 1
  if job.state == ${state.running} then S.stops = true end
  if job.state < ${state.succeeded} then
    job.state, job.reason, job.cause, job.token, job.due = ${state.cancelled}, 3, job.seq, nil, nil
  end
  job.archived, job.version = round, job.version + 1
  S.save(job)
end
-- The round of a job alone is its collection's, which has begun anew already.
local function keepAttempt(job)
  local outcome, failure = ${attemptOutcomeCode('cancelled')}, nil
  if job.state == ${state.succeeded} then outcome = ${attemptOutcomeCode('succeeded')} end
  if job.state == ${state.failed} then
    outcome = ${attemptOutcomeCode('failed')}
    failure = call('GET', P .. 'f:' .. job.seq)
  end
  local round = job.collection == job.seq and job.round - 1 or job.round
  call('HSETNX', P .. 'a:' .. job.seq, job.attempt, table.concat({round, job.session or '', job.started, job.finished or now, outcome}, ',') ..
    (failure and '\\n' .. failure or ''))
  if job.attempt > ${firstKept + lastKept} then call('HDEL', P .. 'a:' .. job.seq, job.attempt - ${lastKept}) end
end
-- One input of the barrier is open again. If it had decided, so is the barrier, and what it feeds.
local function reopen(number, hadFailed)
  local barrier = S.barrierAt(number)
  if not barrier then return end
  S.left = S.left - 1
  local was = barrier.decided
  barrier.decided, barrier.cause, barrier.pending = ${decided.no}, nil, barrier.pending + 1
  if hadFailed then barrier.failed = barrier.failed - 1 end
  S.saveBarrier(barrier)
  if was ~= ${decided.no} and barrier.feeds then reopen(barrier.feeds, was == ${decided.failure}) end
end
-- Calls for the numbers of the barriers of a collection, some at a time, for as long as the call may. True when none is left.
local function eachBarrier(item, see)
  local header = S.headerAt(item.subject)
  if header.isAlone then return true end
  local first = header.base + header.jobCount
  local last = first + header.barrierCount - 1
  while math.max(item.after + 1, first) <= last do
    if S.left <= 0 then return false end
    local from, numbers = math.max(item.after + 1, first), {}
    for number = from, math.min(from + 10 * math.ceil(S.left) - 1, from + 999, last) do numbers[#numbers + 1] = number end
    see(numbers)
    item.after = numbers[#numbers]
    S.left = S.left - #numbers / 10
  end
  return true
end
-- Once all jobs were put back, so that none arrives at a barrier any more.
function S.reopenAll(item)
  return eachBarrier(item, function(numbers)
    for _, number in ipairs(numbers) do
      S.erase(P .. 'n:' .. number)
      S.barriers[number] = nil
    end
    S.flush()
  end)
end
local function takingOf(detail)
  return detail % ${startingNow}, detail % ${insideOf} >= ${startingNow}, math.floor(detail / ${insideOf})
end
-- Puts a job back to waiting, its last attempt into history, and reopens what it feeds.
local function reset(job, round, detail)
  local what, isNow = takingOf(detail)
  S.left = S.left - 1
  local was = job.state
  if was == ${state.running} then S.stops = true end
  if job.started then keepAttempt(job) end
  local isMain = job.role == ${role.main}
  -- What has begun before starts at once; so does everything where that is asked for. What was put back from its pause has it anew.
  if isNow or job.attempt > 0 then job.again, job.due = 1, nil elseif was < ${state.succeeded} and not job.again then job.due = nil end
  job.state, job.round, job.failures, job.crashes, job.version = ${state.waiting}, round, 0, 0, job.version + 1
  job.reason, job.cause, job.marked, job.token, job.session, job.started, job.finished = nil, nil, nil, nil, nil, nil, nil
  job.result = ''
  job.expires = isMain and job.expiresIn and now + job.expiresIn or nil
  -- A main job that continued keeps its canvas, unless everything is to run again; a side branch is called anew.
  if what == ${taking.all} or not isMain then job.continuation = nil end
  for _, kind in ipairs({'f:', 'p:', 'r:'}) do S.erase(P .. kind .. job.seq) end
  if what == ${taking.all} or was == ${state.succeeded} then S.erase(P .. 'notes:' .. job.seq) end
  S.save(job)
  S.tell(job.state, job.collection, job.seq, job.attempt, job.version)
  if job.feeds and was >= ${state.succeeded} and what ~= ${taking.all} then reopen(job.feeds, was ~= ${state.succeeded}) end
end
local function isLost(job)
  return job.role == ${role.main} and job.state > ${state.succeeded}
end
-- It is part of the canvas that the job root continued as, however deep: each job in between was met before it, and put back. Zero: of
-- none.
local function isInside(job, root)
  local at = root > 0 and job.parent
  while at and at ~= root do
    local outer = S.jobAt(at)
    at = outer and outer.state == ${state.waiting} and outer.continuation and outer.parent
  end
  return at == root
end
local function isTaken(job, what)
  if what == ${taking.all} then return true end
  if isLost(job) and what == ${taking.failed} then return true end
  if job.role == ${role.main} then
    if not isLost(job) then return false end
  elseif job.state == ${state.waiting} and not job.continuation then return false end
  local barrier = job.behind and S.barrierAt(job.behind)
  return barrier and barrier.decided == ${decided.no}
end
function S.resetMembers(item)
  local header = S.headerAt(item.subject)
  local what, _, root = takingOf(item.detail)
  return S.eachMember(item, item.subject, function(job)
    if job.archived then return end
    if isOfForgotten(job) then archive(job, header.round)
    elseif isTaken(job, what) or (isLost(job) and isInside(job, root)) then reset(job, header.round, item.detail) end
  end)
end

-- ── going on ──

-- The barriers that decided at submission, and the one that held back an uploaded graph.
local function decideAmong(numbers)
  S.loadBarriers(numbers)
  for _, number in ipairs(numbers) do
    local barrier = S.barriers[number]
    if barrier and barrier.inputs == 0 and barrier.decided == ${decided.no} then S.decideBarrier(number) end
  end
end
function S.decideEmpty(item)
  local header = S.headerAt(item.subject)
  if item.after == 0 and not header.isAlone then decideAmong({header.base - 1}) end
  return eachBarrier(item, decideAmong)
end
function S.restartMembers(item)
  return S.eachMember(item, item.subject, function(job)
    if job.archived or job.state ~= ${state.waiting} then return end
    if job.continuation then S.settleParkedIfOver(job) else S.letGoIfFree(job) end
  end)
end

-- ── what is asked for ──

local function isBlocked(job)
  if not job.behind or job.role ~= ${role.main} then return false end
  local barrier = S.barrierAt(job.behind)
  return not barrier or barrier.decided ~= ${decided.success}
end
-- The jobs whose canvas this one belongs to: they failed with it. A worker lets no more than 100 continue within each other.
local function around(job, found)
  local parent = job.parent and S.jobAt(job.parent)
  if parent then
    found[#found + 1] = parent
    around(parent, found)
  end
end
local function retryJob(job, expectedRound, added)
  local header = S.headerAt(job.collection)
  if header.round ~= expectedRound then return 'round' end
  if job.state < ${state.succeeded} or job.archived then return 'running' end
  if job.state == ${state.succeeded} then return 'succeeded' end
  if S.isCancelling(header.number) then return 'cancelling' end
  if isBlocked(job) then return 'blocked' end
  if stateOf(header) ~= 'running' and not S.takeUniqueAgain(header) then return 'unique' end
  -- A side branch changes nothing about its collection, which may stay settled.
  if job.role == ${role.main} then beginRound(header) end
  S.noticeRetry(header.number)
  local detail, seeds = ${taking.heldUp} + added, {job}
  around(job, seeds)
  local inside = job.continuation and ${insideOf} * job.seq or 0
  for _, seed in ipairs(seeds) do reset(seed, header.round, detail) end
  S.later(${work.reset}, job.collection, detail + inside)
  S.later(${work.restart}, job.collection, detail)
  return 'retried'
end
function S.retry(id, isCollection, expectedRound, detail)
  local what = takingOf(detail)
  local header, job = S.select(id, isCollection)
  if job then return retryJob(job, expectedRound, detail - what) end
  if not header then return 'not-found' end
  if header.round ~= expectedRound then return 'round' end
  local settled = stateOf(header)
  if settled == 'running' then return S.isCancelling(header.number) and 'cancelling' or 'running' end
  if settled == 'succeeded' and what == ${taking.failed} then return 'succeeded' end
  if not S.takeUniqueAgain(header) then return 'unique' end
  beginRound(header)
  S.noticeRetry(header.number)
  S.later(${work.reset}, header.number, detail)
  if what == ${taking.all} then
    S.later(${work.reopen}, header.number)
    S.later(${work.decide}, header.number)
  end
  S.later(${work.restart}, header.number, detail)
  return 'retried'
end
`,
  members,
  removal,
  uniqueKeys,
)
