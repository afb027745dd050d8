import { state, work } from '../../engine/codes.ts'
import {
  bySlices,
  collectionRetention,
  entriesPerCall,
  lookAgainAfter,
  readRuns,
  runsOf,
} from '../../engine/retention.ts'
import { members } from './members.ts'
import { removal } from './removal.ts'
import type { Database } from './database.ts'
import { part, reading, type Runs } from './scripts.ts'
import { goOn, writing } from './work.ts'

/** Numbers of one batch, unless one entry has more; and batches that are sent one behind the other, without waiting for answers. */
const numbersPerBatch = 1_000
const batchesPerRound = 8

// ── by hand ──────────────────────────────────────────────────────────────────────────────────────────────────────

const removeScript = writing(
  'remove',
  `
local header, after = S.select(arg(), true), number()
if not header then return {'not-found', 0} end
local isSettled = header.state ~= 0
if header.isAlone then isSettled = S.jobAt(header.number).state >= ${state.succeeded} end
if not isSettled then return {'unsettled', 0} end
local item = {subject = header.number, after = after}
local found = S.lookOver(item)
if found == 'busy' then return {'unsettled', 0} end
if found == 'more' then return {'looking', item.after} end
S.forget(header.number)
S.later(${work.remove}, header.number, 1)
return {'removed', 0}
`,
  members,
  removal,
)

/** Removes a settled collection on request. A large one is looked over first, in several calls. */
export async function remove(runs: Runs, id: string): Promise<'removed' | 'unsettled' | 'not-found'> {
  for (let after = 0; ;) {
    const [answer, reached] = await runs.write<['removed' | 'unsettled' | 'not-found' | 'looking', number]>(
      removeScript,
      [id, after],
    )
    if (answer !== 'looking') return answer
    after = reached
  }
}

// ── by time ──────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What is due. What large changes left is seen to first: a large collection is removed by several calls, and before any other is begun.
 */
const dueScript = reading(
  'due',
  `
if call('ZCARD', P .. 'work') > 0 then return {1} end
return {0, string.format('%.0f', now), call('HGET', P .. 'meta', 'retries') or '',
  call('ZRANGEBYSCORE', P .. 'leaving', '-inf', now, 'LIMIT', 0, ${entriesPerCall})}
`,
)
type Due = readonly [isBusy: number, now: string, retries: string, entries: readonly string[]]

/** Entries whose numbers are removed in one call. */
interface Batch {
  readonly entries: string[]
  readonly numbers: number[]
}

function batchesOf(entries: readonly string[]): Batch[] {
  const batches: Batch[] = []
  for (const entry of entries) {
    const numbers = readRuns(entry.slice(entry.indexOf(':') + 1)).flatMap(({ first, last }) =>
      Array.from({ length: last - first + 1 }, (_, at) => first + at),
    )
    const last = batches.at(-1)
    if (last !== undefined && last.numbers.length + numbers.length <= numbersPerBatch) {
      last.entries.push(entry)
      last.numbers.push(...numbers)
    } else if (batches.length < batchesPerRound) batches.push({ entries: [entry], numbers })
    else break
  }
  return batches
}

/** The rows of a job alone that ran once, succeeded and was never retried. What else there is of it, its rows and `more` tell. */
const once = new RegExp(`^${state.succeeded},\\d+,1,\\d+,\\d+,\\d+,(\\d+)(?:$|[\\n\\r])`)
const alone = /^\d+\n[^\n]*\n([^\n]*)\n[^\n]*\n[^\n]*\n(\d*)/

/** Names the keys and ids of such jobs, and the numbers of all else, which the server has to look at. */
function sortOut(prefix: string, numbers: readonly number[], rows: readonly (string | null)[], now: number) {
  const keys: string[] = []
  const ids: string[] = []
  const others: number[] = []
  numbers.forEach((number, at) => {
    const row = rows[2 * at] ?? ''
    const standing = rows[2 * at + 1] ?? ''
    const ended = once.exec(standing)
    const plain = ended && alone.exec(row)
    const kept = Number(plain?.[2] || collectionRetention)
    if (!ended || !plain || Number(ended[1]) + kept > now) return others.push(number)
    ids.push(plain[1] as string)
    keys.push(`${prefix}j:${number}`, `${prefix}s:${number}`)
    if (standing.includes('\r')) keys.push(`${prefix}r:${number}`)
    if (row.endsWith('\r')) keys.push(`${prefix}g:${number}`)
    return null
  })
  return { keys, ids, others }
}

const dueNumbers = part(
  `
local function isDueTogether(row, standing)
  local settledAt, removedAt = string.match(standing or '', '^%d,%d+,(%d*),%d*,(%d*)')
  if not settledAt or settledAt == '' or removedAt ~= '' then return false end
  local kept = tonumber(string.match(row, '^[^\\n]*\\n(%d*)')) or ${collectionRetention}
  return settledAt + kept <= now
end
local ends = '^(%d),%d+,%d+,[^,]*,%d*,%d*,(%d*)'
local parts = '^%d+(,?)[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n(%d*)'
local function isDueAlone(number, row, standing)
  local code, finishedAt = string.match(standing or '', ends)
  if not code or tonumber(code) < ${state.succeeded} or finishedAt == '' then return false end
  local comma, kept = string.match(row, parts)
  if comma ~= '' and tonumber(string.match(row, '^%d+,%d+,(%d+)')) ~= number then return false end
  return finishedAt + (tonumber(kept) or ${collectionRetention}) <= now
end
local function isDue(number)
  local rows = call('MGET', P .. 'j:' .. number, P .. 's:' .. number, P .. 'c:' .. number, P .. 'k:' .. number)
  S.left = S.left - 0.2
  if rows[1] then return isDueAlone(number, rows[1], rows[2]) end
  return rows[3] and isDueTogether(rows[3], rows[4])
end
-- Removes collections, and jobs alone that may have more than their own rows, as far as this call may. The rest stays due.
local function removeDue(numbers)
  for at, number in ipairs(numbers) do
    if S.left <= 0 then
      local rest = {}
      for to = at, #numbers do rest[#rest + 1] = S.digits[numbers[to]] end
      call('ZADD', P .. 'leaving', now, S.digits[now] .. ':' .. table.concat(rest, ','))
      return
    end
    if isDue(number) then
      local item = {subject = number, detail = 0, after = 0}
      local isTried, isDone = S.try('removal of number ' .. S.digits[number], S.removeSome, item)
      if not isTried then S.leave(number, ${lookAgainAfter})
      elseif not isDone then S.later(${work.remove}, number, item.detail, item.after) end
    end
  end
end
`,
  removal,
)

/** What was read may be out of date where anything was retried since: then every number is looked at again. */
const retainScript = writing(
  'retain',
  `
-- Not by unpack: an entry may name more than fit onto the stack.
local function list()
  local all = {}
  for at = 1, number() do all[at] = arg() end
  return all
end
local function numberList()
  local list = {}
  for at = 1, number() do list[at] = number() end
  return list
end
local function numbersOf(runs)
  local numbers = {}
  for first, last in string.gmatch(runs, '(%d+)%-?(%d*)') do
    for number = tonumber(first), tonumber(last) or tonumber(first) do numbers[#numbers + 1] = number end
  end
  return numbers
end
-- What stands in keys of its own, of all but those that are removed one by one.
local function removeMore(runs, others)
  local isOther = {}
  for at, number in ipairs(others) do isOther[number] = true end
  for first, last in string.gmatch(runs, '(%d+)%-?(%d*)') do
    for _, number in ipairs(call('ZRANGEBYSCORE', P .. 'more', first, last ~= '' and last or first)) do
      if not isOther[tonumber(number)] then S.eraseMore(number) end
    end
  end
end
local isSame = arg() == (call('HGET', P .. 'meta', 'retries') or '')
change('ZREM', P .. 'leaving', list())
local runs, keys, ids, others = arg(), list(), list(), numberList()
if isSame then
  removeMore(runs, others)
  change('UNLINK', nil, keys)
  change('HDEL', P .. 'ids', ids)
else others = numbersOf(runs) end
removeDue(others)
return 0
`,
  dueNumbers,
)

export interface RetentionParts {
  readonly db: Pick<Database, 'prefix' | 'read' | 'send'>
  readonly runs: Runs
}

/**
 * Removes some of what was kept for long enough. What most jobs alone have is found out here, and only its keys are named to the server:
 * it has one core, and all workers wait for it. Resolves to whether more may be due.
 */
export async function retain({ db, runs }: RetentionParts): Promise<boolean> {
  const [isBusy, now, retries, entries] = await db.read<Due>(dueScript)
  if (isBusy === 1) {
    await goOn(runs)
    return true
  }
  if (entries.length === 0) return false
  await Promise.all(batchesOf(entries).map((batch) => removeBatch({ db, runs }, batch, Number(now), retries)))
  return true
}

async function removeBatch(
  { db, runs }: RetentionParts,
  { entries, numbers }: Batch,
  now: number,
  retries: string,
): Promise<void> {
  const named = numbers.flatMap((number) => [`${db.prefix}j:${number}`, `${db.prefix}s:${number}`])
  const rows = await db.send<(string | null)[]>('MGET', ...named)
  const { keys, ids, others } = sortOut(db.prefix, numbers, rows, now)
  const listed = (list: readonly (string | number)[]): (string | number)[] => [list.length, ...list]
  await runs.write(retainScript, [
    retries,
    ...listed(entries),
    runsOf(numbers),
    ...listed(keys),
    ...listed(ids),
    ...listed(others),
  ])
}

/** Numbers looked at in one command, and commands sent one behind the other. */
const window = 250
const windowsTogether = 40

/** What numbers there are, and from which on some are taken by uploads whose rows are not all there yet. */
const numbersScript = reading(
  'numbersLeft',
  `
local first = tonumber(call('HGET', P .. 'meta', 'oldest') or '1')
local last = tonumber(call('GET', P .. 'numbers') or '0')
for _, upload in ipairs(call('HVALS', P .. 'uploads')) do
  local collection, base = string.match(upload, '^(%d+),(%d+)')
  last = math.min(last, collection - 1, base - 2)
end
return {first, last}
`,
)
const oldestScript = reading(
  'noteOldest',
  `
local oldest = number()
if oldest > tonumber(call('HGET', P .. 'meta', 'oldest') or '1') then call('HSET', P .. 'meta', 'oldest', oldest) end
return 0
`,
)

/** Notes below which number nothing is left, so that whoever goes over all numbers begins there. */
export async function noteOldest(db: Database): Promise<void> {
  const [first, last] = await db.read<[number, number]>(numbersScript)
  let oldest = first
  // Mostly the oldest is still there: one look tells.
  let together = 1
  await bySlices(db.runtime, async () => {
    const starts = Array.from({ length: together }, (_, at) => oldest + at * window).filter((start) => start <= last)
    const counts = await Promise.all(starts.map((start) => rowsIn(db, start, Math.min(start + window - 1, last))))
    const kept = counts.findIndex((count) => count > 0)
    oldest = kept === -1 ? Math.min(oldest + together * window, last + 1) : (starts[kept] as number)
    together = windowsTogether
    return kept === -1 && oldest <= last
  })
  if (oldest > first) await db.read(oldestScript, [oldest])
}

function rowsIn(db: Database, first: number, last: number): Promise<number> {
  const numbers = Array.from({ length: last - first + 1 }, (_, at) => first + at)
  return db.send<number>('EXISTS', ...numbers.flatMap((n) => [`${db.prefix}j:${n}`, `${db.prefix}c:${n}`]))
}
