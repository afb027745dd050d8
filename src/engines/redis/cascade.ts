import { changes } from './change.ts'
import { collectionState, decided, reason, role, state, when, work } from '../../engine/codes.ts'
import { graphsAtOnce, inputsAtOnce } from '../../engine/limits.ts'
import { defaultQueue } from '../../engine/queues.ts'
import { library } from './scripts.ts'

/**
 * What a barrier came to, as the jobs behind it see it, is a decision: succeeded; began (the canvas that the barrier closes had begun: only
 * then do its side branches run on failure); cause.
 *
 * ```
 * settleBarriers()            counts down every barrier that something arrived at, decides those that came to zero, lets go what
 *                             stands behind them, and so on outward
 * decideBarrier(barrier)      has one decided that nothing needs to arrive at
 * decideBySearch(item)        goes on with one whose cause has to be looked for; true when it has decided
 * standingDecision(barrier)   of one that has decided
 * letGoIfFree(job)            lets go a waiting job if nothing holds it up (any more)
 * settleParkedIfOver(job)     settles a parked job whose canvas is over already
 * releaseRest(item)           goes on where a call had to leave jobs behind a decided barrier waiting; true when none is left
 * eachSpan(collection, item, see)   calls for { first, last } of the numbers of its jobs, in order, some of them behind item.after, until it
 *                             answers something, and gives that. There is one for each continuation: some are read at a time
 * ```
 */
export const cascade = library(
  `
function S.decideBarrier(number)
  S.arrivalsAt(number)
end

local function addSpans(spans, graphs)
  for _, graph in ipairs(graphs) do
    local base, jobCount, barrierCount = string.match(graph, '^(%d+),(%d+),(%d+)')
    if isSpan(base, jobCount, barrierCount) then
      spans[#spans + 1] = {first = tonumber(base), last = base + jobCount - 1, barrierCount = tonumber(barrierCount)}
    end
  end
end
local function spansAfter(collection, after)
  local header, spans = S.headerAt(collection), {}
  if header.isAlone then spans[1] = {first = collection, last = collection}
  elseif header.base then spans[1] = {first = header.base, last = header.base + header.jobCount - 1} end
  local key, bound = P .. 'm:' .. collection, string.format('%.0f', after)
  addSpans(spans, call('ZREVRANGEBYSCORE', key, bound, '-inf', 'LIMIT', 0, 1))
  local behind = call('ZRANGEBYSCORE', key, '(' .. bound, '+inf', 'LIMIT', 0, ${graphsAtOnce})
  addSpans(spans, behind)
  return spans, #behind == ${graphsAtOnce}
end
function S.eachSpan(collection, item, see)
  while true do
    local spans, isMore = spansAfter(collection, item.after)
    for _, span in ipairs(spans) do
      local answer = see(span)
      if answer ~= nil then return answer end
    end
    if not isMore then return nil end
    -- A continuation may have no job at all.
    item.after = math.max(item.after, spans[#spans].first, spans[#spans].last)
  end
end

-- The job that failed first, unless a retry has put it back to work since.
local function knownCause(barrier)
  local job = barrier.cause and S.jobAt(barrier.cause)
  -- It may have failed anew, by another one inside it.
  return job and job.state > ${state.succeeded} and job.cause or nil
end
local function jobCause(seq)
  local job = S.jobAt(seq)
  return job and job.state > ${state.succeeded} and job.cause or nil
end
local function barrierCause(number)
  local inner = S.barrierAt(number)
  return inner and inner.decided == ${decided.failure} and inner.cause or nil
end
-- The first cause among inputs behind item.after; false where there is none, nil where not all could be looked at.
local function causeAmong(runs, base, item, load, causeOf)
  while true do
    local numbers, room = {}, math.min(math.max(4 * math.ceil(S.left), item.least or 0), 1000)
    S.eachOf(runs, base, item.after, function(number)
      if #numbers >= room then return true end
      numbers[#numbers + 1] = number
    end)
    if #numbers == 0 then
      if room > 0 then return false end
      return nil
    end
    load(numbers)
    for _, number in ipairs(numbers) do
      local cause = causeOf(number)
      if cause then return cause end
    end
    item.after = numbers[#numbers]
    S.left = S.left - #numbers / 4 -- reading costs a quarter of writing
  end
end
-- That of another input, in the order of their numbers: jobs come before barriers.
local function otherCause(barrier, item)
  local _, jobRuns, barrierRuns = S.runsOf(barrier)
  local found = causeAmong(jobRuns, barrier.base, item, S.loadJobs, jobCause)
  if found == false then found = causeAmong(barrierRuns, barrier.base, item, S.loadBarriers, barrierCause) end
  return found
end

local function isOpen(gate)
  if not gate then return true end
  local barrier = S.barrierAt(gate)
  return barrier and barrier.decided == ${decided.success}
end
local success = {succeeded = true, began = true}
-- Nil where its cause has to be looked for, as far as the call may: then item says how far it came.
local function decisionOf(barrier, item)
  if not isOpen(barrier.gate) then
    local gate = S.barrierAt(barrier.gate)
    return {succeeded = false, began = false, cause = barrier.cause or (gate and gate.cause) or nil}
  end
  if barrier.failed == 0 then return success end
  local cause = knownCause(barrier)
  if not cause then
    if not item and barrier.inputs > ${inputsAtOnce} then return nil end
    cause = otherCause(barrier, item or {after = 0, least = ${inputsAtOnce}})
    if cause == nil then return nil end
  end
  -- Inputs that were all "not needed" failed for no cause: then nothing on this canvas has begun.
  return {succeeded = false, began = cause and true or false, cause = cause or nil}
end
local function decide(barrier, decision)
  barrier.decided, barrier.cause = decision.succeeded and ${decided.success} or ${decided.failure}, decision.cause
  return {barrier = barrier, decision = decision}
end
local function standingDecision(barrier)
  local succeeded = barrier.decided == ${decided.success}
  return {succeeded = succeeded, began = succeeded or (barrier.cause ~= nil and isOpen(barrier.gate)), cause = barrier.cause}
end

-- ── what stands behind ──

local function fits(fit, decision)
  if fit == ${when.success} then return decision.succeeded end
  if fit == ${when.always} then return decision.began end
  return not decision.succeeded and decision.began
end
local function enqueue(job)
  S.left = S.left - 1
  -- Held again by a retry, until the same instant.
  if job.due then job.again = 1 end
  local due = job.due or (not job.again and (job.startIn and now + job.startIn or job.startAt)) or nil
  job.state = due and due > now and ${state.scheduled} or ${state.queued}
  job.due = job.state == ${state.scheduled} and due or nil
  job.version = job.version + 1
  S.save(job)
  S.tell(job.state, job.collection, job.seq, job.attempt, job.version)
end
-- A job whose barrier has decided, or that stands behind none.
local function letGo(job, decision)
  local isMain = job.role == ${role.main}
  if job.marked or (isMain and S.isCancelling(job.collection)) then
    -- What did not succeed before a main job came first, and is what a report names.
    return S.endJob(job, ${state.cancelled}, job.reason or ${reason.cancelled}, isMain and decision.cause or job.seq)
  end
  if fits(job.fit, decision) then return enqueue(job) end
  local isUpstream = isMain
  if not isMain and job.fit == ${when.success} and decision.cause then
    local cause = S.jobAt(decision.cause)
    isUpstream = not cause or cause.role ~= ${role.main}
  end
  if isUpstream then S.endJob(job, ${state.skipped}, ${reason.upstream}, decision.cause)
  else S.endJob(job, ${state.skipped}, ${reason.notNeeded}, nil) end
end

local function isWaiting(job)
  return job and job.state == ${state.waiting} and not job.continuation and not job.archived
end
-- A main job behind one success, that nobody has touched and that may start at once: nothing of its row needs to be known but where it
-- is queued. Most links of chains are such.
local quickHead = '^%d+,(%d+),(%d+),[^,]*,[^,]*,[^,]*,%d+,${role.main},[^,]*,${when.success},[^,]*,[^,]*,,,,[^,]*,(%-?%d+),[^\\n]*\\n([^\\n]*)\\n'
local head, collection, score, queue
local function releaseQuickly(number, row)
  -- Those side by side have one head, and mostly one queue.
  local ownHead = string.match(row, '^[^\\n]*\\n[^\\n]*\\n')
  if ownHead ~= head then
    local _, own, priority, name = string.match(row, quickHead)
    head, collection, queue = ownHead, tonumber(own), 'queue:' .. (name == '' and '${defaultQueue}' or name or '')
    score = own and S.score(tonumber(priority), collection)
  end
  if not collection or S.isCancelling(collection) then return false end
  local digits = S.digits[number]
  S.put(P .. 's:' .. digits, '${state.queued},2,0,,,,')
  S.add(queue, score, S.place(number))
  S.count('waiting', string.sub(queue, 7), -1)
  S.tell(${state.queued}, collection, number, 0, 2)
  S.left = S.left - 1
  S.isAhead = true
  return true
end
-- Those that cannot be let go like that.
local function releaseMost(numbers, decisions)
  local others, heads, standings = {}, {}, {}
  for at, seq in ipairs(numbers) do heads[at], standings[at] = P .. 'j:' .. S.digits[seq], P .. 's:' .. S.digits[seq] end
  heads, standings = many('MGET', nil, heads), many('MGET', nil, standings)
  for at, seq in ipairs(numbers) do
    local isQuick = decisions[at].succeeded and heads[at] and not standings[at] and S.jobs[seq] == nil
    if not isQuick or not releaseQuickly(seq, heads[at]) then
      if S.jobs[seq] == nil then S.jobs[seq] = heads[at] and S.parse(seq, heads[at], standings[at]) or false end
      others[#others + 1] = at
    end
  end
  return others
end
-- The jobs behind barriers that decided together are read together: a batch of settlements mostly moves that many chains by a link.
local function releaseAll(decisions, numbers)
  local found = {}
  for at = 1, #numbers do found[at] = success end
  local room = math.ceil(S.left)
  for _, each in ipairs(decisions) do
    local behind = S.runsOf(each.barrier)
    local reached, filled = each.after or 0, #numbers
    local single = string.find(behind, '^%d+$')
    if single and filled < room then
      numbers[filled + 1], found[filled + 1] = each.barrier.base + behind, each.decision
    elseif behind ~= '' then
      S.eachOf(behind, each.barrier.base, reached, function(seq)
        if filled >= room then
          S.later(${work.release}, each.barrier.number, 0, reached)
          return true
        end
        reached = seq
        filled = filled + 1
        numbers[filled], found[filled] = seq, each.decision
      end)
    end
  end
  for _, at in ipairs(releaseMost(numbers, found)) do
    local job = S.jobAt(numbers[at])
    if isWaiting(job) then letGo(job, found[at]) end
  end
end
function S.releaseRest(item)
  local barrier = S.barrierAt(item.subject)
  if barrier and barrier.decided ~= ${decided.no} then
    releaseAll({{barrier = barrier, decision = standingDecision(barrier), after = item.after}}, {})
  end
  return true
end
function S.letGoIfFree(job)
  if not job.behind then return letGo(job, success) end
  local barrier = S.barrierAt(job.behind)
  if barrier and barrier.decided ~= ${decided.no} then letGo(job, standingDecision(barrier)) end
end

-- ── what it closes ──

-- The canvas that a job continued as is over, and so is the job: its result stays where it is, and is found from there.
local function settleParked(seq, barrier, decision)
  local job = S.jobAt(seq)
  if not job or job.state ~= ${state.waiting} or job.continuation ~= barrier.number then return end
  if job.marked or (job.role == ${role.main} and S.isCancelling(job.collection)) then
    S.endJob(job, ${state.cancelled}, job.reason or ${reason.cancelled}, job.seq, nil, true)
  elseif decision.succeeded then S.endJob(job, ${state.succeeded}, nil, nil, nil, true)
  else S.endJob(job, ${state.failed}, ${reason.failed}, decision.cause or job.seq, nil, true) end
end
function S.settleParkedIfOver(job)
  local barrier = S.barrierAt(job.continuation)
  if barrier and barrier.decided ~= ${decided.no} then settleParked(job.seq, barrier, standingDecision(barrier)) end
end

local function isFailedMain(job)
  return job and job.state == ${state.failed} and job.role == ${role.main} and not job.archived
end
local function close(header, code)
  S.left = S.left - 1
  header.state, header.settledAt = code, now
  S.saveHeader(header)
  S.tellCollection(code, header.number, header.round)
  S.noteCancelling(header.number, false)
  S.releaseUnique(header.number)
  S.leaveAgain(header.number)
end
local function settleCollection(barrier, decision)
  local header = S.headerAt(barrier.collection)
  if header.isAlone then return S.damaged('collection', barrier.collection) end
  if decision.succeeded then close(header, ${collectionState.succeeded})
  elseif header.cancelledAt then close(header, ${collectionState.cancelled})
  elseif decision.cause and isFailedMain(S.jobAt(decision.cause)) then close(header, ${collectionState.failed})
  -- Others are looked through, and of a large collection not all in this call.
  else S.later(${work.settle}, header.number, header.round) end
end
local function failedAmong(item, span)
  while math.max(item.after + 1, span.first) <= span.last do
    if S.left <= 0 then return 'more' end
    local from, numbers = math.max(item.after + 1, span.first), {}
    for seq = from, math.min(from + 4 * math.ceil(S.left) - 1, span.last, from + 999) do numbers[#numbers + 1] = seq end
    S.loadJobs(numbers)
    for _, seq in ipairs(numbers) do
      if isFailedMain(S.jobAt(seq)) then return 'failed' end
    end
    item.after = numbers[#numbers]
    S.left = S.left - #numbers / 4
  end
end
local function failedIn(item)
  return S.eachSpan(item.subject, item, function(span) return failedAmong(item, span) end)
end
-- Settles a collection that did not succeed by whether a job of it failed. True when it is settled, or at work again.
function S.settleBySearch(item)
  local header = S.headerAt(item.subject)
  if header.isAlone or header.state ~= 0 or header.round ~= item.detail then return true end
  local exit = S.barrierAt(header.exit)
  if not exit or exit.decided ~= ${decided.failure} then return true end
  if header.cancelledAt then
    close(header, ${collectionState.cancelled})
    return true
  end
  local found = failedIn(item)
  if found == 'more' then return false end
  close(header, found and ${collectionState.failed} or ${collectionState.cancelled})
  return true
end
local function conclude(barrier, decision)
  if barrier.continues then settleParked(barrier.continues, barrier, decision) end
  if barrier.settles then settleCollection(barrier, decision) end
  if barrier.feeds then S.arrive(barrier.feeds, decision.succeeded, decision.cause) end
end

-- Barriers of one input that succeeded, with nothing to close and one job behind them, or none: that job goes into freed. Most links
-- of chains have such. Gives the others.
local quickBarrier = '^(%d+),%d+,%d*,%d+,%d+,1,,,0\\n(%d*)\\n'
local function countQuickly(numbers, came, freed)
  local others, rows, standings = {}, {}, {}
  for at, number in ipairs(numbers) do rows[at], standings[at] = P .. 'b:' .. S.digits[number], P .. 'n:' .. S.digits[number] end
  rows, standings = many('MGET', nil, rows), many('MGET', nil, standings)
  for at, number in ipairs(numbers) do
    local base, behind
    if rows[at] and not standings[at] and S.barriers[number] == nil and came[number].count == 1 and came[number].failed == 0 then
      base, behind = string.match(rows[at], quickBarrier)
    end
    if base then
      S.put(P .. 'n:' .. S.digits[number], '0,0,${decided.success},')
      S.left = S.left - 1
      S.isAhead = true
      if behind ~= '' then freed[#freed + 1] = base + behind end
    else
      if S.barriers[number] == nil then S.barriers[number] = rows[at] and S.parseBarrier(number, rows[at], standings[at]) or false end
      others[#others + 1] = number
    end
  end
  return others
end
local function countDown(freed)
  local numbers, decisions, came, closing = {}, {}, S.arrivals, {}
  S.arrivals = {}
  for number in pairs(came) do numbers[#numbers + 1] = number end
  table.sort(numbers)
  for _, number in ipairs(countQuickly(numbers, came, freed)) do
    local barrier, at = S.barrierAt(number), came[number]
    if barrier then
      barrier.pending, barrier.failed, barrier.cause = barrier.pending - at.count, barrier.failed + at.failed, barrier.cause or at.cause
      if barrier.pending == 0 and barrier.decided == ${decided.no} then
        local decision = decisionOf(barrier)
        if decision then decisions[#decisions + 1] = decide(barrier, decision)
        else S.later(${work.cause}, number, barrier.failed) end
        if decision and barrier.settles then closing[#closing + 1] = barrier.collection end
      end
      S.left = S.left - 1
      S.saveBarrier(barrier)
    end
  end
  S.loadHeaders(closing)
  return decisions
end
-- True when it has decided, or has come to wait for an input again: then whatever ends that looks for the cause anew.
function S.decideBySearch(item)
  local barrier = S.barrierAt(item.subject)
  if not barrier or barrier.pending > 0 or barrier.decided ~= ${decided.no} or barrier.failed ~= item.detail then return true end
  local decision = decisionOf(barrier, item)
  if not decision then return false end
  S.saveBarrier(barrier)
  decide(barrier, decision)
  releaseAll({{barrier = barrier, decision = decision}}, {})
  conclude(barrier, decision)
  return true
end
function S.settleBarriers()
  while next(S.arrivals) do
    local freed = {}
    local decisions = countDown(freed)
    releaseAll(decisions, freed)
    for _, each in ipairs(decisions) do conclude(each.barrier, each.decision) end
  end
end
`,
  changes,
)
