import type { JobDetail } from '../../core/job.ts'
import { state } from '../../engine/codes.ts'
import { historyBytes, inlineLimit, resultsPerPage } from '../../engine/limits.ts'
import { type History, historyOf, noHistory, type StoredAttempt } from '../../engine/records.ts'
import { collectionAt } from './collection.ts'
import type { Database } from './database.ts'
import { cursorIn, position } from './feed-position.ts'
import { gathering, resultIn, type ResultReply } from './gather.ts'
import { logLine } from './heartbeat.ts'
import { afterOf, hidden, isOutOfSight, type JobAt, jobRecord, record, Rows, workerOf } from './record.ts'
import { reading } from './scripts.ts'

// ── a job ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The log is read back from its end, so many lines at a time. */
const linesAtOnce = 50

const jobScript = reading(
  'job',
  `
local id, withHistory = arg(), arg() == '1'
local number = tonumber(call('HGET', P .. 'ids', id) or nil)
if not number or isHidden(number) then return {} end
tellJobs({number}, true)
if not rows['j:' .. number] then return {} end
keep('number', tostring(number))
keepPosition()
local result = ''
if standingIn(rows['s:' .. number]).state == '${state.succeeded}' then result = S.resultOf(number, {left = ${inlineLimit}, rows = ${resultsPerPage} + 1}) end
local attempts, log, omitted = {}, {}, 0
-- The newest whole as far as they fit; of the attempts before all but the failure.
local function readAttempts()
  local numbers, left = call('HKEYS', P .. 'a:' .. number), ${historyBytes}
  table.sort(numbers, function(one, other) return tonumber(one) > tonumber(other) end)
  for _, attempt in ipairs(numbers) do
    local row = call('HGET', P .. 'a:' .. number, attempt)
    local head = string.match(row, '^[^\\n]*')
    left = left - (#row - #head)
    if left < 0 and #row > #head then row = head .. '\\n' end
    keepWorker(tonumber(string.match(head, '^[^,]*,([^,]*)')))
    attempts[#attempts + 1] = attempt
    attempts[#attempts + 1] = row
  end
end
local function readLog()
  local count, left = call('LLEN', P .. 'log:' .. number), ${historyBytes}
  while #log < count and left >= 0 do
    local last = -1 - #log
    local lines = call('LRANGE', P .. 'log:' .. number, last - ${linesAtOnce - 1}, last)
    for at = #lines, 1, -1 do
      left = left - #lines[at]
      if left < 0 then break end
      log[#log + 1] = lines[at]
    end
  end
  omitted = count - #log
end
if withHistory then
  readAttempts()
  readLog()
end
return {found, result, attempts, log, omitted}
`,
  record,
  hidden,
  position,
  gathering,
)
/** Attempts and log lines from the newest to the oldest. */
type JobReply =
  readonly [found: string[], result: ResultReply, attempts: string[], log: string[], omitted: number] | readonly []

export async function job(
  db: Database,
  id: string,
  withHistory: boolean,
): Promise<(JobDetail & { cursor: string }) | null> {
  const [found, result, attempts, log, omitted] = await db.read<JobReply>(jobScript, [id, withHistory ? '1' : '0'])
  if (found === undefined) return null
  const rows = new Rows(found)
  const row = rows.job(Number(rows.get('number'))) as JobAt
  if (isOutOfSight(rows, row)) return null
  return {
    ...jobRecord(rows, row, afterOf(rows, row)),
    hasAllArguments: row.input === '' && row.options.chunked === undefined,
    result: row.state === state.succeeded ? resultIn(result as ResultReply) : null,
    ...(withHistory ? readHistory(rows, row, attempts as string[], log as string[], omitted as number) : noHistory),
    cursor: cursorIn(rows),
  }
}

function readHistory(
  rows: Rows,
  row: JobAt,
  flat: readonly string[],
  log: readonly string[],
  omitted: number,
): History {
  const stored: StoredAttempt[] = []
  for (let at = 0; at < flat.length; at += 2) stored.push(storedAttempt(rows, Number(flat[at]), flat[at + 1] as string))
  stored.sort(([one], [other]) => one - other)
  const worker = row.session === null ? null : workerOf(rows, row.session)
  const lines = log.map(logLine).reverse()
  return historyOf({ ...row, worker, failure: rows.get(`f:${row.number}`) }, stored, lines, omitted)
}

function storedAttempt(rows: Rows, attempt: number, row: string): StoredAttempt {
  const end = row.indexOf('\n')
  const failure = end < 0 ? null : row.slice(end + 1) || null
  const isOmitted = end >= 0 && failure === null
  const [round, session, startedAt, finishedAt, outcome] = (end < 0 ? row : row.slice(0, end)).split(',')
  const worker = session === '' ? null : workerOf(rows, Number(session))
  return [attempt, Number(round), worker, Number(startedAt), Number(finishedAt), Number(outcome), failure, isOmitted]
}

// ── who asked for it ─────────────────────────────────────────────────────────────────────────────────────────────

/** Of a job without its arguments: they end the row. */
const actorsScript = reading(
  'actors',
  `
local ids = {}
for at = 1, number() do ids[at] = arg() end
local numbers, alone = {}, {}
for _, n in ipairs(many('HMGET', P .. 'ids', ids)) do
  if n then numbers[#numbers + 1] = n end
end
look('c:', numbers)
look('k:', numbers)
for _, n in ipairs(numbers) do
  if not rows['c:' .. n] then alone[#alone + 1] = n end
end
for at, row in ipairs(rowsAt('j:', alone)) do
  if row then keep('j:' .. alone[at], string.match(row, '^' .. string.rep('[^\\n]*\\n', 6))) end
end
return {found, numbers}
`,
  record,
)

/** Nobody is null; what is not stored is left out. */
export async function actorsOf(db: Database, ids: readonly string[]): Promise<Map<string, string | null>> {
  const [found, numbers] = await db.read<readonly [string[], string[]]>(actorsScript, [ids.length, ...ids])
  const rows = new Rows(found)
  const there = numbers.map((number) => collectionAt(rows, Number(number))).filter((each) => each !== null)
  return new Map(there.filter(({ removedAt }) => removedAt === null).map(({ id, actor }) => [id, actor]))
}
