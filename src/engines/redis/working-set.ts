import { role, state } from '../../engine/codes.ts'
import { damage } from './damage.ts'
import { indexes } from './indexes.ts'
import { defaultQueue } from '../../engine/queues.ts'
import { library } from './scripts.ts'

/**
 * `jobAt(n)`, `loadJobs(list)`: jobs as tables, read once for each script; false where there is none. `save(job)` after a change;
 * `flush()` then writes the rows, and moves the job between the sorted sets and sets that say who is queued, due, running …: what it was
 * in follows from how it stood when it was read. So whoever changes a job only says how it stands.
 *
 * `barrierAt(n)`, `loadBarriers(list)`, `saveBarrier(barrier)`: the same. `eachOf(runs, base, after, see)` calls for each number of
 * runs that is greater than `after`, until it answers true.
 *
 * A row that is damaged is as good as none: nothing else is held up by it (see damage.ts).
 *
 * `put(key, text)` writes a text with the next flush, `erase(key)` removes one.
 */
export const workingSet = library(
  `
local fullHead = '^(%d+),(%d+),(%d+),(%d*),(%d+),(%d*),(%d+),(%d),(%-?%d*),(%d),(%d*),(%d*),(%d*),(%-?%d*),(%d*),(%d*),(%-?%d+),([^\\n]*)\\n([^\\n]*)\\n'
local often = '^(%d),(%d+),(%d+),(%d*),(%d*),(%d*),(%d*)()'
local seldom = '^;(%d+),(%d+),(%d+),(%-?%d*),(%d*),(%d*),(%d*),(%d*),(%d*),(%d*),(%d*)()'

function S.put(key, text)
  S.writes[#S.writes + 1] = key
  S.writes[#S.writes + 1] = text
end

function S.erase(key)
  S.erased[#S.erased + 1] = key
end

function S.idOf(job)
  return string.match(job.row, '^[^\\n]*\\n[^\\n]*\\n([^\\n]*)')
end

-- With all that a job may ever say about itself: a table that grows by and by costs more than the rest.
local function newJob(seq, row)
  return {
    seq = seq, row = row, digits = S.digits[seq], text = false, isChanged = false, isPopped = false,
    created = 0, base = seq, collection = seq, parent = nil, depth = 0, scope = nil, firstRound = 1, role = ${role.main},
    behind = nil, fit = 0, feeds = nil, startIn = nil, startAt = nil, expiresIn = nil, timeout = nil, priority = 0, input = '',
    queue = '', state = ${state.queued}, version = 1, attempt = 0, token = nil, session = nil, started = nil, finished = nil,
    round = 1, failures = 0, crashes = 0, due = nil, expires = nil, firstExpires = nil, marked = nil, reason = nil, cause = nil,
    continuation = nil, archived = nil, again = nil, result = '', wasState = 0, wasDue = nil, wasSession = nil, wasStarted = nil,
    wasSuspect = false, wasExpires = nil, wasMarked = nil
  }
end
local function readHead(job, row)
  local created, base, collection, parent, depth, scope0, round, role, behind, fit, feeds, scope, startIn, startAt, expires, timeout, priority, input, queue =
    string.match(row, fullHead)
  if not base then return false end
  base = tonumber(base)
  job.created, job.base, job.collection, job.input, job.queue = tonumber(created), base, tonumber(collection), input, queue
  if behind ~= '' then job.behind = base + behind end
  if feeds ~= '' then job.feeds = base + feeds end
  if fit ~= '0' then job.fit = tonumber(fit) end
  if priority ~= '0' then job.priority = tonumber(priority) end
  if timeout ~= '' then job.timeout = tonumber(timeout) end
  if startIn ~= '' then job.startIn = tonumber(startIn) end
  if startAt ~= '' then job.startAt = tonumber(startAt) end
  if parent ~= '' then job.parent, job.depth = tonumber(parent), tonumber(depth) end
  if round ~= '1' then job.firstRound = tonumber(round) end
  if expires ~= '' then
    job.expiresIn = tonumber(expires)
    job.expires = job.created + job.expiresIn
    job.firstExpires = job.expires
  end
  if role ~= '${role.main}' then job.role = tonumber(role)
  elseif scope0 ~= '' then job.scope = tonumber(scope0)
  elseif scope ~= '' then job.scope = base + scope end
  return true
end

function S.readSeldom(job, row, from)
  local round, failures, crashes, due, expires, marked, reason, cause, continuation, archived, again, to = string.match(row, seldom, from)
  job.round, job.failures, job.crashes, job.due, job.expires, job.marked =
    tonumber(round), tonumber(failures), tonumber(crashes), tonumber(due), tonumber(expires), tonumber(marked)
  job.reason, job.cause, job.continuation, job.archived, job.again =
    tonumber(reason), tonumber(cause), tonumber(continuation), tonumber(archived), tonumber(again)
  return to
end

local function readStanding(job, row)
  local state, version, attempt, token, session, started, finished, to = string.match(row, often)
  if not state then return false end
  job.state, job.version, job.attempt = tonumber(state), tonumber(version), tonumber(attempt)
  if token ~= '' then job.token = token end
  job.session, job.started, job.finished = tonumber(session), tonumber(started), tonumber(finished)
  if string.byte(row, to) == 59 then to = S.readSeldom(job, row, to) end
  if not to or job.state > ${state.skipped} or (job.session and not job.started) then return false end
  job.result = string.sub(row, to)
  return true
end

function S.note(job)
  job.wasState, job.wasDue, job.wasSession, job.wasStarted = job.state, job.due, job.session, job.started
  job.wasSuspect, job.wasExpires, job.wasMarked = job.crashes > 0, job.expires, job.marked
end

function S.parse(seq, row, standing)
  local job = newJob(seq, row)
  if string.find(row, '^%d+,') then
    if not readHead(job, row) then return S.damaged('job', seq) end
  else
    local created, queue = string.match(row, '^(%d+)\\n([^\\n]*)\\n')
    if not created then return S.damaged('job', seq) end
    job.created, job.queue = tonumber(created), queue
  end
  if job.queue == '' then job.queue = '${defaultQueue}' end
  job.round = job.firstRound
  if standing then
    if not readStanding(job, standing) then return S.damaged('job', seq) end
  elseif job.behind then job.state = ${state.waiting} end
  S.note(job)
  return job
end

function S.loadJobs(list)
  local wanted, heads, standings = {}, {}, {}
  for _, seq in ipairs(list) do
    if S.jobs[seq] == nil then
      local at = #wanted + 1
      S.jobs[seq] = false
      wanted[at], heads[at], standings[at] = seq, P .. 'j:' .. S.digits[seq], P .. 's:' .. S.digits[seq]
    end
  end
  if #wanted == 0 then return end
  -- What has been written ahead must be read as it stands.
  if S.isAhead then S.flush() end
  heads, standings = many('MGET', nil, heads), many('MGET', nil, standings)
  for at, seq in ipairs(wanted) do
    if heads[at] then S.jobs[seq] = S.parse(seq, heads[at], standings[at]) end
  end
end
function S.jobAt(seq)
  if S.jobs[seq] == nil then S.loadJobs({seq}) end
  return S.jobs[seq]
end

function S.save(job)
  if job.isChanged then return end
  job.isChanged = true
  S.changedJobs[#S.changedJobs + 1] = job
end

function S.standingText(job)
  local text = S.digits[job.state] .. ',' .. S.digits[job.version] .. ',' .. S.digits[job.attempt] .. ',' .. (job.token or '') .. ',' ..
    (job.session and S.digits[job.session] or '') .. ',' .. (job.started and S.digits[job.started] or '') .. ',' ..
    (job.finished and S.digits[job.finished] or '')
  if job.round ~= job.firstRound or job.failures > 0 or job.crashes > 0 or job.due or job.expires ~= job.firstExpires or job.marked or
    job.reason or job.cause or job.continuation or job.archived or job.again then
    text = text .. ';' .. table.concat({job.round, job.failures, job.crashes, job.due or '', job.expires or '', job.marked or '',
      job.reason or '', job.cause or '', job.continuation or '', job.archived or '', job.again or ''}, ',')
  end
  return text .. job.result
end

function S.parseBarrier(number, row, standing)
  local digits, collection, parent, jobCount, barrierCount, inputs, feeds, gate, isExit, runs =
    string.match(row, '^(%d+),(%d+),(%d*),(%d+),(%d+),(%d+),(%d*),(%d*),(%d)\\n(.*)$')
  local base = tonumber(digits)
  local pending, failed, decided, cause = inputs, '0', '0', ''
  if standing then pending, failed, decided, cause = string.match(standing, '^(%d+),(%d+),(%d),(%d*)') end
  if not base or not pending or not isSpan(digits, jobCount, barrierCount) then return S.damaged('barrier', number) end
  local continues = nil
  if isExit == '1' and parent ~= '' then continues = tonumber(parent) end
  return {
    number = number, base = base, collection = tonumber(collection), jobCount = tonumber(jobCount), barrierCount = tonumber(barrierCount),
    inputs = tonumber(inputs), feeds = feeds ~= '' and base + feeds or nil, gate = gate ~= '' and base + gate or nil,
    continues = continues, settles = isExit == '1' and parent == '', runs = runs, isChanged = false,
    pending = tonumber(pending), failed = tonumber(failed), decided = tonumber(decided), cause = tonumber(cause)
  }
end
function S.loadBarriers(list)
  local wanted, heads, standings = {}, {}, {}
  for _, number in ipairs(list) do
    if S.barriers[number] == nil then
      local at = #wanted + 1
      S.barriers[number] = false
      wanted[at], heads[at], standings[at] = number, P .. 'b:' .. S.digits[number], P .. 'n:' .. S.digits[number]
    end
  end
  if #wanted == 0 then return end
  if S.isAhead then S.flush() end
  heads, standings = many('MGET', nil, heads), many('MGET', nil, standings)
  for at, number in ipairs(wanted) do
    if heads[at] then S.barriers[number] = S.parseBarrier(number, heads[at], standings[at]) end
  end
end
function S.barrierAt(number)
  if S.barriers[number] == nil then S.loadBarriers({number}) end
  return S.barriers[number]
end
function S.saveBarrier(barrier)
  if barrier.isChanged then return end
  barrier.isChanged = true
  S.changedBarriers[#S.changedBarriers + 1] = barrier
end

-- Runs of the jobs behind it, of the jobs that feed it, and of the barriers that feed it.
function S.runsOf(barrier)
  if barrier.runs == '\\r' then barrier.runs = S.textAt('l:' .. barrier.number) or '' end
  local behind, jobs, barriers = string.match(barrier.runs, '^([^\\n]*)\\n([^\\n]*)\\n([^\\n]*)$')
  if behind then return behind, jobs, barriers end
  S.damaged('barrier', barrier.number)
  return '', '', ''
end
function S.eachOf(runs, base, after, see)
  for first, last, step in string.gmatch(runs, '(%d+)%-?(%d*)/?(%d*)') do
    local isSound = isSpan('0', first, last)
    first, last, step = base + first, base + (last == '' and first or last), math.max(tonumber(step) or 1, 1)
    if isSound and last > after then
      if first <= after then first = first + (math.floor((after - first) / step) + 1) * step end
      for number = first, last, step do
        if see(number) then return true end
      end
    end
  end
end

function S.flush()
  S.isAhead = false
  for _, job in ipairs(S.changedJobs) do
    job.text = S.standingText(job)
    S.put(P .. 's:' .. job.digits, job.text)
    S.reindex(job)
    S.note(job)
    job.isChanged, job.isPopped = false, false
  end
  for _, barrier in ipairs(S.changedBarriers) do
    S.put(P .. 'n:' .. S.digits[barrier.number],
      S.digits[barrier.pending] .. ',' .. S.digits[barrier.failed] .. ',' .. S.digits[barrier.decided] .. ',' .. (barrier.cause or ''))
    barrier.isChanged = false
  end
  change('DEL', nil, S.erased)
  change('MSET', nil, S.writes)
  S.flushIndexes()
  S.changedJobs, S.changedBarriers, S.writes, S.erased = {}, {}, {}, {}
end
`,
  damage,
  indexes,
)
