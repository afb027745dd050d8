import { reason, state } from '../../engine/codes.ts'
import { changes } from './change.ts'
import { library } from './scripts.ts'

/** At most so many due or expired jobs are moved by one claim. */
const movedPerCall = 500
/** `nextDueAt()`; `releaseDue()` queues the jobs whose time has come; `expire()` cancels those that did not start in time. */
export const dueJobs = library(
  `
function S.nextDueAt()
  local first = call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')
  return tonumber(first[2])
end
local function thoseIn(key)
  local numbers = call('ZRANGEBYSCORE', P .. key, '-inf', now, 'LIMIT', 0, ${movedPerCall})
  for at = 1, #numbers do numbers[at] = tonumber(numbers[at]) end
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
  for _, seq in ipairs(thoseIn('expiring')) do
    local job = S.jobAt(seq)
    if job and (job.state == ${state.scheduled} or job.state == ${state.queued}) then
      S.endJob(job, ${state.cancelled}, ${reason.expired}, seq)
    else S.remove('expiring', seq) end
  end
end
`,
  changes,
)
