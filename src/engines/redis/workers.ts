import type { QueueRecord, WorkerRecord } from '../../engine/inspect.ts'
import type { Database } from './database.ts'
import { record } from './record.ts'
import { reading } from './scripts.ts'

const queuesScript = reading(
  'queues',
  `
local queues = call('HGETALL', P .. 'queues')
local queued, running = {}, {}
local function count(kinds, numbers)
  for _, row in ipairs(rowsAt('j:', numbers)) do
    if row then
      local queue = string.match(row, '^[^\\n]*\\n([^\\n]*)')
      if queue == '' then queue = 'default' end
      kinds[queue] = (kinds[queue] or 0) + 1
    end
  end
end
local suspects = {}
for _, place in ipairs(call('ZRANGE', P .. 'suspects', 0, -1)) do suspects[#suspects + 1] = string.sub(place, 2) end
count(queued, suspects)
for _, key in ipairs({'alive', 'losing'}) do
  local sessions = key == 'alive' and call('ZRANGE', P .. key, 0, -1) or call('HKEYS', P .. key)
  for _, session in ipairs(sessions) do count(running, call('SMEMBERS', P .. 'run:' .. session)) end
end
local answer = {}
local function countRuns(name)
  local runs, count = call('ZRANGE', P .. 'runs:' .. name, 0, -1, 'WITHSCORES'), 0
  for at = 1, #runs, 2 do count = count + runs[at] - runs[at + 1] + 1 end
  return count
end
for at = 1, #queues, 2 do
  local name = queues[at]
  answer[#answer + 1] = {
    name,
    queues[at + 1],
    tonumber(call('HGET', P .. 'waiting', name) or 0),
    tonumber(call('HGET', P .. 'scheduled', name) or 0),
    call('ZCARD', P .. 'queue:' .. name) + countRuns(name) + (queued[name] or 0),
    running[name] or 0
  }
end
return answer
`,
  record,
)
type QueueRow = readonly [
  name: string,
  paused: string,
  waiting: number,
  scheduled: number,
  queued: number,
  running: number,
]

export async function queues(db: Database): Promise<QueueRecord[]> {
  const rows = await db.read<QueueRow[]>(queuesScript)
  return rows
    .map(([name, paused, waiting, scheduled, queued, running]) => ({
      name,
      paused: paused === '1',
      counts: { waiting, scheduled, queued, running },
    }))
    .sort((one, other) => (one.name < other.name ? -1 : 1))
}

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
    queues: queueNames === '' ? null : (JSON.parse(String(queueNames)) as string[]),
    state: isLost ? 'lost' : hasEnded ? 'ended' : 'running',
    startedAt: Number(startedAt),
    seenAt: Number(seenAt),
    runningCount: Number(running),
  }
}
