import type { CollectionDetail, CollectionRecord, JobCounts } from '../../core/collection.ts'
import type { Failure } from '../../core/failure.ts'
import { type AttemptRecord, jobStates, type JobDetail, type JobRecord, type StoredResult } from '../../core/job.ts'
import { attemptOutcomeName, collectionState, collectionStateName, role, settling, state } from '../../engine/codes.ts'
import type { Database } from './database.ts'
import { cursorAt } from './feed.ts'
import { gathering, inlineLimit, resultIn, type ResultReply } from './gather.ts'
import { logLine } from './heartbeat.ts'
import {
  afterOf,
  type CollectionAt,
  failureOf,
  hidden,
  type JobAt,
  jobRecord,
  record,
  Rows,
  tally,
  workerOf,
} from './record.ts'
import { part, reading } from './scripts.ts'

/** A job behind a large group names so many of the jobs it waits for. */
const afterLimit = 1_000

const position = part(
  `
local function keepPosition()
  keep('epoch', call('HGET', P .. 'meta', 'epoch') or '')
  keep('end', call('GET', P .. 'events-end') or '0')
end
`,
  record,
)

const cursorIn = (rows: Rows): string => cursorAt(rows.get('epoch') ?? '', rows.get('end') ?? '0')

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
if standingIn(rows['s:' .. number]).state == '${state.succeeded}' then result = S.resultOf(number, {left = ${inlineLimit}}) end
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
  return {
    ...jobRecord(rows, row, afterOf(rows, row)),
    hasAllArguments: row.input === '' && row.options.chunked === undefined,
    result: row.state === state.succeeded ? resultIn(result as ResultReply) : null,
    attempts: withHistory ? attemptsOf(rows, row, attempts as string[]) : [],
    log: withHistory ? (log as string[]).map(logLine) : [],
    cursor: cursorIn(rows),
  }
}

/** The attempts that ended, and the one that stands on the job itself. */
function attemptsOf(rows: Rows, row: JobAt, flat: readonly string[]): AttemptRecord[] {
  const ended: AttemptRecord[] = []
  for (let at = 0; at < flat.length; at += 2) ended.push(attemptRecord(rows, Number(flat[at]), flat[at + 1] as string))
  ended.sort((one, other) => one.attempt - other.attempt)
  const isKept = ended.some(({ attempt }) => attempt === row.attempt)
  return row.startedAt === null || isKept ? ended : [...ended, standingAttempt(rows, row)]
}

function attemptRecord(rows: Rows, attempt: number, row: string): AttemptRecord {
  const end = row.indexOf('\n')
  const failure = end < 0 ? null : (JSON.parse(row.slice(end + 1)) as Failure)
  const [round, session, startedAt, finishedAt, outcome] = (end < 0 ? row : row.slice(0, end)).split(',')
  return {
    attempt,
    round: Number(round),
    worker: session === '' ? null : workerOf(rows, Number(session)),
    startedAt: Number(startedAt),
    finishedAt: Number(finishedAt),
    outcome: attemptOutcomeName(Number(outcome)),
    failure,
  }
}

function standingAttempt(rows: Rows, row: JobAt): AttemptRecord {
  const outcomes: Readonly<Record<number, AttemptRecord['outcome']>> = {
    3: 'running',
    4: 'succeeded',
    5: 'failed',
    6: 'cancelled',
  }
  const failure = rows.get(`f:${row.number}`)
  return {
    attempt: row.attempt,
    round: row.round,
    worker: row.session === null ? null : workerOf(rows, row.session),
    startedAt: row.startedAt as number,
    finishedAt: row.finishedAt,
    outcome: outcomes[row.state] ?? 'released',
    failure: row.state === state.failed && failure !== null ? (JSON.parse(failure) as Failure) : null,
  }
}

// ── a collection ─────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * `tellCollection` fetches what is told of a collection, or of a job alone as one; gives the numbers of its jobs, none where
 * there is no such. Briefly, its jobs are looked at only where one of them may have to be named for a failure.
 */
export const collectionPart = part(
  `
local function membersOf(number, isAlone)
  local numbers, barriers, graphs = {}, {}, call('ZRANGE', P .. 'm:' .. number, 0, -1)
  if isAlone then numbers[1] = number
  else table.insert(graphs, 1, string.match(rows['c:' .. number], '^%d+,([^,]*,[^,]*,[^,]*)')) end
  for _, graph in ipairs(graphs) do
    local base, jobs, inner = string.match(graph, '^([^,]*),([^,]*),([^,]*)')
    for at = base, base + jobs - 1 do numbers[#numbers + 1] = at end
    for at = base + jobs, base + jobs + inner - 1 do barriers[#barriers + 1] = at end
  end
  return numbers, barriers
end
local function tellCollection(number, isBrief, withJobs)
  look('c:', {number})
  look('k:', {number})
  local row = rows['c:' .. number]
  local isAlone = not row
  local cause
  if isAlone then
    look('j:', {number})
    look('s:', {number})
    local own = rows['j:' .. number]
    if not own or headIn(own, number).collection ~= number then return {}, {} end
    local standing = standingIn(rows['s:' .. number])
    if standing.state == '${state.failed}' or standing.state == '${state.cancelled}' then cause = standing.cause end
  else
    local base, exit = string.match(row, '^%d+,(%d+),%d+,%d+,(%d+)')
    local countdown = call('GET', P .. 'n:' .. string.format('%.0f', base + exit))
    if countdown then cause = tonumber(string.match(countdown, '^[^,]*,[^,]*,[^,]*,(%d*)')) end
  end
  local standing = rows['k:' .. number]
  if isBrief and row and not string.find(standing or '0', '^[${collectionState.failed}${collectionState.cancelled}]') then return {}, {} end
  local numbers, barriers = membersOf(number, isAlone)
  if withJobs then
    look('j:', numbers)
    look('s:', numbers)
  end
  local counts, first = tallyJobs(numbers, withJobs)
  keep('tally:' .. number, counts)
  cause = cause or first
  if cause then
    keep('cause:' .. number, tostring(cause))
    for _, kind in ipairs({'j:', 's:', 'f:'}) do look(kind, {cause}) end
  end
  return numbers, barriers
end
`,
  record,
  tally,
)

const collectionScript = reading(
  'collection',
  `
local id, withJobs, withCounts = arg(), arg() == '1', arg() == '1'
local number = tonumber(call('HGET', P .. 'ids', id) or nil)
if not number then return {} end
local numbers, barriers = tellCollection(number, not withJobs and not withCounts, withJobs)
if #numbers == 0 and not rows['c:' .. number] then return {} end
keep('number', tostring(number))
keepPosition()
if withJobs then
  tellJobs(numbers, false)
  look('b:', barriers)
end
local row, budget = rows['c:' .. number], {left = ${inlineLimit}}
if not row then return {found, numbers, S.resultOf(number, budget)} end
if not string.find(rows['k:' .. number] or '', '^${collectionState.succeeded}') then return {found, numbers, 0} end
local base, exit = string.match(row, '^%d+,(%d+),%d+,%d+,(%d+)')
return {found, numbers, S.resultsAt(base + exit, budget) or 0}
`,
  collectionPart,
  position,
  gathering,
)
type CollectionReply = readonly [found: string[], numbers: number[], result: Result] | readonly []
type Result = ResultReply | readonly ResultReply[] | 0

export async function collection(
  db: Database,
  id: string,
  { jobs: withJobs = true, counts: withCounts = true }: { readonly jobs?: boolean; readonly counts?: boolean },
): Promise<CollectionDetail | null> {
  const [found, numbers, result] = await db.read<CollectionReply>(collectionScript, [
    id,
    withJobs ? '1' : '0',
    withCounts ? '1' : '0',
  ])
  if (found === undefined) return null
  const rows = new Rows(found)
  const row = collectionAt(rows, Number(rows.get('number')))
  if (row === null || row.removedAt !== null) return null
  return {
    ...collectionRecord(rows, row),
    jobs: withJobs ? membersOf(rows, numbers as number[]) : [],
    cursor: cursorIn(rows),
    shape: row.shape,
    result: row.state === 1 ? resultAt(rows, row, result as Result) : null,
  }
}

function resultAt(rows: Rows, { number, exit, shape }: CollectionAt, result: Result): StoredResult {
  if (rows.collection(number) === null) return resultIn(result as ResultReply)
  const results = result === 0 ? null : (result as readonly ResultReply[]).map(resultIn)
  return { shape, barrier: exit, results }
}

/** A collection, or a job alone told as a collection of one: its states map onto a collection's. */
export function collectionAt(rows: Rows, number: number): CollectionAt | null {
  const own = rows.collection(number)
  const alone = own === null ? rows.job(number) : null
  if (alone === null || alone.collection !== number) return own
  const isFinal = alone.state >= state.succeeded
  return {
    number,
    createdAt: alone.createdAt,
    exit: 0,
    retention: alone.label.retention,
    id: alone.id,
    shape: '0',
    actor: alone.label.actor,
    description: alone.label.description,
    tags: alone.label.tags ?? alone.options.tags ?? [],
    callback: null,
    state: isFinal ? settling(alone.state) : 0,
    round: alone.round,
    settledAt: isFinal ? alone.finishedAt : null,
    cancelledAt: !isFinal || alone.state === state.cancelled ? alone.markedAt : null,
    removedAt: null,
  }
}

export function collectionRecord(rows: Rows, row: CollectionAt): CollectionRecord {
  const { counts, progress } = countsIn(rows.get(`tally:${row.number}`) ?? '')
  const isUnlucky = row.state !== 1 && counts.failed + counts.cancelled > 0
  const cause = rows.get(`cause:${row.number}`)
  const failure = isUnlucky && cause !== null ? failureOf(rows, Number(cause)) : null
  return {
    id: row.id,
    state: collectionStateName(row.state),
    round: row.round,
    description: row.description,
    actor: row.actor === null ? null : { id: row.actor },
    tags: row.tags,
    callback: row.callback,
    counts,
    progress,
    createdAt: row.createdAt,
    settledAt: row.settledAt,
    cancelling: row.state === 0 && row.cancelledAt !== null,
    failure: failure?.failure ?? null,
    failedJobId: failure?.jobId ?? null,
  }
}

function countsIn(text: string): Pick<CollectionRecord, 'counts' | 'progress'> {
  const slots = text.split(',').map(Number)
  const of = (code: number, roleOf: number): number => slots[code * 3 + roleOf] ?? 0
  const counts = Object.fromEntries(
    jobStates.map((name, code) => [name, of(code, role.main) + of(code, role.side) + of(code, role.callback)]),
  ) as Record<keyof JobCounts, number>
  const mains = jobStates.map((_, code) => of(code, role.main))
  const sum = (numbers: readonly number[]): number => numbers.reduce((one, other) => one + other, 0)
  return { counts, progress: { done: sum(mains.slice(state.succeeded)), total: sum(mains) } }
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

// ── the jobs of a collection ─────────────────────────────────────────────────────────────────────────────────────

function membersOf(rows: Rows, numbers: readonly number[]): JobRecord[] {
  const all = numbers
    .map((number) => rows.job(number))
    .filter((each) => each !== null)
    .filter(({ archived }) => archived === null)
  const after = afterByBarrier(rows, all)
  return inOrder(all).map((row) => jobRecord(rows, row, row.behind === null ? [] : (after.get(row.behind) ?? [])))
}

/** The ids of the jobs at each barrier; one list for all the jobs behind it. */
function afterByBarrier(rows: Rows, jobs: readonly JobAt[]): Map<number, string[]> {
  const after = new Map<number, string[]>()
  for (const { id, feeds } of jobs) {
    for (let barrier = feeds; barrier !== null; barrier = outerOf(rows, barrier)) {
      const ids = after.get(barrier) ?? []
      if (ids.length < afterLimit) ids.push(id)
      after.set(barrier, ids)
    }
  }
  return after
}

/** The barrier that a barrier feeds. */
function outerOf(rows: Rows, barrier: number): number | null {
  const [base, , , , , , feeds] = (rows.get(`b:${barrier}`) ?? '').split('\n', 1)[0]?.split(',') ?? []
  return feeds === undefined || feeds === '' ? null : Number(base) + Number(feeds)
}

/** As written; the jobs of a continuation behind the job that continued. */
function inOrder(jobs: readonly JobAt[]): JobAt[] {
  const inside = new Map<number, JobAt[]>()
  for (const job of jobs) {
    if (job.parent === null) continue
    const list = inside.get(job.parent)
    if (list === undefined) inside.set(job.parent, [job])
    else list.push(job)
  }
  if (inside.size === 0) return [...jobs]
  const ordered: JobAt[] = []
  const left = jobs.filter(({ parent }) => parent === null).reverse()
  for (let job = left.pop(); job !== undefined; job = left.pop()) {
    ordered.push(job)
    left.push(...(inside.get(job.number) ?? []).reverse())
  }
  return ordered
}
