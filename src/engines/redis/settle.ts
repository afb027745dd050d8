import { CeleriacError } from '../../core/errors.ts'
import type { Graph } from '../../core/graph.ts'
import type { Runtime } from '../../core/runtime.ts'
import { firstKept, lastKept } from '../../engine/limits.ts'
import type { ClaimAnswer, ClaimRequest, SettleAnswer, Settlement } from '../../engine/work.ts'
import { changes } from './change.ts'
import { claimAnswer, claimArgs, claiming, type ClaimReply, type Ref } from './claim.ts'
import { attemptOutcomeCode, decided, reason, reasonCode, role, state } from '../../engine/codes.ts'
import { longResult } from './keys.ts'
import { packEntries, packGraph, packRows, packState } from './pack.ts'
import { library, partSize, type Runs } from './scripts.ts'
import { exitOf, isLarge, uploads } from './upload.ts'
import { writing } from './work.ts'

/** What mostly follows from one settlement: its row, a barrier, the job behind it. */
const rowsPerSettlement = 3

/**
 * ```
 * recordAttempt(job, outcome, failure)   keeps an attempt that did not end the job
 * putBack(job, delay, isUnstarted)      ends an attempt without ending the job: it is queued, or scheduled where it is to wait. It keeps its
 *                             place. Unless the attempt had not begun, the job has started in time, and expires no more
 * retryLater(job, failure, delay)        the failed attempt goes to history, the job back in line
 * ```
 */
export const settling = library(
  `
function S.recordAttempt(job, outcome, failure)
  S.left = S.left - 1
  if not job.started then return end
  S.ask('attempts of job number ' .. job.digits, 'HSETNX', P .. 'a:' .. job.seq, job.attempt, job.round .. ',' .. (job.session or '') .. ',' .. job.started .. ',' .. now .. ',' .. outcome ..
    (failure and '\\n' .. failure or ''))
  -- Of the attempts up to this one the first and the last are kept.
  if job.attempt > ${firstKept + lastKept} then
    redis.pcall('HDEL', P .. 'a:' .. job.seq, job.attempt - ${lastKept})
  end
end
function S.putBack(job, delay, isUnstarted)
  S.left = S.left - 1
  if not isUnstarted then job.expires = nil end
  job.state = delay > 0 and ${state.scheduled} or ${state.queued}
  job.due = delay > 0 and now + math.ceil(delay) or nil
  job.version = job.version + 1
  S.save(job)
  S.tell(job.state, job.collection, job.seq, job.attempt, job.version)
end
function S.retryLater(job, failure, delay)
  S.recordAttempt(job, ${attemptOutcomeCode('retried')}, failure)
  S.put(P .. 'f:' .. job.seq, failure)
  job.failures, job.crashes = job.failures + 1, 0
  S.putBack(job, delay)
end
`,
  changes,
)

const body = `
local answers = {}

-- The job waits for the canvas that its handler returned, holding no slot; the graph is inserted, or sealed if it was uploaded.
local function continueAs(job)
  local isUploaded, id, jobCount, barrierCount, exit, shape = arg() == '1', arg(), number(), number(), number(), arg()
  local home = {jobCount = jobCount, barrierCount = barrierCount, created = now}
  if isUploaded then
    home = S.uploadAt(id)
    if not home then return false end
  else
    home.base = S.takeNumbers(jobCount + barrierCount)
  end
  S.homeInside(home, job)
  S.recordAttempt(job, ${attemptOutcomeCode('continued')})
  S.left = S.left - 1
  job.state, job.continuation, job.crashes, job.version = ${state.waiting}, home.base + exit, 0, job.version + 1
  S.save(job)
  S.put(P .. 'h:' .. job.seq, shape)
  call('ZADD', P .. 'm:' .. job.collection, home.base, home.base .. ',' .. home.jobCount .. ',' .. home.barrierCount)
  S.tell(job.state, job.collection, job.seq, job.attempt, job.version)
  -- Before anything that happens to them, and before the end, should there be no jobs at all.
  S.tellCollection(0, job.collection, home.round)
  if isUploaded then
    S.seal(id, home)
  else
    S.left = S.left - jobCount
    S.insertRows(home)
    S.insertEntries(home)
    S.insertState(home)
  end
  return true
end

local function succeed(job, result)
  S.left = S.left - 1
  job.state, job.result, job.finished, job.version = ${state.succeeded}, result, now, job.version + 1
  S.save(job)
  S.ended(job)
end

-- Its own arguments follow, and are read where it is stored.
local outcomes = {
  succeeded = function(job)
    local result, long = arg(), arg()
    if long ~= '' then S.put(P .. 'r:' .. job.seq, long) end
    succeed(job, result)
  end,
  failed = function(job) S.endJob(job, ${state.failed}, number(), job.seq, arg(), true) end,
  cancelled = function(job) S.endJob(job, ${state.cancelled}, ${reason.cancelled}, job.seq, nil, true) end,
  retried = function(job)
    local failure = arg()
    S.retryLater(job, failure, number())
  end,
  snoozed = function(job)
    S.recordAttempt(job, ${attemptOutcomeCode('snoozed')})
    job.crashes = 0
    S.putBack(job, number())
  end,
  released = function(job)
    local isStarted = arg() == '1'
    if isStarted then
      S.recordAttempt(job, ${attemptOutcomeCode('released')})
    else
      job.attempt, job.started, job.session = job.attempt - 1, nil, nil
    end
    S.putBack(job, number(), not isStarted)
  end,
  continued = continueAs
}

local function settleOne(seq, token, store)
  local job = S.jobAt(seq)
  if not job or job.token ~= token then return 's' end
  -- The token stays until the next claim, or until somebody else decides about the job: so this one was sent before.
  if job.state ~= ${state.running} then return job.state == ${state.cancelled} and 'c' or 'a' end
  if job.marked or (job.role == ${role.main} and S.isCancelling(job.collection)) then
    S.endJob(job, ${state.cancelled}, job.reason or ${reason.cancelled}, seq, nil, true)
    return 'c'
  end
  return store(job) == false and 'g' or 'a'
end

-- Successes of jobs that nobody has touched since they were claimed: how they stand is still the very text that was told then, the same for
-- all of a section. How many arguments each has (the stride) says what it is: 2, alone, it feeds nothing and has no deadline; 4, any;
-- 5, its success lets go one job in the same queue, and its barrier has nothing more to it.
local seen = {}

local function arriveAt(seq, feeds)
  if string.byte(feeds) == 116 then
    S.remove('deadlines', seq)
    feeds = string.sub(feeds, 2)
  end
  if feeds ~= '' then S.arrive(tonumber(feeds), true) end
end
-- The job behind it is queued, where neither that nor the barrier between them has been touched.
local function letGoBehind(section, n, at)
  if section.between[2 * n - 1] or section.between[2 * n] then return S.arrive(tonumber(ARGV[at + 4]), true) end
  local collection, next, letGo = ARGV[at + 3], ARGV[at + 5], S.letGo
  local filled, count, wakes = #S.writes, #letGo.numbers + 1, S.wakes
  S.writes[filled + 1], S.writes[filled + 2] = section.names[2 * n - 1], '0,0,${decided.success},'
  S.writes[filled + 3], S.writes[filled + 4] = section.names[2 * n], '${state.queued},2,0,,,,'
  letGo.queues[count], letGo.collections[count], letGo.numbers[count], letGo.writes[count] = section.queue, collection, next, filled + 4
  section.count = section.count + 1
  S.tell(${state.queued}, collection, next, 0, 2)
  -- It may be claimed before it comes into its queue.
  S.wakes = wakes
end
local function readBetween(section, from, size)
  for n = 1, size do
    local at = from + 5 * n
    section.names[2 * n - 1], section.names[2 * n] = P .. 'n:' .. ARGV[at + 4], P .. 's:' .. ARGV[at + 5]
  end
  section.between = many('MGET', nil, section.names)
end
local function noteLetGo(section)
  local count = section.count
  if count == 0 then return end
  S.left = S.left - 2 * count
  S.isAhead = true
  S.count('waiting', section.queue, -count)
end

-- Those whose collection is being cancelled, and those alone that hold a key until they settle, by position. Mostly there is neither,
-- and where there is, it is looked up for all of a section together: nobody else's settlements take longer for it.
local function rareIn(stride, from, size)
  S.isCancelling(0)
  local isRare = {}
  if not S.anyCancelling and not S.hasUniqueKeys() then return isRare end
  local collections, isAlone = {}, {}
  for n = 1, size do
    local at = from + stride * n
    isAlone[n] = stride == 2 or ARGV[at + 3] == '0'
    collections[n] = isAlone[n] and ARGV[at + 1] or ARGV[at + 3]
  end
  local cancelling = S.anyCancelling and many('SMISMEMBER', P .. 'cancelling', collections) or {}
  local holding = S.hasUniqueKeys() and many('HMGET', P .. 'holds', collections) or {}
  for n = 1, size do isRare[n] = cancelling[n] == 1 or (isAlone[n] and holding[n]) end
  return isRare
end

local function untouched()
  local session, old, begin, seldom, attempt, version = arg(), arg(), arg(), arg(), number(), number()
  local queue, stride, isTimed, leaving, size = arg(), number(), arg() == 't', arg(), number()
  local kept = tonumber(leaving)
  local from = argAt - stride
  argAt = argAt + stride * size
  local isRare, names, refused = rareIn(stride, from, size), {}, {}
  for n = 1, size do names[n] = P .. 's:' .. ARGV[from + stride * n + 1] end
  local rows = many('MGET', nil, names)
  local section = {queue = queue, names = {}, between = {}, count = 0}
  if stride == 5 then
    S.letGo = S.letGo or {queues = {}, collections = {}, numbers = {}, writes = {}, isTimed = false}
    S.letGo.isTimed = S.letGo.isTimed or isTimed
    readBetween(section, from, size)
  end
  local filled, running, before = #S.writes, S.removals['run:' .. session] or {}, #answers
  S.removals['run:' .. session] = running
  local text = begin .. now .. seldom
  for n = 1, size do
    local at = from + stride * n
    local seq = ARGV[at + 1]
    if rows[n] == old and not isRare[n] and not seen[seq] then
      seen[seq] = true
      filled = #S.writes
      S.writes[filled + 1], S.writes[filled + 2] = names[n], text .. ARGV[at + 2]
      running[#running + 1] = seq
      answers[before + n] = 'a'
      S.tell(${state.succeeded}, stride == 2 and '0' or ARGV[at + 3], seq, attempt, version)
      if stride == 5 then letGoBehind(section, n, at) elseif stride == 4 then arriveAt(seq, ARGV[at + 4]) end
      if kept then S.leave(tonumber(seq), kept) elseif leaving ~= '' then S.leaveAgain(tonumber(ARGV[at + 3])) end
    else
      answers[before + n] = ''
      refused[#refused + 1] = n
    end
  end
  noteLetGo(section)
  S.left = S.left - (size - #refused)
  if #refused == 0 then return end
  S.flush()
  local token = string.match(old, '^%d,%d+,%d+,(%d+)')
  for _, n in ipairs(refused) do
    local at = from + stride * n
    answers[before + n] = settleOne(tonumber(ARGV[at + 1]), token, function(job) succeed(job, ARGV[at + 2]) end)
  end
end

S.left = S.left + ${rowsPerSettlement} * number()
for _ = 1, number() do
  local kind = arg()
  if kind == 'untouched' then untouched()
  else
    local seq, token, size = number(), arg(), number()
    local from = argAt
    answers[#answers + 1] = settleOne(seq, token, outcomes[kind])
    argAt = from + size
  end
end
`

const settleScript = writing('settle', `${body}\nS.flush()\nreturn table.concat(answers)`, settling, uploads)

/** What these settlements let go can be claimed by the claim behind them. */
const settleAndClaimScript = writing(
  'settleAndClaim',
  `
${body}
-- The claim sees the store as it is now. What was let go need not be put in line for that: nothing that barriers decide touches it.
local letGo = S.letGo
if not letGo or next(S.arrivals) or #S.changedJobs > 0 then
  S.letGo = false
  S.flush()
  S.settleBarriers()
  S.flush()
  if letGo then
    letGo.writes = {}
    S.letGo = letGo
  end
end
if #S.pending > 0 then
  S.settleWork()
  S.flush()
end
return {table.concat(answers), S.claim()}
`,
  settling,
  uploads,
  claiming,
)

const answerNames: Readonly<Record<string, SettleAnswer>> = { a: 'accepted', s: 'superseded', c: 'cancelled' }

type Args = (string | number)[]

export async function settle(runs: Runs, settlements: readonly Settlement[]): Promise<SettleAnswer[]> {
  if (settlements.length === 0) return []
  return answersIn(await runs.write<string>(settleScript, argsOf(settlements)))
}

/** As `settle` and then `claim`. */
export async function settleAndClaim(
  runs: Runs,
  settlements: readonly Settlement[],
  request: ClaimRequest,
  runtime: Runtime,
): Promise<readonly [SettleAnswer[], ClaimAnswer]> {
  const args = [...argsOf(settlements), ...claimArgs(request)]
  const [answers, claimed] = await runs.write<[string, ClaimReply]>(settleAndClaimScript, args)
  return [answersIn(answers), await claimAnswer(runs, claimed, request, runtime, settlements)]
}

function argsOf(settlements: readonly Settlement[]): Args {
  const args: Args = [settlements.length, 0]
  let section: Section | null = null
  for (const settlement of settlements) {
    const ref = settlement.ref as Ref
    if (!isQuick(ref, settlement)) {
      section = null
      args[1] = (args[1] as number) + 1
      const details = detailsOf(settlement.outcome)
      args.push(settlement.outcome.type, ref.seq, String(settlement.token), details.length)
      for (const each of details) args.push(each)
      continue
    }
    if (section === null || !isOf(section, ref)) {
      args[1] = (args[1] as number) + 1
      section = beginSection(args, ref)
    }
    args[section.sizeAt] = (args[section.sizeAt] as number) + 1
    pushQuick(args, ref, settlement.outcome.result, section.stride)
  }
  return args
}

function answersIn(reply: string): SettleAnswer[] {
  if (reply.includes('g'))
    throw new CeleriacError('NOT_FOUND', 'The upload of this continuation is gone: send it again.')
  return Array.from(reply, (letter) => answerNames[letter] as SettleAnswer)
}

type Quick = Settlement & { readonly outcome: Extract<Settlement['outcome'], { type: 'succeeded' }> }

/** A success whose row can be written by exchanging one text for another. */
function isQuick(ref: Ref, settlement: Settlement): settlement is Quick {
  const { token, outcome } = settlement
  return (
    outcome.type === 'succeeded' &&
    ref.crashes === 0 &&
    (ref.round === 1 || ref.collection !== ref.seq) &&
    (outcome.result === null || outcome.result.length <= longResult) &&
    ref.standing.split(',', 4)[3] === String(token) &&
    !isMarked(ref.standing)
  )
}

/** Told to stop while it waited, it runs all the same where it is a side job: then it is cancelled, whatever it came to. */
const isMarked = (standing: string): boolean => /;(?:[^,]*,){5}\d/.test(standing)

/** Quick ones that follow each other, are of one kind and were told the same at the claim. */
interface Section {
  readonly standing: string
  readonly queue: string
  readonly stride: number
  readonly isNextTimed: boolean
  readonly leaving: string
  /** Where in the arguments it is said how many there are. */
  readonly sizeAt: number
}

const isOf = ({ standing, stride, queue, isNextTimed, leaving }: Section, ref: Ref): boolean =>
  standing === ref.standing &&
  stride === strideOf(ref) &&
  queue === ref.queue &&
  isNextTimed === ref.isNextTimed &&
  leaving === ref.leaving

/** How many arguments tell of one. */
function strideOf({ seq, collection, feeds, next, isTimed }: Ref): number {
  if (collection === seq && feeds === null && !isTimed) return 2
  return next !== null && !isTimed ? 5 : 4
}

function beginSection(args: Args, ref: Ref): Section {
  const { standing, queue } = ref
  const [, before, attempt = '', token = '', session = '', startedAt = ''] = standing.split(',', 6)
  const at = standing.indexOf(';')
  const seldom = at < 0 ? '' : standing.slice(at)
  const version = Number(before) + 1
  const begin = `${state.succeeded},${version},${attempt},${token},${session},${startedAt},`
  const stride = strideOf(ref)
  const { isNextTimed, leaving } = ref
  args.push('untouched', session, standing, begin, seldom, attempt, version)
  args.push(queue, stride, isNextTimed ? 't' : '', leaving, 0)
  return { standing, queue, stride, isNextTimed, leaving, sizeAt: args.length - 1 }
}

function pushQuick(args: Args, ref: Ref, result: string | null, stride: number): void {
  const { seq, collection, feeds, next, isTimed } = ref
  args.push(seq, result === null ? '' : `\n${result}`)
  if (stride > 2) args.push(collection === seq ? 0 : collection, `${isTimed ? 't' : ''}${feeds ?? ''}`)
  if (stride > 4) args.push(next as number)
}

function detailsOf(outcome: Settlement['outcome']): Args {
  switch (outcome.type) {
    case 'succeeded':
      return resultArgs(outcome.result)
    case 'failed':
      return [reasonCode(outcome.reason), JSON.stringify(outcome.failure)]
    case 'cancelled':
      return []
    case 'retried':
      return [JSON.stringify(outcome.failure), outcome.delay]
    case 'snoozed':
      return [outcome.delay]
    case 'released':
      return [outcome.started ? 1 : 0, outcome.delay]
    case 'continued':
      return continuationArgs(outcome.graph)
  }
}

function resultArgs(result: string | null): Args {
  if (result === null) return ['', '']
  return result.length <= longResult ? [`\n${result}`, ''] : [`\r${result.length}`, result]
}

function continuationArgs(graph: Graph): Args {
  const large = isLarge(graph)
  const packing = packGraph(graph, large)
  const head = [large ? 1 : 0, graph.id, graph.jobs.length, graph.barriers.length, exitOf(graph), graph.shape]
  if (large) return [...head, ...packState(packing)]
  return [...head, ...packRows(packing, 0, partSize), ...packEntries(packing), ...packState(packing)]
}
