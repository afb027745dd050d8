import { changes } from './change.ts'
import { library } from './scripts.ts'

/**
 * Keys that only one unfinished submission may hold. `holderOf(key)`: the collection that holds it, nil when it is free (now);
 * `holdUnique(collection, till, key)`, till being started, settled or how many milliseconds; `takeUniqueAgain(header)`, for a retry: false
 * where another holds it now.
 */
export const uniqueKeys = library(
  `
function S.dropUnique(key)
  call('HDEL', P .. 'unique', key)
  call('ZREM', P .. 'unique-until', key)
end
function S.holderOf(key)
  local row = call('HGET', P .. 'unique', key)
  if not row then return nil end
  local collection, expires = string.match(row, '^(%d+),%a+,(%d*)$')
  if expires == '' or tonumber(expires) > now then return tonumber(collection) end
  S.dropUnique(key)
  return nil
end
function S.holdUnique(collection, till, key)
  local time = tonumber(till)
  call('HSET', P .. 'unique', key, collection .. ',' .. (time and 'time,' .. (now + time) or till .. ','))
  if time then return call('ZADD', P .. 'unique-until', now + time, key) end
  call('HSET', P .. 'holds', collection, key)
  S.anyUnique = true
end
function S.takeUniqueAgain(header)
  local row = call('GET', P .. 'u:' .. header.number)
  if not row then return true end
  local till, key = string.match(row, '^([^\\n]*)\\n(.*)$')
  local holder = S.holderOf(key)
  if not holder then S.holdUnique(header.number, till, key) end
  return not holder or holder == header.number
end
`,
  changes,
)
