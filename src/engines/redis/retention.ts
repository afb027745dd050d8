import { state, work } from '../../engine/codes.ts'
import { rowsPerCall } from '../../engine/limits.ts'
import { sessionRetention } from '../../engine/recovery.ts'
import {
  collectionRetention,
  entriesPerCall,
  eventRetention,
  keysPerCall,
  lookAgainAfter,
  uploadMemory,
  valuesPerCall,
} from '../../engine/retention.ts'
import { members } from './members.ts'
import { removal } from './removal.ts'
import type { Database, Script } from './database.ts'
import { part, reading, type Runs } from './scripts.ts'
import { writing } from './work.ts'

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

/** What else is removed once its time is over: a script for each, which answers 1 where there may be more. */
export const chores: readonly (readonly [name: string, script: Script])[] = [
  // Removed from their end, some rows at a time.
  [
    'abandoned uploads',
    writing(
      'abandonUploads',
      `
local all = call('HGETALL', P .. 'uploads')
for at = 1, #all, 2 do
  local collection, base, jobCount, barrierCount, created, touched = string.match(all[at + 1], '^(%d+),(%d+),(%d+),(%d+),(%d+),(%d+)$')
  if tonumber(touched) < now - ${uploadMemory} then
    base, jobCount, barrierCount = tonumber(base), tonumber(jobCount), tonumber(barrierCount)
    local last, numbers = base + jobCount + barrierCount - 1, {}
    local first = math.max(base, last - ${rowsPerCall - 1})
    for number = first, last do numbers[#numbers + 1] = number end
    S.loadJobs(numbers)
    S.removedIds = {}
    for _, number in ipairs(numbers) do
      if number < base + jobCount then S.removeJob(number) else S.removeBarrier(number) end
    end
    change('HDEL', P .. 'ids', S.removedIds)
    S.left = S.left - #numbers
    if first > base then
      jobCount = math.min(jobCount, first - base)
      call('HSET', P .. 'uploads', all[at],
        table.concat({collection, base, jobCount, first - base - jobCount, created, touched}, ','))
    else
      S.removeBarrier(base - 1)
      call('HDEL', P .. 'uploads', all[at])
    end
    return 1
  end
end
return 0
`,
      removal,
    ),
  ],
  // Entries are numbered by the characters before them, and are in the order of time: so the first one to stay is found by halving.
  [
    'old events',
    writing(
      'trimEvents',
      `
local events = P .. 'events'
local function timeAt(id)
  local entry = call('XRANGE', events, string.format('%.0f', id), '+', 'COUNT', 1)[1]
  return entry and tonumber(entry[2][2]), entry and entry[1]
end
local before = now - ${eventRetention}
local oldest, first = timeAt(0)
if not oldest or oldest >= before then return 0 end
local low, high = tonumber(string.match(first, '^%d+')), tonumber(call('GET', P .. 'events-end')) + 1
while low < high do
  local middle = math.floor((low + high) / 2)
  local at = timeAt(middle)
  if at and at < before then low = middle + 1 else high = middle end
end
call('XTRIM', events, 'MINID', string.format('%.0f', low))
return 0
`,
    ),
  ],
  [
    'idempotency keys',
    writing(
      'trimIdempotency',
      `
local set = P .. 'idempotency-until'
local members = call('ZRANGEBYSCORE', set, '-inf', '(' .. now, 'LIMIT', 0, ${keysPerCall})
for _, member in ipairs(members) do
  local row = call('HGET', P .. 'idempotency', member)
  local id = row and string.match(row, '([^\\n]*)$')
  if id and call('HEXISTS', P .. 'ids', id) == 1 then call('ZADD', set, now + ${lookAgainAfter}, member)
  else
    call('ZREM', set, member)
    call('HDEL', P .. 'idempotency', member)
  end
end
return #members == ${keysPerCall} and 1 or 0
`,
    ),
  ],
  [
    'unique keys',
    writing(
      'trimUnique',
      `
local set = P .. 'unique-until'
local keys = call('ZRANGEBYSCORE', set, '-inf', '(' .. now, 'LIMIT', 0, ${keysPerCall})
for _, key in ipairs(keys) do
  local till = tonumber(string.match(call('HGET', P .. 'unique', key) or '', '^%d+,time,(%d+)'))
  if till and till < now then call('HDEL', P .. 'unique', key) end
  call('ZREM', set, key)
end
return #keys == ${keysPerCall} and 1 or 0
`,
    ),
  ],
  [
    'values',
    writing(
      'trimValues',
      `
local fields = call('ZRANGEBYSCORE', P .. 'values-until', '-inf', now, 'LIMIT', 0, ${valuesPerCall})
change('HDEL', P .. 'values', fields)
change('ZREM', P .. 'values-ids', fields)
change('ZREM', P .. 'values-until', fields)
return #fields == ${valuesPerCall} and 1 or 0
`,
    ),
  ],
  [
    'ended workers',
    writing(
      'trimSessions',
      `
local sessions = call('ZRANGEBYSCORE', P .. 'ended', '-inf', '(' .. string.format('%.0f', now - ${sessionRetention}), 'LIMIT', 0, ${keysPerCall})
for _, number in ipairs(sessions) do
  local id = call('HGET', P .. 'session:' .. number, 'id')
  if id then call('HDEL', P .. 'sessions', id) end
  call('DEL', P .. 'session:' .. number, P .. 'tokens:' .. number, P .. 'run:' .. number, P .. 'trying:' .. number)
  call('HDEL', P .. 'losing', number)
  call('ZREM', P .. 'ended', number)
end
return #sessions == ${keysPerCall} and 1 or 0
`,
    ),
  ],
]

const dueNumbers = part(
  `
local function isDueTogether(row, standing)
  local settledAt, removedAt = string.match(standing or '', '^%d,%d+,(%d*),%d*,(%d*)')
  if not settledAt or settledAt == '' or removedAt ~= '' then return false end
  local kept = tonumber(string.match(row, '^[^\\n]*\\n(%d*)')) or ${collectionRetention}
  return settledAt + kept <= now
end
local erased, filled = {}, 0
local function eraseAll()
  change('UNLINK', nil, erased)
  change('HDEL', P .. 'ids', S.removedIds)
  erased, filled, S.removedIds = {}, 0, {}
end
-- Removes a collection, or a job alone that may have more than its own rows, as far as this call may.
local function removeWhole(number)
  eraseAll()
  local item = {subject = number, detail = 0, after = 0}
  if not S.removeSome(item) then S.later(${work.remove}, number, item.detail, item.after) end
end
local function removeOther(number)
  local rows = call('MGET', P .. 'c:' .. number, P .. 'k:' .. number)
  S.left = S.left - 0.1
  if rows[1] and isDueTogether(rows[1], rows[2]) then removeWhole(number) end
end
local ends = '^(%d),%d+,(%d+),[^,]*,%d*,%d*,(%d*)()'
local parts = '^%d+(,?)[^\\n]*\\n[^\\n]*\\n([^\\n]*)\\n[^\\n]*\\n[^\\n]*\\n(%d*)'
-- Most jobs alone have run once, and succeeded: of the keys that a job may have few are there, and nothing else goes with it.
local function removeJob(number, digits, jobKey, row, standingKey, standing)
  local code, attempt, finishedAt, to = string.match(standing, ends)
  if not code or tonumber(code) < ${state.succeeded} or finishedAt == '' then return end
  local comma, id, kept = string.match(row, parts)
  if comma ~= '' and tonumber(string.match(row, '^%d+,%d+,(%d+)')) ~= number then return end
  if finishedAt + (tonumber(kept) or ${collectionRetention}) > now then return end
  local behind = string.byte(standing, to)
  if code == '${state.failed}' or attempt ~= '1' or behind == 59 then return removeWhole(number) end
  erased[filled + 1], erased[filled + 2], erased[filled + 3] = jobKey, standingKey, P .. 'p:' .. digits
  erased[filled + 4], erased[filled + 5] = P .. 'log:' .. digits, P .. 'u:' .. digits
  filled = filled + 5
  if behind == 13 then
    filled = filled + 1
    erased[filled] = P .. 'r:' .. digits
  end
  if string.byte(row, -1) == 13 then
    filled = filled + 1
    erased[filled] = P .. 'g:' .. digits
  end
  S.removedIds[#S.removedIds + 1] = id
  S.left = S.left - 1
end
-- Gives the first number that it did not come to.
local function removeRun(first, last)
  local reach, count = math.min(last, first + math.ceil(S.left) - 1), 0
  local keys, names, J, T = {}, {}, P .. 'j:', P .. 's:'
  for number = first, reach do
    local digits = tostring(number)
    names[#names + 1] = digits
    keys[count + 1], keys[count + 2] = J .. digits, T .. digits
    count = count + 2
  end
  local rows = many('MGET', nil, keys)
  for at = 1, #names do
    if S.left <= 0 then return first + at - 1 end
    local row, standing = rows[2 * at - 1], rows[2 * at]
    if not row then removeOther(first + at - 1)
    elseif standing then removeJob(first + at - 1, names[at], keys[2 * at - 1], row, keys[2 * at], standing) end
  end
  return reach + 1
end
local function removeDue()
  local key = P .. 'leaving'
  local entries = call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, ${entriesPerCall})
  for _, entry in ipairs(entries) do
    if S.left <= 0 then return true end
    local due, runs = string.match(entry, '^(%d+):(.*)$')
    local rest = {}
    for first, last in string.gmatch(runs, '(%d+)%-?(%d*)') do
      first, last = tonumber(first), tonumber(last) or tonumber(first)
      local nextOne = S.left > 0 and removeRun(first, last) or first
      if nextOne <= last then rest[#rest + 1] = nextOne == last and S.digits[last] or S.digits[nextOne] .. '-' .. S.digits[last] end
    end
    call('ZREM', key, entry)
    if #rest > 0 then call('ZADD', key, due, due .. ':' .. table.concat(rest, ',')) end
  end
  return #entries == ${entriesPerCall} or S.left <= 0
end
`,
  removal,
)

const retainScript = writing(
  'retain',
  `
-- What large changes left is seen to first, behind this: a large collection is removed by several calls, and before any other is begun.
if call('EXISTS', P .. 'work') == 1 then return {1, 1} end
local left = S.left
local isLeft = removeDue()
eraseAll()
return {isLeft and 1 or 0, S.left < left and 1 or 0}
`,
  dueNumbers,
)

export interface Retained {
  /** More is due: the caller goes on in another call. */
  readonly isLeft: boolean
  readonly hasRemoved: boolean
}

/** Removes some of what was kept for long enough. */
export async function retain(runs: Runs): Promise<Retained> {
  const [isLeft, hasRemoved] = await runs.write<[number, number]>(retainScript)
  return { isLeft: isLeft === 1, hasRemoved: hasRemoved === 1 }
}

/** Numbers looked at in one command, and in one sweep. */
const window = 1_000
const windowsPerSweep = 200

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
  for (let windows = 0; windows < windowsPerSweep && oldest <= last; windows++) {
    const end = Math.min(oldest + window - 1, last)
    const keys: string[] = []
    for (let number = oldest; number <= end; number++) keys.push(`${db.prefix}j:${number}`, `${db.prefix}c:${number}`)
    if ((await db.send<number>('EXISTS', ...keys)) > 0) break
    oldest = end + 1
  }
  if (oldest > first) await db.read(oldestScript, [oldest])
}
