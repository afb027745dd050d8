import { state } from '../../engine/codes.ts'
import type { QueueRecord, WorkerRecord } from '../../engine/inspect.ts'
import { defaultQueue, type QueueCount, queueRecords } from '../../engine/queues.ts'
import { readStored } from '../../engine/stored.ts'
import type { Database } from './database.ts'
import { record } from './record.ts'
import { reading } from './scripts.ts'

/** So many entries of what tells of queues, of runs or of running jobs are gone through in one script, about. */
const entriesAtOnce = 500

/**
 * Goes through what tells of queues, some entries at a time: `parts` left to do, each a kind, whose it is and how far it was gone through.
 * `queues`, `lines`: names, of which what is queued is counted. `runs`: the runs of one queue. `suspects`, `waiting`, `scheduled`: counts
 * that are kept. `sessions`: whose jobs run. `run`: those of one. Found: kind, name, count; of a `run` queue and number of each.
 */
const queuesScript = reading(
  'queues',
  `
local parts, found, room = {}, {}, ${entriesAtOnce}
for at = 1, number() do parts[at] = {arg(), arg(), arg()} end
local function tell(kind, name, count)
  local at = #found
  found[at + 1], found[at + 2], found[at + 3] = kind, name, count
end
-- The next entries, and the cursor that goes on behind them.
local function scan(command, key)
  return function(cursor)
    local reply = call(command, P .. key, cursor, 'COUNT', math.max(math.min(room, 100), 1))
    return reply[2], reply[1]
  end
end
-- In the order of their numbers: what is taken meanwhile is taken from the front.
local function countRuns(queue, after)
  local runs = call('ZRANGEBYSCORE', P .. 'runs:' .. queue, '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, 100)
  room = room - #runs / 2
  local count = 0
  for at = 1, #runs, 2 do count = count + runs[at] - runs[at + 1] + 1 end
  if count > 0 then tell('run from ' .. after, queue, count) end
  return #runs == 200 and runs[200] or '0'
end
-- What is begun comes before what goes on, so that no more is left than was begun in one script.
local begun = {}
local function countIn(queue)
  room = room - 1
  tell('queued', queue, call('ZCARD', P .. 'queue:' .. queue))
  local next = countRuns(queue, '0')
  if next ~= '0' then begun[#begun + 1] = {'runs', queue, next} end
end
local step = {}
function step.queues(_, cursor)
  local some, next = scan('HSCAN', 'queues')(cursor)
  for at = 1, #some, 2 do
    tell('paused', some[at], 1)
    countIn(some[at])
  end
  return next
end
function step.lines(_, cursor)
  local some, next = scan('ZSCAN', 'lines')(cursor)
  for at = 1, #some, 2 do countIn(some[at]) end
  return next
end
step.runs = countRuns
for _, kind in ipairs({'suspects', 'waiting', 'scheduled'}) do
  step[kind] = function(_, cursor)
    local some, next = scan('HSCAN', kind)(cursor)
    room = room - #some / 2
    for at = 1, #some, 2 do tell(kind, some[at], tonumber(some[at + 1]) or 0) end
    return next
  end
end
function step.sessions()
  for _, session in ipairs(call('ZRANGE', P .. 'alive', 0, -1)) do begun[#begun + 1] = {'run', session, '0'} end
  for _, session in ipairs(call('HKEYS', P .. 'losing')) do begun[#begun + 1] = {'run', session, '0'} end
  return '0'
end
function step.run(session, cursor)
  local some, next = scan('SSCAN', 'run:' .. session)(cursor)
  room = room - #some - 1
  for at, row in ipairs(rowsAt('j:', some)) do
    local queue = row and string.match(row, '^[^\\n]*\\n([^\\n]*)')
    if queue then tell('running', queue == '' and '${defaultQueue}' or queue, tonumber(some[at])) end
  end
  return next
end
while #parts > 0 and room > 0 do
  local part = table.remove(parts)
  local next = step[part[1]](part[2], part[3])
  if next ~= '0' then parts[#parts + 1] = {part[1], part[2], next} end
  for _, each in ipairs(begun) do parts[#parts + 1] = each end
  begun = {}
end
return {parts, found}
`,
  record,
)
type QueuesPart = readonly [kind: string, whose: string, after: string]
const everyPart = ['sessions', 'scheduled', 'waiting', 'suspects', 'lines', 'queues'].map((kind): QueuesPart => [
  kind,
  '',
  '0',
])

/**
 * What is read of many queues in several scripts is of as many instants. It may come twice, and counts once: under its kind and name, a
 * running job under its number.
 */
export async function queues(db: Database): Promise<QueueRecord[]> {
  const paused = new Set<string>()
  const counts = new Map<string, QueueCount>()
  for (let parts: readonly QueuesPart[] = everyPart; parts.length > 0;) {
    const [left, found] = await db.read<[QueuesPart[], (string | number)[]]>(queuesScript, [
      parts.length,
      ...parts.flat(),
    ])
    for (let at = 0; at < found.length; at += 3) {
      const [kind, name, count] = found.slice(at, at + 3) as [string, string, number]
      if (kind === 'paused') paused.add(name)
      else if (kind === 'running') counts.set(`${count}`, [name, state.running, 1])
      else counts.set(`${kind} ${name}`, [name, stateOf[kind] ?? state.queued, count])
    }
    parts = left
  }
  return queueRecords(paused, counts.values())
}
const stateOf: Readonly<Record<string, number>> = { waiting: state.waiting, scheduled: state.scheduled }

const workersScript = reading(
  'workers',
  `
local answer = {}
local sessions = call('ZRANGE', P .. 'alive', 0, -1)
for _, session in ipairs(call('ZRANGEBYSCORE', P .. 'ended', string.format('%.0f', now - ${24 * 60 * 60_000}), '+inf')) do
  sessions[#sessions + 1] = session
end
for _, session in ipairs(sessions) do
  local row = call('HMGET', P .. 'session:' .. session, 'id', 'name', 'host', 'pid', 'queues', 'concurrency', 'startedAt', 'seenAt', 'expiresAt', 'endedAt', 'lost')
  for at = 1, 11 do row[at] = row[at] or '' end
  if row[1] ~= '' then
    row[12] = call('SCARD', P .. 'run:' .. session)
    row[13] = tonumber(session)
    row[14] = string.format('%.0f', now)
    answer[#answer + 1] = row
  end
end
return answer
`,
)

export async function workers(db: Database): Promise<WorkerRecord[]> {
  const rows = await db.read<(string | number)[][]>(workersScript)
  return rows.sort((one, other) => Number(other[12]) - Number(one[12])).map(workerRecord)
}

function workerRecord(row: readonly (string | number)[]): WorkerRecord {
  const [id, name, host, pid, queueNames, concurrency, startedAt, seenAt, expiresAt, endedAt, lost, running, , now] =
    row
  const hasEnded = endedAt !== ''
  const isLost = lost === '1' || (!hasEnded && Number(expiresAt) <= Number(now))
  return {
    id: String(id),
    name: String(name),
    host: String(host),
    pid: Number(pid),
    concurrency: Number(concurrency),
    queues: queueNames === '' ? null : readStored<string[] | null>(String(queueNames), null),
    state: isLost ? 'lost' : hasEnded ? 'ended' : 'running',
    startedAt: Number(startedAt),
    seenAt: Number(seenAt),
    runningCount: Number(running),
  }
}
