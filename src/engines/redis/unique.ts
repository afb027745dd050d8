import { changes } from './change.ts'
import { library } from './scripts.ts'

/**
 * Keys that only one unfinished submission may hold. `holderOf(key)`: the collection that holds it and its id, nil when it is free (now);
 * `holdUnique(collection, till, key, id)`, till being started, settled or how many milliseconds; `takeUniqueAgain(header)`, for a retry: false
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
  local collection, expires, id = string.match(row, '^(%d+),%a+,(%d*),(.*)$')
  if expires == '' or tonumber(expires) > now then return tonumber(collection), id end
  S.dropUnique(key)
  return nil
end
function S.holdUnique(collection, till, key, id)
  local time = tonumber(till)
  call('HSET', P .. 'unique', key, collection .. ',' .. (time and 'time,' .. (now + time) or till .. ',') .. ',' .. id)
  if time then return call('ZADD', P .. 'unique-until', now + time, key) end
  call('HSET', P .. 'holds', collection, key)
  S.anyUnique = true
end
function S.collectionId(number)
  local row = call('GET', P .. 'c:' .. number)
  if row then return (string.match(row, '^[^\\n]*\\n[^\\n]*\\n([^\\n]*)')) end
  return S.idOf(S.jobAt(number))
end
function S.takeUniqueAgain(header)
  local row = call('GET', P .. 'u:' .. header.number)
  if not row then return true end
  local till, key = string.match(row, '^([^\\n]*)\\n(.*)$')
  local holder = S.holderOf(key)
  if not holder then S.holdUnique(header.number, till, key, S.collectionId(header.number)) end
  return not holder or holder == header.number
end
`,
  changes,
)
