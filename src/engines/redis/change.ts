import { reason, role, state, work } from '../../engine/codes.ts'
import { journal } from './journal.ts'
import { leaving } from './leaving.ts'
import { library } from './scripts.ts'
import { workingSet } from './working-set.ts'

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
export const changes = library(
  `
function S.later(kind, subject, detail, after)
  S.pending[#S.pending + 1] = {kind = kind, subject = subject, detail = detail or 0, after = after or 0}
end
function S.arrivalsAt(barrier)
  local at = S.arrivals[barrier]
  if not at then
    at = {count = 0, failed = 0}
    S.arrivals[barrier] = at
  end
  return at
end
function S.arrive(barrier, succeeded, cause)
  local at = S.arrivalsAt(barrier)
  at.count = at.count + 1
  if succeeded then return end
  at.failed = at.failed + 1
  at.cause = at.cause or cause
end

function S.takeNumbers(count)
  return call('INCRBY', P .. 'numbers', count) - count + 1
end

local function parseHeader(number, row, standing)
  local base, jobCount, barrierCount, exit
  if row then
    base, jobCount, barrierCount, exit = string.match(row, '^%d+,(%d+),(%d+),(%d+),(%d+)')
    if not isSpan(base, jobCount, barrierCount) then base = S.damaged('collection', number) end
  end
  if not base then
    local job = S.jobAt(number)
    return {number = number, isAlone = true, round = job and job.round or 1, cancelledAt = job and job.marked}
  end
  base = tonumber(base)
  local header = {number = number, state = 0, round = 1, base = base, jobCount = tonumber(jobCount),
    barrierCount = tonumber(barrierCount), exit = base + exit}
  if standing then
    local state, round, settled, cancelled, removed = string.match(standing, '^(%d),(%d+),(%d*),(%d*),(%d*)')
    if not state then
      S.damaged('collection', number)
      return header
    end
    header.state, header.round, header.settledAt, header.cancelledAt, header.removedAt =
      tonumber(state), tonumber(round), tonumber(settled), tonumber(cancelled), tonumber(removed)
  end
  return header
end
function S.loadHeaders(numbers)
  local wanted, names = {}, {}
  for _, number in ipairs(numbers) do
    if not S.headers[number] then
      wanted[#wanted + 1] = number
      names[2 * #wanted - 1], names[2 * #wanted] = P .. 'c:' .. S.digits[number], P .. 'k:' .. S.digits[number]
    end
  end
  if #wanted == 0 then return end
  local rows = many('MGET', nil, names)
  for at, number in ipairs(wanted) do S.headers[number] = parseHeader(number, rows[2 * at - 1], rows[2 * at]) end
end
function S.headerAt(number)
  if not S.headers[number] then S.loadHeaders({number}) end
  return S.headers[number]
end
function S.saveHeader(header)
  S.put(P .. 'k:' .. header.number, header.state .. ',' .. header.round .. ',' .. (header.settledAt or '') .. ',' ..
    (header.cancelledAt or '') .. ',' .. (header.removedAt or ''))
end

local cancelling = {}
function S.isCancelling(collection)
  if S.anyCancelling == 'unknown' then S.anyCancelling = call('EXISTS', P .. 'cancelling') == 1 end
  if not S.anyCancelling then return false end
  if cancelling[collection] == nil then cancelling[collection] = call('SISMEMBER', P .. 'cancelling', collection) == 1 end
  return cancelling[collection]
end
function S.noteCancelling(collection, isIt)
  if S.isCancelling(collection) == isIt then return end
  call(isIt and 'SADD' or 'SREM', P .. 'cancelling', collection)
  cancelling[collection] = isIt
  if isIt then S.anyCancelling = true end
end

function S.hasUniqueKeys()
  if S.anyUnique == 'unknown' then S.anyUnique = call('EXISTS', P .. 'holds') == 1 end
  return S.anyUnique
end
-- The key that a collection holds until it started or settled; only where it is held that long.
function S.releaseUnique(collection, only)
  if not S.hasUniqueKeys() then return end
  local key = call('HGET', P .. 'holds', collection)
  if not key then return end
  local holder, till = string.match(call('HGET', P .. 'unique', key) or '', '^(%d+),(%a+)')
  if holder == tostring(collection) then
    if only and till ~= only then return end
    call('HDEL', P .. 'unique', key)
  end
  call('HDEL', P .. 'holds', collection)
end

-- Of many collections that have started: nothing more is looked up of those that hold none.
function S.releaseStarted(collections)
  if not S.hasUniqueKeys() then return end
  local held = many('HMGET', P .. 'holds', collections)
  for n, collection in ipairs(collections) do
    if held[n] then S.releaseUnique(collection, 'started') end
  end
end

-- The job that a fail-fast scope failed by: what it cancelled tells that one's failure.
S.scopeCauses, S.scopesBegun = {}, {}
local function causeOfScope(job)
  local scope = job.scope
  if not scope then return nil end
  if S.scopeCauses[scope] == nil then
    S.scopeCauses[scope] = false
    for _, member in ipairs(S.ask('scope number ' .. scope, 'ZRANGE', P .. 'scope:' .. scope, 0, -1) or {}) do
      local first = S.jobAt(tonumber(string.sub(member, 2)))
      if first and (first.state == ${state.failed} or first.state == ${state.cancelled}) and first.reason ~= ${reason.failFast} and not first.archived then
        S.scopeCauses[scope] = first.cause or false
        break
      end
    end
  end
  return S.scopeCauses[scope] or nil
end
-- The first failed or cancelled main job of a scope cancels the rest.
local function failScope(job)
  if job.reason == ${reason.failFast} or job.state == ${state.skipped} then return end
  S.ask('scope number ' .. job.scope, 'ZADD', P .. 'scope:' .. job.scope, now, S.place(job.seq))
  if S.scopesBegun[job.scope] then return end
  S.scopesBegun[job.scope] = true
  S.later(${work.cancelScope}, job.scope, job.collection)
end

-- Readers know that a job alone settles its collection with its end. The round is said where it is not the first.
local function settledAlone(job)
  S.releaseUnique(job.seq)
  S.leaveAgain(job.seq)
  S.noteCancelling(job.seq, false)
  if job.round > 1 then S.tellCollection(math.min(job.state - 3, 3), job.seq, job.round) end
end
function S.ended(job)
  S.tell(job.state, job.collection, job.seq, job.attempt, job.version)
  if job.feeds then S.arrive(job.feeds, job.state == ${state.succeeded}, job.cause) end
  if job.collection == job.seq then settledAlone(job)
  -- Its collection may have settled before, and could not be removed for it.
  elseif job.role ~= ${role.main} then S.leaveAgain(job.collection) end
  if job.scope and job.role == ${role.main} and job.state ~= ${state.succeeded} then failScope(job) end
end
function S.endJob(job, state, reason, cause, failure, isSettled)
  S.left = S.left - 1
  if reason == ${reason.failFast} then cause = causeOfScope(job) or cause end
  if state == ${state.failed} and failure and (isSettled or reason == ${reason.timeout}) then job.failures = job.failures + 1 end
  if failure then S.put(P .. 'f:' .. job.seq, failure) end
  -- One that has not begun is held again by a retry: until the same instant, or not at all where that has come.
  local isUnbegun = job.attempt == 0 and not isSettled
  if not isUnbegun or job.state > ${state.scheduled} then job.due = nil end
  if isUnbegun and job.state == ${state.queued} and (job.startIn or job.startAt) then job.again = 1 end
  job.state, job.reason, job.cause, job.finished, job.version = state, reason, cause, now, job.version + 1
  if not isSettled then job.token = nil end
  S.save(job)
  S.ended(job)
end
`,
  journal,
  leaving,
  workingSet,
)
