import { library } from './scripts.ts'

/** `isCalm()`: after a gap in time, also one that no sweep has met yet, nothing is ended because its time is over. */
export const calm = library(`
local function shortestLease()
  return tonumber(call('ZRANGE', P .. 'leases', 0, 0, 'WITHSCORES')[2])
end
function S.shortestLease()
  return shortestLease()
end
function S.isCalm()
  local sweptAt, calmUntil = unpack(call('HMGET', P .. 'meta', 'sweptAt', 'calmUntil'))
  if tonumber(calmUntil or 0) > now then return true end
  local lease = shortestLease()
  sweptAt = tonumber(sweptAt or 0)
  return sweptAt > 0 and lease ~= nil and sweptAt + lease < now
end
`)
