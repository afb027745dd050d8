import type { FailureReason } from '../../core/failure.ts'
import type { JobCounts } from '../../core/collection.ts'
import { jobStates } from '../../core/job.ts'
import type { ClaimAnswer, ClaimedJob, ClaimRequest, JobInput } from '../../engine/work.ts'
import { changes } from './change.ts'
import { decided, reason, roleName, state } from './codes.ts'
import { gathering, inlineLimit, resultIn, type ResultReply } from './gather.ts'
import { failureIn, type FoundFailure } from './failures.ts'
import { type JobRow, readJob, readStanding } from './rows.ts'
import { library, type Runs } from './scripts.ts'
import { writing } from './work.ts'

/** What this engine wants to be told again of a job that was claimed: how it stands, exactly, so that nobody else has touched it. */
export interface Ref {
  readonly seq: number
  readonly collection: number
  readonly standing: string
  readonly feeds: number | null
  readonly isTimed: boolean
  readonly round: number
  readonly crashes: number
}

/** At most so many due or expired jobs are moved by one claim. */
const movedPerCall = 500
/** All inputs of one claim; what does not come along is read by pages. */
const inputsPerClaim = 8 * inlineLimit

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

const claimScript = writing(
  'claim',
  `
local session, token, limit = call('HGET', P .. 'sessions', arg()), arg(), number()
local wanted = {}
for at = 1, number() do wanted[at] = arg() end
if not session or not call('ZSCORE', P .. 'alive', session) then return {'', '', {}, {}, {}} end
local sessionNumber = tonumber(session)
local fresh = '${state.running},2,1,' .. token .. ',' .. session .. ',' .. now .. ','
-- seq, row, standing (0: the fresh one), details (0: none)
local reply, taken = {}, {}

-- What a claim asked for before already holds: asked again because its answer was lost.
local function takenBefore()
  if not call('LPOS', P .. 'tokens:' .. session, token) then return end
  local numbers = call('SMEMBERS', P .. 'run:' .. session)
  for at = 1, #numbers do numbers[at] = tonumber(numbers[at]) end
  S.loadJobs(numbers)
  for _, seq in ipairs(numbers) do
    local job = S.jobAt(seq)
    if job and job.state == ${state.running} and job.token == token then taken[#taken + 1] = job end
  end
  table.sort(taken, function(one, other)
    if one.priority ~= other.priority then return one.priority > other.priority end
    if one.collection ~= other.collection then return one.collection < other.collection end
    return one.seq < other.seq
  end)
end

local function openQueues()
  local open = {}
  if #wanted > 0 then
    for at, paused in ipairs(call('HMGET', P .. 'queues', unpack(wanted))) do
      if paused == '0' then open[#open + 1] = wanted[at] end
    end
    return open
  end
  local all = call('HGETALL', P .. 'queues')
  for at = 1, #all, 2 do
    if all[at + 1] == '0' then open[#open + 1] = all[at] end
  end
  return open
end

-- A job whose worker died is taken singly, one in a session at a time, so that another crash counts only for it.
local function suspect(open)
  local places = call('ZRANGE', P .. 'suspects', 0, 999)
  if #places == 0 or call('EXISTS', P .. 'trying:' .. session) == 1 then return nil end
  local isOpen = {}
  for _, queue in ipairs(open) do isOpen[queue] = true end
  for _, member in ipairs(places) do
    local job = S.jobAt(tonumber(string.sub(member, 2)))
    if job and job.state == ${state.queued} and isOpen[job.queue] then return job end
  end
end

-- The first of several queues, in the order in which they are to run.
local function pop(open, size)
  if #open == 1 then return call('ZPOPMIN', P .. 'queue:' .. open[1], size) end
  local lists, merged = {}, {}
  for _, queue in ipairs(open) do
    local list = call('ZRANGE', P .. 'queue:' .. queue, 0, size - 1, 'WITHSCORES')
    if #list > 0 then lists[#lists + 1] = {key = P .. 'queue:' .. queue, list = list, at = 1, first = tonumber(list[2])} end
  end
  if #lists == 1 then return call('ZPOPMIN', lists[1].key, size) end
  while #merged < 2 * size do
    local best
    for _, each in ipairs(lists) do
      if each.first and (not best or each.first < best.first or
        (each.first == best.first and each.list[each.at] < best.list[best.at])) then best = each end
    end
    if not best then break end
    merged[#merged + 1], merged[#merged + 2] = best.list[best.at], ''
    best.at = best.at + 2
    best.first = tonumber(best.list[best.at + 1])
  end
  for _, each in ipairs(lists) do
    local gone = {}
    for at = 1, each.at - 1, 2 do gone[#gone + 1] = each.list[at] end
    change('ZREM', each.key, gone)
  end
  return merged
end

local function start(job)
  job.state, job.session, job.token, job.started = ${state.running}, sessionNumber, token, now
  job.attempt, job.version, job.finished, job.result = job.attempt + 1, job.version + 1, nil, ''
  S.save(job)
  S.tell(${state.running}, job.collection, job.seq, job.attempt, job.version)
  taken[#taken + 1] = job
end

local function take(open)
  local first = suspect(open)
  if first then start(first) end
  if limit - #taken <= 0 then return end
  local popped = pop(open, limit - #taken)
  local heads, standings, digits = {}, {}, {}
  for at = 1, #popped, 2 do
    local seq = string.sub(popped[at], 2)
    local n = #digits + 1
    digits[n], heads[n], standings[n] = seq, P .. 'j:' .. seq, P .. 's:' .. seq
  end
  local rows, stands = many('MGET', nil, heads), many('MGET', nil, standings)
  local filled, running = #S.writes, S.additions['run:' .. session] or {}
  S.additions['run:' .. session] = running
  for n, seq in ipairs(digits) do
    local row = rows[n]
    if row and not stands[n] and string.find(row, '^%d+\\n') then
      S.writes[filled + 1], S.writes[filled + 2] = standings[n], fresh
      filled = filled + 2
      running[#running + 1] = seq
      S.told[#S.told + 1] = '${state.running},0,' .. seq .. ',1,2'
      taken[#taken + 1] = {seq = tonumber(seq), row = row, isFresh = true, input = ''}
    elseif row then
      seq = tonumber(seq)
      local job = S.parse(seq, row, stands[n])
      job.isPopped, job.row = true, row
      S.jobs[seq] = job
      start(job)
      filled = #S.writes
    end
  end
end

local function releaseStarted()
  if not S.hasUniqueKeys() then return end
  for _, job in ipairs(taken) do S.releaseUnique(job.collection or job.seq, 'started') end
end

-- ── what is told of them ──

local inputs, collections = {}, {}
local room = {left = ${inputsPerClaim}}
local function results(barrier)
  if inputs[barrier] ~= nil then return end
  local budget = {left = math.min(${inlineLimit}, room.left)}
  local before = budget.left
  local found = S.resultsAt(barrier, budget)
  if found then room.left = room.left - (before - budget.left) end
  inputs[barrier] = found or 0
end
local function collectionOf(number)
  if collections[number] then return end
  collections[number] = call('GET', P .. 'c:' .. number) or call('GET', P .. 'j:' .. number) or ''
end
local function failureAt(cause)
  local row = cause and call('GET', P .. 'j:' .. cause)
  if not row then return 0 end
  local job = S.jobAt(cause)
  collectionOf(job.collection)
  return {cause, row, call('GET', P .. 's:' .. cause) or '', call('GET', P .. 'f:' .. cause) or ''}
end
local function countStates(runs, base)
  local counts, numbers = {0, 0, 0, 0, 0, 0, 0, 0}, {}
  S.eachOf(runs, base, -1, function(seq) numbers[#numbers + 1] = seq end)
  S.loadRaw(numbers)
  for _, seq in ipairs(numbers) do
    local row = S.rawStandings[seq]
    local job
    if not row then
      job = S.jobAt(seq)
    else
      job = {state = tonumber(string.sub(row, 1, 1))}
      local _, to = string.find(row, '^[%d,]*')
      if string.byte(row, to + 1) == 59 then S.readSeldom(job, row, to + 1) end
    end
    if job and not job.archived and not (job.state == ${state.skipped} and job.reason == ${reason.notNeeded}) then
      counts[job.state + 1] = counts[job.state + 1] + 1
    end
  end
  return counts
end
local function inputOf(job)
  local kind = string.sub(job.input, 1, 1)
  if kind == '' then return 0 end
  local barrier = job.behind and S.barrierAt(job.behind)
  if kind == 'r' then
    if barrier then results(barrier.number) end
    return barrier and barrier.number or -1
  end
  if kind == 'f' then return failureAt(barrier and barrier.cause) end
  local header = S.headerAt(job.collection)
  return {countStates(string.sub(job.input, 2), job.base), barrier and barrier.decided or ${decided.success}, header.cancelledAt and 1 or 0,
    failureAt(barrier and barrier.cause)}
end
local function tellAll()
  local ahead = {}
  for _, job in ipairs(taken) do
    if job.behind and string.sub(job.input, 1, 1) == 'r' then ahead[#ahead + 1] = job.behind end
  end
  S.readAhead(ahead)
  local filled = 0
  for _, job in ipairs(taken) do
    local row = job.row or call('GET', P .. 'j:' .. job.seq)
    local long = string.byte(row, -1) == 13 and call('GET', P .. 'g:' .. job.seq) or ''
    local input = inputOf(job)
    if job.collection and job.collection ~= job.seq then collectionOf(job.collection) end
    reply[filled + 1], reply[filled + 2], reply[filled + 3] = job.seq, row, job.isFresh and 0 or job.text
    reply[filled + 4] = (long ~= '' or input ~= 0) and {long, input} or 0
    filled = filled + 4
  end
end
local function pairsOf(map)
  local list = {}
  for key, value in pairs(map) do
    list[#list + 1] = key
    list[#list + 1] = value
  end
  return list
end

takenBefore()
if #taken == 0 and limit > 0 then
  S.releaseDue()
  S.expire()
  S.settleBarriers()
  S.flush()
  local open = openQueues()
  if #open > 0 then take(open) end
  if #taken > 0 then
    releaseStarted()
    if call('LPUSH', P .. 'tokens:' .. session, token) > 64 then call('LTRIM', P .. 'tokens:' .. session, 0, 31) end
    S.flush()
  end
end
for _, job in ipairs(taken) do
  if not job.isFresh and not job.text then job.text = S.standingText(job) end
end
tellAll()
return {S.nextDueAt() or '', fresh, reply, pairsOf(inputs), pairsOf(collections)}
`,
  dueJobs,
  gathering,
)

// ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

type FailureReply = readonly [cause: number, row: string, standing: string, failure: string] | 0
type SummaryReply = readonly [counts: readonly number[], decided: number, isCancelled: number, failure: FailureReply]
type Details = readonly [args: string, input: number | FailureReply | SummaryReply] | 0
type Reply = readonly [
  nextAt: number | string,
  fresh: string,
  jobs: readonly (number | string | Details)[],
  inputs: readonly (number | readonly ResultReply[])[],
  collections: readonly (number | string)[],
]

/** What the jobs of a claim share. */
interface Shared {
  readonly inputs: ReadonlyMap<number, readonly ResultReply[] | 0>
  readonly collections: ReadonlyMap<number, About>
}
interface About {
  readonly id: string
  readonly actor: string | null
}

export async function claim(runs: Runs, request: ClaimRequest): Promise<ClaimAnswer> {
  const { session, token, limit, queues } = request
  if (queues?.length === 0) return claimNothing(runs, request)
  const reply = await runs.write<Reply>(claimScript, [session, token, limit, queues?.length ?? 0, ...(queues ?? [])])
  return answerIn(reply, token)
}

/** Of no queue at all nothing is to be had but when something is due. */
async function claimNothing(runs: Runs, { session, token }: ClaimRequest): Promise<ClaimAnswer> {
  const reply = await runs.write<Reply>(claimScript, [session, token, 0, 0])
  return { ...answerIn(reply, token), jobs: [] }
}

function answerIn([nextAt, fresh, rows, inputs, collections]: Reply, token: number): ClaimAnswer {
  const shared: Shared = {
    inputs: new Map(pairsIn(inputs) as [number, readonly ResultReply[] | 0][]),
    collections: new Map(pairsIn(collections).map(([number, row]) => [number, aboutIn(number, row as string)])),
  }
  const jobs: ClaimedJob[] = []
  for (let at = 0; at < rows.length; at += 4) {
    const [seq, row, standing, details] = rows.slice(at, at + 4) as [number, string, string | 0, Details]
    jobs.push(claimed(readJob(seq, row), standing === 0 ? fresh : standing, { token, details, shared }))
  }
  return { jobs, nextAt: nextAt === '' ? null : Number(nextAt) }
}

function pairsIn(list: readonly unknown[]): [number, unknown][] {
  const pairs: [number, unknown][] = []
  for (let at = 0; at < list.length; at += 2) pairs.push([list[at] as number, list[at + 1]])
  return pairs
}

/** Of a collection's row, or that of the job alone that is its own. */
function aboutIn(number: number, row: string): About {
  const lines = row.split('\n')
  if (lines.length > 5) {
    const job = readJob(number, row)
    return { id: job.id, actor: job.label.actor }
  }
  const { actor } = JSON.parse(lines[4] ?? '{}') as { actor?: string | null }
  return { id: lines[2] ?? '', actor: actor ?? null }
}

interface Told {
  readonly token: number
  readonly details: Details
  readonly shared: Shared
}

function claimed(job: JobRow, text: string, { token, details, shared }: Told): ClaimedJob {
  const standing = readStanding(job, text)
  const isAlone = job.collection === job.number
  const about = isAlone ? { id: job.id, actor: job.label.actor } : (shared.collections.get(job.collection) as About)
  const startedAt = standing.startedAt as number
  return {
    ref: {
      seq: job.number,
      collection: job.collection,
      standing: text,
      feeds: job.feeds,
      isTimed: job.timeout !== null,
      round: standing.round,
      crashes: standing.crashes,
    } satisfies Ref,
    token,
    id: job.id,
    collectionId: about.id,
    task: job.task,
    args: details === 0 || details[0] === '' ? (job.args as string) : details[0],
    role: roleName(job.role),
    attempt: standing.attempt,
    failures: standing.failures,
    round: standing.round,
    queue: job.queue,
    options: job.options,
    actor: about.actor === null ? null : { id: about.actor },
    depth: job.depth,
    createdAt: job.createdAt,
    deadlineAt: job.timeout === null ? null : startedAt + job.timeout,
    input: details === 0 ? nothing : inputIn(job, details[1], shared),
  }
}

const nothing: JobInput = { from: 'nothing' }

function inputIn(job: JobRow, input: number | FailureReply | SummaryReply, shared: Shared): JobInput {
  if (job.input === '') return nothing
  const detail = job.input.slice(1)
  if (job.input.startsWith('r')) {
    if (input === -1) return { from: 'results', shape: detail, barrier: null, results: [] }
    const results = shared.inputs.get(input as number)
    const known = results === undefined || results === 0 ? null : results.map(resultIn)
    return { from: 'results', shape: detail, barrier: input as number, results: known }
  }
  if (job.input.startsWith('f')) return { from: 'failure', report: reportIn(input as FailureReply, shared) }
  return summaryIn(input as SummaryReply)
}

function foundIn(reply: FailureReply): (FoundFailure & { readonly collection: number }) | null {
  if (reply === 0) return null
  const [cause, row, standing, failure] = reply
  const job = readJob(cause, row)
  return { ...failureIn(job, readStanding(job, standing || null), failure || null), collection: job.collection }
}

function reportIn(reply: FailureReply, { collections }: Shared): Extract<JobInput, { from: 'failure' }>['report'] {
  const found = foundIn(reply)
  if (found !== null) {
    const { jobId, task, reason: why, failure, collection } = found
    return { job: jobId, task, collection: collections.get(collection)?.id ?? '', reason: why, failure }
  }
  const message = 'The job that failed is no longer stored.'
  const failure = { name: 'JobFailed', message, attempt: 0, at: new Date(0).toISOString() }
  return { job: '', task: '', collection: '', reason: 'failed' satisfies FailureReason, failure }
}

function summaryIn([counted, decision, isCancelled, failure]: SummaryReply): JobInput {
  const counts = Object.fromEntries(jobStates.map((name, at) => [name, counted[at] as number])) as unknown as JobCounts
  const lost = isCancelled === 1 || counts.failed === 0 ? 'cancelled' : 'failed'
  const hasSucceeded = decision === decided.success
  return {
    from: 'summary',
    state: hasSucceeded ? 'succeeded' : lost,
    counts,
    failure: foundIn(failure)?.failure ?? null,
  }
}
