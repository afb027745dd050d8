import { state } from '../../engine/codes.ts'
import { sessionRetention } from '../../engine/recovery.ts'
import type { Script } from './database.ts'
import { members } from './members.ts'
import { removal } from './removal.ts'
import { part, rowsPerCall, type Runs } from './scripts.ts'
import { writing } from './work.ts'

/** Defaults, in milliseconds: a settled collection is kept for a week, events for a day. */
const collectionRetention = 7 * 24 * 60 * 60_000
const eventRetention = 24 * 60 * 60_000

/** Numbers looked at in one call, the most that are removed of them, and the rest between two passes. */
const window = 2_000
const removedPerCall = 200
const pause = 60_000

/** Keys that have run out are looked at so many at a time. */
const keysPerCall = 500
const sessionsPerCall = 500
const uploadMemory = 60 * 60_000
/** Values are all alike, and go in one command. */
const valuesPerCall = 10_000
/** An idempotency key is kept as long as its collection: when to look again. */
const lookAgainAfter = 60 * 60_000

/** Where this process stands in its pass over what has settled: oldest first, some numbers a call, then a pause. */
export interface RetentionPass {
  after: number
  nextAt: number
}
export const newRetentionPass = (): RetentionPass => ({ after: 0, nextAt: 0 })

const isOver = part(
  `
local function isBusy(number)
  for _, span in ipairs(S.membersOf(number)) do
    for first = span.first, span.last, 1000 do
      local numbers = {}
      for seq = first, math.min(first + 999, span.last) do numbers[#numbers + 1] = seq end
      S.loadJobs(numbers)
      for _, seq in ipairs(numbers) do
        local job = S.jobAt(seq)
        if job and seq ~= number and not job.archived and job.state < ${state.succeeded} then return true end
      end
    end
  end
  return false
end
`,
  members,
)

// ── by hand ──────────────────────────────────────────────────────────────────────────────────────────────────────

const removeScript = writing(
  'remove',
  `
local header = S.select(arg(), true)
if not header then return 'not-found' end
local isSettled = header.state ~= 0
if header.isAlone then isSettled = S.jobAt(header.number).state >= ${state.succeeded} end
if not isSettled or isBusy(header.number) then return 'unsettled' end
S.forget(header.number)
return 'removed'
`,
  isOver,
  removal,
)

/** Removes a settled collection on request. */
export function remove(runs: Runs, id: string): Promise<'removed' | 'unsettled' | 'not-found'> {
  return runs.write(removeScript, [id])
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
local sessions = call('ZRANGEBYSCORE', P .. 'ended', '-inf', '(' .. string.format('%.0f', now - ${sessionRetention}), 'LIMIT', 0, ${sessionsPerCall})
for _, number in ipairs(sessions) do
  local id = call('HGET', P .. 'session:' .. number, 'id')
  if id then call('HDEL', P .. 'sessions', id) end
  call('DEL', P .. 'session:' .. number, P .. 'tokens:' .. number, P .. 'run:' .. number, P .. 'trying:' .. number)
  call('HDEL', P .. 'losing', number)
  call('ZREM', P .. 'ended', number)
end
return #sessions == ${sessionsPerCall} and 1 or 0
`,
    ),
  ],
]

/**
 * Nothing finished stands in an index for this, so passes go over all rows, a window of numbers in each call however few of them
 * are due.
 */
const dueNumbers = part(
  `
local function dueAlone(number, row, standing)
  local code, finishedAt = string.match(standing or '', '^(%d),%d+,%d+,[^,]*,%d*,%d*,(%d*)')
  if not code or tonumber(code) < ${state.succeeded} or finishedAt == '' then return false end
  local line = string.match(row, '^[^\\n]*')
  if string.find(line, ',', 1, true) and tonumber(string.match(line, '^%d+,%d+,(%d+)')) ~= number then return false end
  local kept = tonumber(string.match(row, '^[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n(%d*)')) or ${collectionRetention}
  return finishedAt + kept <= now
end
local function dueTogether(row, standing)
  local settledAt, removedAt = string.match(standing or '', '^%d,%d+,(%d*),%d*,(%d*)')
  if not settledAt or settledAt == '' or removedAt ~= '' then return false end
  local kept = tonumber(string.match(row, '^[^\\n]*\\n(%d*)')) or ${collectionRetention}
  return settledAt + kept <= now
end
local function rowsOf(kind, numbers)
  local keys = {}
  for at = 1, #numbers do keys[at] = P .. kind .. numbers[at] end
  return many('MGET', nil, keys)
end
-- Forgets what is due of a window; gives the number that it came to, and whether it found anything at all.
local function forgetDue(first, last)
  local numbers, count, isEmpty = {}, 0, true
  for number = first, last do numbers[#numbers + 1] = number end
  local jobs, collections = rowsOf('j:', numbers), rowsOf('c:', numbers)
  local standings, settled = rowsOf('s:', numbers), rowsOf('k:', numbers)
  for at, number in ipairs(numbers) do
    local isDue = false
    if collections[at] then isDue = dueTogether(collections[at], settled[at])
    elseif jobs[at] then isDue = dueAlone(number, jobs[at], standings[at]) end
    if collections[at] or jobs[at] then isEmpty = false end
    if isDue and not isBusy(number) then
      S.forget(number)
      count = count + 1
      if count == ${removedPerCall} then return number, false end
    end
  end
  return last, isEmpty
end
`,
  isOver,
  removal,
)

const retainScript = writing(
  'retain',
  `
local after = number()
local oldest = tonumber(call('HGET', P .. 'meta', 'oldest') or '1')
local last = tonumber(call('GET', P .. 'numbers') or '0')
local first = math.max(after + 1, oldest)
if first > last then return -1 end
local reached, isEmpty = forgetDue(first, math.min(first + ${window - 1}, last))
if isEmpty and first == oldest then call('HSET', P .. 'meta', 'oldest', reached + 1) end
return reached
`,
  dueNumbers,
)

/** Removes what has been settled for longer than it is kept. */
export async function retain(runs: Runs, now: number, pass: RetentionPass): Promise<void> {
  if (now < pass.nextAt) return
  const reached = await runs.write<number>(retainScript, [pass.after])
  pass.after = Math.max(reached, 0)
  if (reached < 0) pass.nextAt = now + pause
}
