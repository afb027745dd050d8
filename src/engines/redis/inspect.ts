import type { AttemptRecord, JobDetail } from '../../core/job.ts'
import { state } from '../../engine/codes.ts'
import { inlineLimit, resultsPerPage } from '../../engine/limits.ts'
import { attemptsOf, type StoredAttempt } from '../../engine/records.ts'
import { collectionAt } from './collection.ts'
import type { Database } from './database.ts'
import { cursorIn, position } from './feed-position.ts'
import { gathering, resultIn, type ResultReply } from './gather.ts'
import { logLine } from './heartbeat.ts'
import { afterOf, hidden, isOutOfSight, type JobAt, jobRecord, record, Rows, workerOf } from './record.ts'
import { reading } from './scripts.ts'

// ── a job ────────────────────────────────────────────────────────────────────────────────────────────────────────

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
local attempts, log = {}, {}
if withHistory then
  attempts = call('HGETALL', P .. 'a:' .. number)
  for at = 2, #attempts, 2 do keepWorker(tonumber(string.match(attempts[at], '^[^,]*,([^,]*)'))) end
  log = call('LRANGE', P .. 'log:' .. number, 0, -1)
end
return {found, result, attempts, log}
`,
  record,
  hidden,
  position,
  gathering,
)
type JobReply = readonly [found: string[], result: ResultReply, attempts: string[], log: string[]] | readonly []

export async function job(
  db: Database,
  id: string,
  withHistory: boolean,
): Promise<(JobDetail & { cursor: string }) | null> {
  const [found, result, attempts, log] = await db.read<JobReply>(jobScript, [id, withHistory ? '1' : '0'])
  if (found === undefined) return null
  const rows = new Rows(found)
  const row = rows.job(Number(rows.get('number'))) as JobAt
  if (isOutOfSight(rows, row)) return null
  return {
    ...jobRecord(rows, row, afterOf(rows, row)),
    hasAllArguments: row.input === '' && row.options.chunked === undefined,
    result: row.state === state.succeeded ? resultIn(result as ResultReply) : null,
    attempts: withHistory ? historyOf(rows, row, attempts as string[]) : [],
    log: withHistory ? (log as string[]).map(logLine) : [],
    cursor: cursorIn(rows),
  }
}

function historyOf(rows: Rows, row: JobAt, flat: readonly string[]): AttemptRecord[] {
  const stored: StoredAttempt[] = []
  for (let at = 0; at < flat.length; at += 2) stored.push(storedAttempt(rows, Number(flat[at]), flat[at + 1] as string))
  stored.sort(([one], [other]) => one - other)
  const worker = row.session === null ? null : workerOf(rows, row.session)
  return attemptsOf({ ...row, worker, failure: rows.get(`f:${row.number}`) }, stored)
}

function storedAttempt(rows: Rows, attempt: number, row: string): StoredAttempt {
  const end = row.indexOf('\n')
  const failure = end < 0 ? null : row.slice(end + 1)
  const [round, session, startedAt, finishedAt, outcome] = (end < 0 ? row : row.slice(0, end)).split(',')
  const worker = session === '' ? null : workerOf(rows, Number(session))
  return [attempt, Number(round), worker, Number(startedAt), Number(finishedAt), Number(outcome), failure]
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
