import type { LogLine } from '../../core/job.ts'
import { logLimit } from '../../engine/limits.ts'
import type { Heartbeat, HeartbeatAnswer, Note } from '../../engine/work.ts'
import type { Ref } from './claim.ts'
import { attemptOutcomeCode, reason, state } from '../../engine/codes.ts'
import { section } from './pack.ts'
import { reading, type Runs } from './scripts.ts'
import { settling } from './settle.ts'
import { tallyArguments, tallying } from './statistics.ts'
import { writing } from './work.ts'

const heartbeatScript = writing(
  'heartbeat',
  `
local id, lease, hasEnded = arg(), number(), arg() == '1'

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
  if call('LLEN', key) < ${logLimit} then call('RPUSH', key, text) end
end)

reports(function(job, text)
  if job.state ~= ${state.running} then return end
  local name, value = string.match(text, '^([^\\n]*)\\n(.*)$')
  call('HSETNX', P .. 'notes:' .. job.seq, name, value)
end)
local held, isTold = {}, arg() == '1'
local holds = {}
for at = 1, number() do
  local seq = number()
  holds[at] = {seq, arg()}
  held[seq] = holds[at][2]
end
storeTallies(session)
if not isTold and not hasEnded then return {{}, {}} end

local running = call('SMEMBERS', P .. 'run:' .. session)
for at = 1, #running do running[at] = tonumber(running[at]) end
table.sort(running)
S.loadJobs(running)

-- Back in line, and no crash: the worker never ran it, or is well.
local function release(job)
  if job.marked then return S.endJob(job, ${state.cancelled}, job.reason or ${reason.cancelled}, job.seq) end
  S.recordAttempt(job, ${attemptOutcomeCode('released')})
  job.token = nil
  S.putBack(job, 0)
end

local toCancel = {}
if hasEnded then
  for _, seq in ipairs(running) do
    local job = S.jobAt(seq)
    if job then release(job) end
  end
  call('ZREM', P .. 'alive', session)
  call('ZREM', P .. 'leases', session)
  call('ZADD', P .. 'ended', now, session)
  call('HSET', P .. 'session:' .. session, 'endedAt', now, 'expiresAt', now)
  call('DEL', P .. 'tokens:' .. session)
  return {{}, {}}
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
    if held[seq] ~= job.token and job.started + lease <= now then release(job) end
  end
end
local lost = {}
for at, each in ipairs(holds) do
  if tokens[each[1]] ~= each[2] then lost[#lost + 1] = at end
end
return {lost, toCancel}
`,
  settling,
  tallying,
)

export async function heartbeat(runs: Runs, beat: Heartbeat): Promise<HeartbeatAnswer> {
  const { session, lease, ended, held, progress, log, notes = [], tallies = [] } = beat
  const fields = ['name', session.name, 'host', session.host, 'pid', session.pid, 'concurrency', session.concurrency]
  if (session.queues !== null) fields.push('queues', JSON.stringify(session.queues))
  const [lost, toCancel] = await runs.write<[number[], string[]]>(heartbeatScript, [
    session.id,
    lease,
    ended === true ? 1 : 0,
    ...section(fields.map((field) => [field])),
    ...section(progress.map((each) => [seqOf(each), String(each.token), JSON.stringify(each.progress)])),
    ...section(log.map((each) => [seqOf(each), String(each.token), lineText(each.line)])),
    ...section(notes.map((each) => [seqOf(each), String(each.token), `${each.note.name}\n${each.note.value}`])),
    held === null ? 0 : 1,
    ...section((held ?? []).map((each) => [seqOf(each), String(each.token)])),
    ...section(tallies.map(tallyArguments)),
  ])
  return {
    lost: lost.map((at) => {
      const { id, token } = (held ?? [])[at - 1] as { id: string; token: number }
      return { id, token }
    }),
    toCancel: Array.from({ length: toCancel.length / 2 }, (_, n) => ({
      id: toCancel[2 * n] as string,
      token: Number(toCancel[2 * n + 1]),
    })),
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
