import { state } from '../../engine/codes.ts'
import type { QueueRecord, WorkerRecord } from '../../engine/inspect.ts'
import { defaultQueue, type QueueCount, queueRecords } from '../../engine/queues.ts'
import type { Database } from './database.ts'
import { record } from './record.ts'
import { reading } from './scripts.ts'

/** Names, states and counts, flat; a queue may come several times. First the names of those that are paused. */
const queuesScript = reading(
  'queues',
  `
local paused, answer = call('HKEYS', P .. 'queues'), {}
local function tell(queue, state, count)
  answer[#answer + 1] = queue
  answer[#answer + 1] = state
  answer[#answer + 1] = count
end
local function countIn(queue)
  local runs, count = call('ZRANGE', P .. 'runs:' .. queue, 0, -1, 'WITHSCORES'), call('ZCARD', P .. 'queue:' .. queue)
  for at = 1, #runs, 2 do count = count + runs[at] - runs[at + 1] + 1 end
  return count
end
local function tellEach(state, numbers)
  local counts = {}
  for _, row in ipairs(rowsAt('j:', numbers)) do
    if row then
      local queue = string.match(row, '^[^\\n]*\\n([^\\n]*)')
      if queue == '' then queue = '${defaultQueue}' end
      counts[queue] = (counts[queue] or 0) + 1
    end
  end
  for queue, count in pairs(counts) do tell(queue, state, count) end
end
local seen = {}
for _, list in ipairs({paused, call('ZRANGE', P .. 'lines', 0, -1)}) do
  for _, queue in ipairs(list) do
    if not seen[queue] then tell(queue, ${state.queued}, countIn(queue)) end
    seen[queue] = true
  end
end
local suspects = call('HGETALL', P .. 'suspects')
for at = 1, #suspects, 2 do tell(suspects[at], ${state.queued}, tonumber(suspects[at + 1])) end
for _, key in ipairs({'alive', 'losing'}) do
  local sessions = key == 'alive' and call('ZRANGE', P .. key, 0, -1) or call('HKEYS', P .. key)
  for _, session in ipairs(sessions) do tellEach(${state.running}, call('SMEMBERS', P .. 'run:' .. session)) end
end
for kind, state in pairs({waiting = ${state.waiting}, scheduled = ${state.scheduled}}) do
  local counts = call('HGETALL', P .. kind)
  for at = 1, #counts, 2 do tell(counts[at], state, tonumber(counts[at + 1])) end
end
return {paused, answer}
`,
  record,
)

export async function queues(db: Database): Promise<QueueRecord[]> {
  const [paused, flat] = await db.read<[string[], (string | number)[]]>(queuesScript)
  const counts = Array.from(
    { length: flat.length / 3 },
    (_, at) => flat.slice(3 * at, 3 * at + 3) as unknown as QueueCount,
  )
  return queueRecords(paused, counts)
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
