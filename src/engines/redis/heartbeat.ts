import type { LogLine } from '../../core/job.ts'
import { beatByPages, compareHeld, heldAtOnce, type RunningJob, type RunningPage } from '../../engine/held.ts'
import { logLimit } from '../../engine/limits.ts'
import { jobsPerStep } from '../../engine/recovery.ts'
import type { Heartbeat, HeartbeatAnswer, Note } from '../../engine/work.ts'
import type { Ref } from './claim.ts'
import { attemptOutcomeCode, reason, state } from '../../engine/codes.ts'
import { section } from './pack.ts'
import { library, reading, type Runs } from './scripts.ts'
import { settling } from './settle.ts'
import { tallyArguments, tallying } from './statistics.ts'
import { writing } from './work.ts'

/** `releaseHeld(job)`: back in line, and no crash, for the worker never ran it, or is well. */
const releasing = library(
  `
function S.releaseHeld(job)
  if job.marked then return S.endJob(job, ${state.cancelled}, job.reason or ${reason.cancelled}, job.seq) end
  S.recordAttempt(job, ${attemptOutcomeCode('released')})
  job.token = nil
  S.putBack(job, 0)
end
`,
  settling,
)

/** Says besides whether what runs there is too much for one script: then nothing of it was looked at, and the session has not ended. */
const heartbeatScript = writing(
  'heartbeat',
  `
local id, lease, ending = arg(), number(), arg()
local hasEnded = ending ~= '0'

local function renew(fields)
  local session = call('HGET', P .. 'sessions', id)
  local key
  if not session then
    session = tostring(S.takeNumbers(1))
    key = P .. 'session:' .. session
    call('HSET', P .. 'sessions', id, session)
    call('HSET', key, 'id', id, 'startedAt', now, unpack(fields))
  end
  key = P .. 'session:' .. session
  -- A session that was given up as lost comes back to life here: what it held is gone, what it claims from now on is its own.
  if not call('ZSCORE', P .. 'alive', session) then
    call('HDEL', key, 'endedAt', 'lost')
    call('ZREM', P .. 'ended', session)
    call('HDEL', P .. 'losing', session)
  end
  call('HSET', key, 'seenAt', now, 'expiresAt', now + lease)
  call('ZADD', P .. 'alive', now + lease, session)
  call('ZADD', P .. 'leases', lease, session)
  return session
end
local fields = {}
for at = 1, number() do fields[at] = arg() end
local session = renew(fields)

-- Reports of jobs that still run under the token they name, or ran.
local function reports(see)
  local list, numbers = {}, {}
  for at = 1, number() do
    local seq = number()
    list[at], numbers[at] = {seq, arg(), arg()}, seq
  end
  S.loadJobs(numbers)
  for _, each in ipairs(list) do
    local job = S.jobAt(each[1])
    if job and job.token == each[2] then
      S.add('more', job.seq, job.seq)
      see(job, each[3])
    end
  end
end
reports(function(job, text)
  if job.state ~= ${state.running} then return end
  S.put(P .. 'p:' .. job.seq, job.attempt .. '\\n' .. text)
  S.tellProgress(job.collection, job.seq, job.attempt, text)
end)
reports(function(job, text)
  local key = P .. 'log:' .. job.seq
  local length = S.ask('log of job number ' .. job.digits, 'LLEN', key)
  if length and length < ${logLimit} then call('RPUSH', key, text) end
end)

reports(function(job, text)
  if job.state ~= ${state.running} then return end
  local name, value = string.match(text, '^([^\\n]*)\\n(.*)$')
  S.ask('notes of job number ' .. job.digits, 'HSETNX', P .. 'notes:' .. job.seq, name, value)
end)
local held, isTold = {}, arg() == '1'
local holds = {}
for at = 1, number() do
  local seq = number()
  holds[at] = {seq, arg()}
  held[seq] = holds[at][2]
end
storeTallies(session)
if not isTold and not hasEnded then return {{}, {}, 0} end
if ending ~= '2' and call('SCARD', P .. 'run:' .. session) > ${heldAtOnce} then return {{}, {}, 1} end

local running = numbersIn(call('SMEMBERS', P .. 'run:' .. session))
S.loadJobs(running)

local toCancel = {}
if hasEnded then
  for _, seq in ipairs(running) do
    local job = S.jobAt(seq)
    if job then S.releaseHeld(job) end
  end
  call('ZREM', P .. 'alive', session)
  call('ZREM', P .. 'leases', session)
  call('ZADD', P .. 'ended', now, session)
  call('HSET', P .. 'session:' .. session, 'endedAt', now, 'expiresAt', now)
  call('DEL', P .. 'tokens:' .. session)
  return {{}, {}, 0}
end
local tokens = {}
for _, seq in ipairs(running) do
  local job = S.jobAt(seq)
  if job then
    tokens[seq] = job.token
    if job.marked then
      toCancel[#toCancel + 1] = S.idOf(job)
      toCancel[#toCancel + 1] = job.token
    end
    -- What the worker does not know it holds: the reply to its claim was lost.
    if held[seq] ~= job.token and job.started + lease <= now then S.releaseHeld(job) end
  end
end
local lost = {}
for at, each in ipairs(holds) do
  if tokens[each[1]] ~= each[2] then lost[#lost + 1] = at end
end
return {lost, toCancel, 0}
`,
  settling,
  releasing,
  tallying,
)

/** Some of the jobs that a session runs: number, token, 1 where it was claimed a lease ago; id and token of those to be cancelled. */
const runningScript = reading(
  'running',
  `
local id, cursor, lease = arg(), arg(), number()
local session = call('HGET', P .. 'sessions', id)
local reply = call('SSCAN', P .. 'run:' .. session, cursor, 'COUNT', ${jobsPerStep})
local keys, running, toCancel = {}, {}, {}
for at, seq in ipairs(reply[2]) do keys[at] = P .. 's:' .. seq end
for at, row in ipairs(many('MGET', nil, keys)) do
  local token, own, started = string.match(row or '', '^${state.running},%d+,%d+,(%d+),(%d+),(%d+)')
  if own == session then
    local seq = reply[2][at]
    running[#running + 1] = {tonumber(seq), tonumber(token), started + lease <= now and 1 or 0}
    if string.find(row, '^[^;\\n\\r]*;[^,]*,[^,]*,[^,]*,[^,]*,[^,]*,%d') then
      toCancel[#toCancel + 1] = string.match(call('MGET', P .. 'j:' .. seq)[1] or '', '^[^\\n]*\\n[^\\n]*\\n([^\\n]*)')
      toCancel[#toCancel + 1] = token
    end
  end
end
return {running, toCancel, reply[1]}
`,
)

const releaseScript = writing(
  'release',
  `
local session, lease, wanted, numbers = call('HGET', P .. 'sessions', arg()), number(), {}, {}
for at = 1, number() do
  wanted[at] = {number(), arg()}
  numbers[at] = wanted[at][1]
end
S.loadJobs(numbers)
for _, each in ipairs(wanted) do
  local job = S.jobAt(each[1])
  local isMeant = job and job.state == ${state.running} and job.session == tonumber(session) and job.token == each[2]
  if isMeant and job.started + lease <= now then S.releaseHeld(job) end
end
`,
  settling,
  releasing,
)

async function compareLarge(
  runs: Runs,
  { session: { id } }: Heartbeat,
  lease: number,
  held: NonNullable<Heartbeat['held']>,
): Promise<HeartbeatAnswer> {
  return compareHeld({
    held,
    async page(after): Promise<RunningPage> {
      type Reply = readonly [RunningPage['running'], toCancel: string[], next: string]
      const [running, toCancel, next] = await runs.read<Reply>(runningScript, [id, after ?? '0', lease])
      return { running, toCancel: pairsIn(toCancel), next: next === '0' ? null : next }
    },
    release: (jobs: readonly RunningJob[]) =>
      runs.write(releaseScript, [id, lease, ...section(jobs.map(([seq, token]) => [seq, String(token)]))]),
  })
}

const pairsIn = (flat: readonly string[]): HeartbeatAnswer['toCancel'] =>
  Array.from({ length: flat.length / 2 }, (_, n) => ({ id: flat[2 * n] as string, token: Number(flat[2 * n + 1]) }))

/** A session that holds many jobs is renewed first; then they are gone through some at a time. */
export async function heartbeat(runs: Runs, beat: Heartbeat): Promise<HeartbeatAnswer> {
  const { held, ended } = beat
  const isLarge = held !== null && held.length > heldAtOnce
  const answer = await beatOnce(runs, isLarge ? { ...beat, held: null } : beat, ended === true ? 1 : 0)
  if (answer !== null && (ended === true || !isLarge)) return answer
  return beatByPages(
    beat,
    (lease, held) => compareLarge(runs, beat, lease, held),
    (ending) => beatOnce(runs, ending, 2),
  )
}

/** Null where the session runs more than one script goes through. `ending`: 1 where it ends unless it does, 2 whatever it runs. */
async function beatOnce(runs: Runs, beat: Heartbeat, ending: 0 | 1 | 2): Promise<HeartbeatAnswer | null> {
  const { session, lease, held, progress, log, notes = [], tallies = [] } = beat
  const fields = ['name', session.name, 'host', session.host, 'pid', session.pid, 'concurrency', session.concurrency]
  if (session.queues !== null) fields.push('queues', JSON.stringify(session.queues))
  const [lost, toCancel, isMore] = await runs.write<[number[], string[], number]>(heartbeatScript, [
    session.id,
    lease,
    ending,
    ...section(fields.map((field) => [field])),
    ...section(progress.map((each) => [seqOf(each), String(each.token), JSON.stringify(each.progress)])),
    ...section(log.map((each) => [seqOf(each), String(each.token), lineText(each.line)])),
    ...section(notes.map((each) => [seqOf(each), String(each.token), `${each.note.name}\n${each.note.value}`])),
    held === null ? 0 : 1,
    ...section((held ?? []).map((each) => [seqOf(each), String(each.token)])),
    ...section(tallies.map(tallyArguments)),
  ])
  if (isMore === 1) return null
  return {
    lost: lost.map((at) => {
      const { id, token } = (held ?? [])[at - 1] as { id: string; token: number }
      return { id, token }
    }),
    toCancel: pairsIn(toCancel),
  }
}

const notesScript = reading('notes', `return call('HGETALL', P .. 'notes:' .. arg())`)

export async function notesOf(runs: Runs, seq: number): Promise<readonly Note[]> {
  const flat = await runs.read<string[]>(notesScript, [seq])
  const notes = Array.from({ length: flat.length / 2 }, (_, n) => ({
    name: flat[2 * n] as string,
    value: flat[2 * n + 1] as string,
  }))
  return notes.sort((one, other) => (one.name < other.name ? -1 : 1))
}

const seqOf = ({ ref }: { readonly ref: unknown }): number => (ref as Ref).seq

/** A line of the log as it is stored. */
function lineText({ attempt, at, level, message, data }: Heartbeat['log'][number]['line']): string {
  return JSON.stringify([attempt, at, level, message, data])
}

export function logLine(row: string): LogLine {
  const [attempt, at, level, message, data] = JSON.parse(row) as [
    number,
    number,
    LogLine['level'],
    string,
    string | null,
  ]
  return { attempt, at, level, message, data }
}
