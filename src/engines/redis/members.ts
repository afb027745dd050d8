import { cascade } from './cascade.ts'
import { reason, role, state, work } from '../../engine/codes.ts'
import { library } from './scripts.ts'

/**
 * ```
 * select(id, isCollection)    a collection's header, or nil and a job, by the id that people know; a job alone is its own collection
 * cancelCollection(header)    marks the collection at once; its jobs follow, some in this call
 * cancelJob(job, why)
 * eachMember(item, collection, step)    calls for its jobs in the order of their numbers, for as long as the call may; item.after says how
 *                             far it came. True when none is left
 * cancelMembers(item, collection, scope)    its main jobs, or only those of one fail-fast scope
 * cancelInside(item)          what a job continued as
 * ```
 */
export const members = library(
  `
function S.select(id, isCollection)
  local number = tonumber(call('HGET', P .. 'ids', id))
  if not number then return nil end
  if isCollection then
    local header = S.headerAt(number)
    if not header.isAlone then
      if header.removedAt then return nil end
      return header
    end
  end
  local job = S.jobAt(number)
  if not job or (isCollection and job.collection ~= number) then return nil end
  if job.collection == number then return S.headerAt(number) end
  if S.headerAt(job.collection).removedAt then return nil end
  return nil, job
end

function S.cancelCollection(header)
  local own = header.isAlone and S.jobAt(header.number)
  if own and own.state >= ${state.succeeded} or not own and header.state ~= 0 then return 'final' end
  if not S.isCancelling(header.number) then
    if own then
      own.marked, own.reason = now, ${reason.cancelled}
      S.save(own)
    else
      header.cancelledAt = now
      S.saveHeader(header)
    end
    S.noteCancelling(header.number, true)
    S.later(${work.cancel}, header.number)
  end
  if own and (own.state == ${state.scheduled} or own.state == ${state.queued}) then return 'cancelled' end
  return 'marked'
end

local function pageOf(item, span)
  local numbers = {}
  local from = math.max(span.first, item.after + 1)
  for seq = from, math.min(from + math.max(math.ceil(S.left), 1) - 1, span.last) do numbers[#numbers + 1] = seq end
  S.loadJobs(numbers)
  return numbers
end
local function stepIn(item, span, see)
  while math.max(item.after + 1, span.first) <= span.last do
    if S.left <= 0 then return false end
    for _, seq in ipairs(pageOf(item, span)) do
      local job = S.jobAt(seq)
      if job then see(job) end
      item.after = seq
      S.left = S.left - 0.1 -- reading costs a tenth of writing
    end
  end
end
function S.eachMember(item, collection, see)
  return S.eachSpan(collection, item, function(span) return stepIn(item, span, see) end) ~= false
end

local function cancelOne(job, why)
  if job.state >= ${state.succeeded} then return end
  if job.state == ${state.scheduled} or job.state == ${state.queued} then return S.endJob(job, ${state.cancelled}, why, job.seq) end
  if not job.marked or job.seq == job.collection then
    S.left = S.left - 1
    job.marked, job.reason = job.marked or now, why
    S.save(job)
  end
  if job.state == ${state.running} then S.stops = true end
end
function S.cancelJob(job, why)
  if job.state >= ${state.succeeded} then return 'final' end
  local was = job.state
  cancelOne(job, why)
  if job.continuation then S.later(${work.cancelInside}, job.seq) end
  return (was == ${state.scheduled} or was == ${state.queued}) and 'cancelled' or 'marked'
end
function S.cancelMembers(item, collection, scope)
  return S.eachMember(item, collection, function(job)
    if job.role ~= ${role.main} or job.archived or (scope and job.scope ~= scope) then return end
    -- What waits in a cancelled collection goes by the collection's mark; in a scope each job carries its own.
    if not scope and job.state == ${state.waiting} then return end
    cancelOne(job, scope and ${reason.failFast} or ${reason.cancelled})
  end)
end
function S.cancelInside(item)
  local around = S.jobAt(item.subject)
  local barrier = around and around.continuation and S.barrierAt(around.continuation)
  if not barrier then return true end
  return stepIn(item, {first = barrier.base, last = barrier.base + barrier.jobCount - 1}, function(job)
    if not job.archived then S.cancelJob(job, ${reason.cancelled}) end
  end) ~= false
end
`,
  cascade,
)
