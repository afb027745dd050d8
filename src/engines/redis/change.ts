import { reason, role, state, work } from './codes.ts'
import { journal } from './journal.ts'
import { part } from './scripts.ts'
import { workingSet } from './working-set.ts'

/** A call touches at most about so many rows; the rest is done later, from the list in `work`. */
export const rowsPerCall = 1_000

/**
 * What a writing script knows while it runs, and what it still has to see to before it ends.
 *
 * ```
 * left                        how many more rows this call may touch
 * later(kind, subject, detail, after)   to be done in this call, if there is room, or in one that follows
 * arrive(barrier, succeeded, cause)     an input of it became final: counted down by settleBarriers
 * headerAt(collection)        its number, round, cancelledAt, isAlone; and its row as it stands (saveHeader)
 * isCancelling(collection)    it was cancelled in this round
 * endJob(job, state, reason, cause, failure, isSettled)   makes a job final, and everything that follows from that.
 *                             failure: its own, as text. isSettled: its worker said so, so the token stays for it to say so again
 * ended(job)                  what follows, the job being final already
 * ```
 */
export const changes = part(
  `
local left = ${rowsPerCall}
local pending, arrivals = {}, {}
local function later(kind, subject, detail, after)
  pending[#pending + 1] = {kind = kind, subject = subject, detail = detail or 0, after = after or 0}
end
local function arrivalsAt(barrier)
  local at = arrivals[barrier]
  if not at then
    at = {count = 0, failed = 0}
    arrivals[barrier] = at
  end
  return at
end
local function arrive(barrier, succeeded, cause)
  local at = arrivalsAt(barrier)
  at.count = at.count + 1
  if succeeded then return end
  at.failed = at.failed + 1
  at.cause = at.cause or cause
end

local function takeNumbers(count)
  return call('INCRBY', P .. 'numbers', count) - count + 1
end

local headers = {}
local function readHeader(number)
  local row, standing = unpack(call('MGET', P .. 'c:' .. number, P .. 'k:' .. number))
  if not row then
    local job = jobAt(number)
    return {number = number, isAlone = true, round = job and job.round or 1, cancelledAt = job and job.marked}
  end
  local base, jobCount, barrierCount, exit = string.match(row, '^%d+,(%d+),(%d+),(%d+),(%d+)')
  base = tonumber(base)
  local header = {number = number, state = 0, round = 1, base = base, jobCount = tonumber(jobCount),
    barrierCount = tonumber(barrierCount), exit = base + exit}
  if standing then
    local state, round, settled, cancelled, removed = string.match(standing, '^(%d),(%d+),(%d*),(%d*),(%d*)')
    header.state, header.round, header.settledAt, header.cancelledAt, header.removedAt =
      tonumber(state), tonumber(round), tonumber(settled), tonumber(cancelled), tonumber(removed)
  end
  return header
end
local function headerAt(number)
  if not headers[number] then headers[number] = readHeader(number) end
  return headers[number]
end
local function saveHeader(header)
  put(P .. 'k:' .. header.number, header.state .. ',' .. header.round .. ',' .. (header.settledAt or '') .. ',' ..
    (header.cancelledAt or '') .. ',' .. (header.removedAt or ''))
end

local cancelling, anyCancelling = {}, nil
local function isCancelling(collection)
  if anyCancelling == nil then anyCancelling = call('EXISTS', P .. 'cancelling') == 1 end
  if not anyCancelling then return false end
  if cancelling[collection] == nil then cancelling[collection] = call('SISMEMBER', P .. 'cancelling', collection) == 1 end
  return cancelling[collection]
end
local function noteCancelling(collection, isIt)
  if isCancelling(collection) == isIt then return end
  call(isIt and 'SADD' or 'SREM', P .. 'cancelling', collection)
  cancelling[collection] = isIt
  if isIt then anyCancelling = true end
end

local anyUnique = nil
local function hasUniqueKeys()
  if anyUnique == nil then anyUnique = call('EXISTS', P .. 'holds') == 1 end
  return anyUnique
end
-- The key that a collection holds until it started or settled; only where it is held that long.
local function releaseUnique(collection, only)
  if not hasUniqueKeys() then return end
  local key = call('HGET', P .. 'holds', collection)
  if not key then return end
  local holder, till = string.match(call('HGET', P .. 'unique', key) or '', '^(%d+),(%a+)')
  if holder == tostring(collection) then
    if only and till ~= only then return end
    call('HDEL', P .. 'unique', key)
  end
  call('HDEL', P .. 'holds', collection)
end

-- The job that a fail-fast scope failed by: what it cancelled tells that one's failure.
local scopeCauses, scopesBegun = {}, {}
local function causeOfScope(job)
  local scope = job.scope
  if not scope then return nil end
  if scopeCauses[scope] == nil then
    scopeCauses[scope] = false
    for _, member in ipairs(call('ZRANGE', P .. 'scope:' .. scope, 0, -1)) do
      local first = jobAt(tonumber(string.sub(member, 2)))
      if first and (first.state == ${state.failed} or first.state == ${state.cancelled}) and first.reason ~= ${reason.failFast} and not first.archived then
        scopeCauses[scope] = first.cause or false
        break
      end
    end
  end
  return scopeCauses[scope] or nil
end
-- The first failed or cancelled main job of a scope cancels the rest.
local function failScope(job)
  if job.reason == ${reason.failFast} or job.state == ${state.skipped} then return end
  call('ZADD', P .. 'scope:' .. job.scope, now, place(job.seq))
  if scopesBegun[job.scope] then return end
  scopesBegun[job.scope] = true
  later(${work.cancelScope}, job.scope, job.collection)
end

-- Readers know that a job alone settles its collection with its end. The round is said where it is not the first.
local function settledAlone(job)
  releaseUnique(job.seq)
  noteCancelling(job.seq, false)
  if job.round > 1 then tellCollection(math.min(job.state - 3, 3), job.seq, job.round) end
end
local function ended(job)
  tell(job.state, job.collection, job.seq, job.attempt, job.version)
  if job.feeds then arrive(job.feeds, job.state == ${state.succeeded}, job.cause) end
  if job.collection == job.seq then settledAlone(job) end
  if job.scope and job.role == ${role.main} and job.state ~= ${state.succeeded} then failScope(job) end
end
local function endJob(job, state, reason, cause, failure, isSettled)
  left = left - 1
  if reason == ${reason.failFast} then cause = causeOfScope(job) or cause end
  if state == ${state.failed} and failure and (isSettled or reason == ${reason.timeout}) then job.failures = job.failures + 1 end
  if failure then put(P .. 'f:' .. job.seq, failure) end
  job.state, job.reason, job.cause, job.finished, job.version = state, reason, cause, now, job.version + 1
  if not isSettled then job.token = nil end
  job.due = nil
  save(job)
  ended(job)
end
`,
  journal,
  workingSet,
)
