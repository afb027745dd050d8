import { rowsPerCall } from '../../engine/limits.ts'
import { sessionRetention } from '../../engine/recovery.ts'
import { eventRetention, keysPerCall, lookAgainAfter, uploadMemory, valuesPerCall } from '../../engine/retention.ts'
import type { Script } from './database.ts'
import { removal } from './removal.ts'
import { writing } from './work.ts'

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
