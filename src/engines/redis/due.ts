import { reason, state } from '../../engine/codes.ts'
import { movedPerCall } from '../../engine/limits.ts'
import { changes } from './change.ts'
import { calm } from './calm.ts'
import { library } from './scripts.ts'

/**
 * `nextDueAt()`; `releaseDue()` queues the jobs whose time has come; `expire()` cancels those that did not start in time: after a gap in
 * time, only once it is sure that the clock is right.
 */
export const dueJobs = library(
  `
function S.nextDueAt()
  local first = call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')
  return tonumber(first[2])
end
local function thoseIn(key)
  local found = call('ZRANGEBYSCORE', P .. key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, ${movedPerCall})
  local numbers, at = {}, {}
  for place = 1, #found, 2 do
    local seq = numberIn(found[place])
    if seq then numbers[#numbers + 1], at[seq] = seq, tonumber(found[place + 1])
    else call('ZREM', P .. key, found[place]) end
  end
  -- Of the same instant Redis sorts members as texts, 10 before 9: another job of a graph would be the cause than elsewhere.
  table.sort(numbers, function(one, other)
    if at[one] == at[other] then return one < other end
    return at[one] < at[other]
  end)
  S.loadJobs(numbers)
  return numbers
end
function S.releaseDue()
  local due = S.nextDueAt()
  if not due or due > now then return 0 end
  local moved = 0
  for _, seq in ipairs(thoseIn('due')) do
    local job = S.jobAt(seq)
    if job and job.state == ${state.scheduled} then
      job.state, job.due, job.version = ${state.queued}, nil, job.version + 1
      S.save(job)
      S.tell(job.state, job.collection, seq, job.attempt, job.version)
      moved = moved + 1
    else S.remove('due', seq) end
  end
  return moved
end
function S.expire()
  local lapses = tonumber(call('ZRANGE', P .. 'expiring', 0, 0, 'WITHSCORES')[2])
  if not lapses or lapses > now or S.isCalm() then return end
  for _, seq in ipairs(thoseIn('expiring')) do
    local job = S.jobAt(seq)
    if job and (job.state == ${state.scheduled} or job.state == ${state.queued}) then
      S.try('job number ' .. job.digits, S.endJob, job, ${state.cancelled}, ${reason.expired}, seq)
    else S.remove('expiring', seq) end
  end
end
`,
  changes,
  calm,
)
