import type { Callback } from '../../core/collection.ts'
import type { Failure } from '../../core/failure.ts'
import type { JobRecord, Progress } from '../../core/job.ts'
import { reason, reasonName, role, roleName, state, stateName } from '../../engine/codes.ts'
import { failureIn, type FoundFailure } from '../../engine/failures.ts'
import { afterLimit } from '../../engine/members.ts'
import { readStored, storedFailure } from '../../engine/stored.ts'
import { type JobRow, readJob, readStanding, type Standing } from './rows.ts'
import { part } from './scripts.ts'

/**
 * What a reading script hands over: rows as they are stored, by their names without the prefix (`j:12`), and what it found
 * out on the way to them. One script sees one state of the store, so it fetches all that one answer is told from.
 */
export class Rows {
  readonly #rows = new Map<string, string>()
  readonly #jobs = new Map<number, JobAt | null>()
  readonly #collections = new Map<number, CollectionAt | null>()

  constructor(flat: readonly string[]) {
    for (let at = 0; at < flat.length; at += 2) this.#rows.set(flat[at] as string, flat[at + 1] as string)
  }

  /** These rows and some more. */
  with(flat: readonly string[]): Rows {
    return new Rows([...[...this.#rows].flat(), ...flat])
  }

  get(name: string): string | null {
    return this.#rows.get(name) ?? null
  }

  job(number: number): JobAt | null {
    let known = this.#jobs.get(number)
    if (known === undefined) {
      const row = this.get(`j:${number}`)
      const job = row === null ? null : readJob(number, row)
      known = job === null ? null : { ...job, ...readStanding(job, this.get(`s:${number}`)) }
      this.#jobs.set(number, known)
    }
    return known
  }

  collection(number: number): CollectionAt | null {
    let known = this.#collections.get(number)
    if (known === undefined) {
      const row = this.get(`c:${number}`)
      known = row === null ? null : readCollection(number, row, this.get(`k:${number}`))
      this.#collections.set(number, known)
    }
    return known
  }
}

/** A job as it was submitted and as it stands. */
export type JobAt = JobRow & Standing

export interface CollectionAt {
  readonly number: number
  readonly createdAt: number
  readonly exit: number
  readonly retention: number | null
  readonly id: string
  readonly shape: string
  readonly actor: string | null
  readonly description: string | null
  readonly tags: readonly string[]
  readonly callback: Callback | null
  readonly state: number
  readonly round: number
  readonly settledAt: number | null
  readonly cancelledAt: number | null
  readonly removedAt: number | null
}

interface Label {
  readonly actor: string | null
  readonly description: string | null
  readonly tags: readonly string[] | null
  readonly callback: Callback | null
}
const noLabel: Label = { actor: null, description: null, tags: null, callback: null }

function readCollection(number: number, row: string, standing: string | null): CollectionAt {
  const [head = '', retention = '', id = '', shape = '', label = ''] = row.split('\n')
  const [createdAt, base, , , exit] = head.split(',').map(Number) as [number, number, number, number, number]
  const [code, round, settledAt, cancelledAt, removedAt] = (standing ?? '0,1,,,').split(',')
  const { actor, description, tags, callback } = readStored(label, noLabel)
  return {
    number,
    createdAt,
    exit: base + exit,
    retention: orNull(retention),
    id,
    shape,
    actor,
    description,
    tags: tags ?? [],
    callback,
    state: Number(code),
    round: Number(round),
    settledAt: orNull(settledAt),
    cancelledAt: orNull(cancelledAt),
    removedAt: orNull(removedAt),
  }
}

const orNull = (text: string | undefined): number | null => (text === undefined || text === '' ? null : Number(text))

// ── fetching ─────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * `look` fetches rows once, `found` is what the script hands over. `tellJobs` fetches all that is told of jobs: their rows, those of
 * their collections, of the jobs they continue, of those whose failure they have; names of workers; the jobs they wait for.
 */
export const record = part(`
local rows, found = {}, {}
-- A row that is damaged is as good as none. Commands that answer nothing for a key of another type, where others would fail.
local heads = {
  ['j:'] = '^%d+\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n',
  ['s:'] = '^%d,%d+,%d+,[^,]*,%d*,%d*,%d*',
  ['c:'] = '^%d+,%d+,%d+,%d+,%d+\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n',
  ['k:'] = '^%d,%d+,%d*,%d*,%d*',
}
local ofGraph = '^%d+,%d+,%d+,%d*,%d+,%d*,%d+,%d,%-?%d*,%d,%-?%d*,[^\\n]*' .. string.sub(heads['j:'], 5)
local function sound(kind, row)
  local head = heads[kind]
  if row and kind == 'c:' and not isSpan(string.match(row, '^%d+,(%d+),(%d+),(%d+)')) then return false end
  if not row or not head or string.find(row, head) or (kind == 'j:' and string.find(row, ofGraph)) then return row end
  return false
end
local function textAt(name)
  return call('MGET', P .. name)[1]
end
local function rangeOf(command, name, ...)
  local range = redis.pcall(command, P .. name, ...)
  return range.err and {} or range
end
local function sizeAt(name)
  local size = redis.pcall('STRLEN', P .. name)
  return type(size) == 'number' and size or 0
end
local function keep(name, value)
  rows[name] = value
  found[#found + 1] = name
  found[#found + 1] = value
end
local function look(kind, numbers)
  local names, keys = {}, {}
  for at = 1, #numbers do
    local name = kind .. numbers[at]
    if rows[name] == nil then
      rows[name] = false
      names[#names + 1] = name
      keys[#keys + 1] = P .. name
    end
  end
  local values = many('MGET', nil, keys)
  for at = 1, #names do
    local row = sound(kind, values[at])
    if row then keep(names[at], row) end
  end
end
local function rowsAt(kind, numbers)
  local keys = {}
  for at = 1, #numbers do keys[at] = P .. kind .. numbers[at] end
  local found = many('MGET', nil, keys)
  for at = 1, #numbers do found[at] = sound(kind, found[at]) end
  return found
end
local function headIn(row, number)
  local line = string.match(row, '^[^\\n]*')
  if not string.find(line, ',', 1, true) then return {collection = number, role = '0'} end
  local base, collection, parent, roleOf, behind, feeds =
    string.match(line, '^[^,]*,([^,]*),([^,]*),([^,]*),[^,]*,[^,]*,[^,]*,([^,]*),([^,]*),[^,]*,([^,]*)')
  base = tonumber(base)
  return {
    collection = tonumber(collection),
    parent = tonumber(parent),
    role = roleOf,
    behind = behind ~= '' and base + behind or nil,
    feeds = feeds ~= '' and base + feeds or nil
  }
end
local function standingIn(row)
  if not row then return {} end
  local code, session, finishedAt = string.match(row, '^(%d*),%d*,%d*,[^,]*,(%d*),%d*,(%d*)')
  local why, cause, continuation, archived =
    string.match(row, '^[^;\\n\\r]*;[^,]*,[^,]*,[^,]*,[^,]*,[^,]*,[^,]*,(%d*),(%d*),(%d*),(%d*)')
  return {
    state = code,
    session = tonumber(session),
    finishedAt = tonumber(finishedAt),
    reason = why,
    cause = tonumber(cause),
    continuation = tonumber(continuation),
    archived = tonumber(archived)
  }
end
local function runsOf(line, base, into)
  for run in string.gmatch(line, '[^,]+') do
    local first, last, step = string.match(run, '^(%d+)%-?(%d*)/?(%d*)$')
    if not isSpan(first and '0', first, last) then return end
    for offset = tonumber(first), tonumber(last) or tonumber(first), math.max(tonumber(step) or 1, 1) do
      if #into >= ${afterLimit} then return end
      into[#into + 1] = base + offset
    end
  end
end
-- How many barriers and jobs were looked at for the names of what jobs wait for.
local named = 0
-- The jobs at some barriers, of which there may be 100,000: no more than are named, and no more barriers than that.
local function leavesAt(barriers)
  local jobs, at = {}, 1
  while barriers[at] and #jobs < ${afterLimit} do
    local some = {}
    for n = at, math.min(at + 99, #barriers) do some[#some + 1] = barriers[n] end
    at = at + #some
    for n, row in ipairs(rowsAt('b:', some)) do
      local base = row and tonumber(string.match(row, '^%d+'))
      local lists = row and string.match(row, '^[^\\n]*\\n(.*)$')
      if lists == '\\r' then lists = textAt('l:' .. some[n]) end
      if lists then
        local own, nested = string.match(lists, '^[^\\n]*\\n([^\\n]*)\\n([^\\n]*)')
        runsOf(own, base, jobs)
        runsOf(nested, base, barriers)
      end
    end
  end
  named = named + at + #jobs
  table.sort(jobs)
  return jobs
end
-- Gives its size, where it was not known before.
local function keepAfter(barrier)
  if rows['after:' .. barrier] then return 0 end
  local ids = {}
  for _, row in ipairs(rowsAt('j:', leavesAt({barrier}))) do
    if row then ids[#ids + 1] = string.match(row, '^[^\\n]*\\n[^\\n]*\\n([^\\n]*)') end
  end
  keep('after:' .. barrier, table.concat(ids, '\\n'))
  return #rows['after:' .. barrier]
end
local function keepWorker(session)
  if session and rows['worker:' .. session] == nil then
    keep('worker:' .. session, call('HGET', P .. 'session:' .. session, 'name') or '')
  end
end
-- What was read of jobs, by their numbers.
local readings = {}
local function readingOf(number)
  local reading = readings[number]
  if reading == nil then
    local row = rows['j:' .. number]
    local standing = rows['s:' .. number]
    reading = row and {row = row, head = headIn(row, number), standing = standingIn(standing), isTouched = standing}
    readings[number] = reading
  end
  return reading
end
local function tellJobs(numbers, withAfter)
  look('j:', numbers)
  look('s:', numbers)
  -- Nothing was ever done to those that have no standing.
  local long, collections, others, causes, touched, last = {}, {}, {}, {}, {}, nil
  for _, number in ipairs(numbers) do
    local reading = readingOf(number)
    if reading then
      local row, head, standing = reading.row, reading.head, reading.standing
      if reading.isTouched then touched[#touched + 1] = number end
      if string.byte(row, -1) == 13 and string.byte(row, -2) == 10 then long[#long + 1] = number end
      if head.collection ~= number and head.collection ~= last then
        last = head.collection
        collections[#collections + 1] = last
      end
      if head.parent then others[#others + 1] = head.parent end
      if standing.cause and standing.cause ~= number then causes[#causes + 1] = standing.cause end
      if withAfter and head.behind then keepAfter(head.behind) end
      keepWorker(standing.session)
    end
  end
  look('f:', touched)
  look('p:', touched)
  look('g:', long)
  look('c:', collections)
  look('k:', collections)
  for _, number in ipairs(collections) do
    if not rows['c:' .. number] then others[#others + 1] = number end
  end
  look('j:', others)
  for _, kind in ipairs({'j:', 's:', 'f:'}) do look(kind, causes) end
end
`)

/** Rows that belong to an unfinished upload are not to be seen. */
export const hidden = part(`
local uploads = {}
for _, row in ipairs(call('HVALS', P .. 'uploads')) do
  local base, jobs, barriers = string.match(row, '^[^,]*,([^,]*),([^,]*),([^,]*)')
  uploads[#uploads + 1] = {base - 1, base + jobs + barriers - 1}
end
table.sort(uploads, function(one, other) return one[1] < other[1] end)
-- No two overlap. There may be hundreds that somebody gave up, and every list asks this of every job.
local function isHidden(number)
  local low, high = 1, #uploads
  while low <= high do
    local at = math.floor((low + high) / 2)
    if number < uploads[at][1] then high = at - 1
    elseif number > uploads[at][2] then low = at + 1
    else return true end
  end
  return false
end
`)

// ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Its collection is being removed. */
export const isOutOfSight = (rows: Rows, { collection }: JobAt): boolean =>
  (rows.collection(collection)?.removedAt ?? null) !== null

export function jobRecord(rows: Rows, job: JobAt, after: readonly string[]): JobRecord {
  const { number } = job
  const collection = job.collection === number ? null : rows.collection(job.collection)
  const alone = collection === null ? (rows.job(job.collection) ?? job) : null
  const failed = job.cause === null || job.cause === number ? null : failureOf(rows, job.cause)
  const own = job.cause === number ? failureOf(rows, number) : null
  const actor = (collection === null ? alone?.label.actor : collection.actor) ?? null
  const markedAt = job.markedAt ?? (job.role === role.main ? (collection?.cancelledAt ?? null) : null)
  return {
    id: job.id,
    collectionId: collection?.id ?? alone?.id ?? job.id,
    task: job.task,
    state: stateName(job.state),
    reason: job.state >= state.succeeded ? reasonName(job.reason) : null,
    role: roleName(job.role),
    queue: job.queue,
    priority: job.priority,
    args: job.args ?? rows.get(`g:${number}`) ?? '[]',
    parentId: job.parent === null ? null : (rows.job(job.parent)?.id ?? null),
    after,
    attempt: job.attempt,
    failures: job.failures,
    round: job.round,
    version: job.version,
    progress: progressOf(rows, job),
    failure: job.state === state.succeeded ? null : (failed?.failure ?? own?.failure ?? earlierFailure(rows, number)),
    failedJobId: failed?.jobId ?? own?.jobId ?? null,
    actor: actor === null ? null : { id: actor },
    description: job.label.description,
    tags: job.label.tags ?? job.options.tags ?? [],
    worker: job.session === null ? null : workerOf(rows, job.session),
    createdAt: job.createdAt,
    dueAt: job.state < state.succeeded ? job.dueAt : null,
    startedAt: job.startedAt,
    finishedAt: job.finishedAt,
    cancelling: job.state < state.succeeded && markedAt !== null,
    continued: job.continuation !== null,
  }
}

export const afterOf = (rows: Rows, { behind }: JobAt): string[] =>
  behind === null ? [] : (rows.get(`after:${behind}`) ?? '').split('\n').filter((id) => id !== '')

export const workerOf = (rows: Rows, session: number): string | null => rows.get(`worker:${session}`) || null

/** That of an earlier attempt is none. */
function progressOf(rows: Rows, { number, attempt }: JobAt): Progress | null {
  const row = rows.get(`p:${number}`)
  if (row === null) return null
  const end = row.indexOf('\n')
  return Number(row.slice(0, end)) === attempt ? readStored<Progress | null>(row.slice(end + 1), null) : null
}

function earlierFailure(rows: Rows, number: number): Failure | null {
  return storedFailure(rows.get(`f:${number}`))
}

/** The failure of a job that failed or was cancelled. */
export function failureOf(rows: Rows, number: number): FoundFailure | null {
  const job = rows.job(number)
  return job === null ? null : failureIn({ ...job, failure: rows.get(`f:${number}`) })
}

/** Counts of jobs by state and role; those that were not needed, and those of history, do not count. And who failed first. */
export const tally = part(
  `
local function tallyJobs(numbers)
  local counts, first, cause = {}, nil, nil
  for at = 1, 24 do counts[at] = 0 end
  local jobs, standings = rowsAt('j:', numbers), rowsAt('s:', numbers)
  for at, number in ipairs(numbers) do
    if jobs[at] then
      local head, standing = headIn(jobs[at], number), standingIn(standings[at])
      local code = standing.state or (head.behind and '${state.waiting}' or '${state.queued}')
      local isNeeded = code ~= '${state.skipped}' or standing.reason ~= '${reason.notNeeded}'
      if not standing.archived and isNeeded then
        local slot = code * 3 + head.role + 1
        counts[slot] = counts[slot] + 1
        local isUnlucky = head.role == '0' and (code == '${state.failed}' or code == '${state.cancelled}')
        if isUnlucky and standing.cause and (not first or standing.finishedAt < first) then
          first, cause = standing.finishedAt, standing.cause
        end
      end
    end
  end
  return table.concat(counts, ','), cause, first
end
`,
  record,
)
