import { library } from './scripts.ts'

/** `isCalm()`: after a gap in time, also one that no sweep has met yet, nothing is ended because its time is over. */
export const calm = library(`
function S.shortestLease()
  return tonumber(call('ZRANGE', P .. 'leases', 0, 0, 'WITHSCORES')[2])
end
-- In a store that was never swept, it is one where a session is over by now.
function S.isGap(sweptAt)
  if sweptAt == 0 then return #call('ZRANGEBYSCORE', P .. 'alive', '-inf', now, 'LIMIT', 0, 1) > 0 end
  local lease = S.shortestLease()
  return lease ~= nil and sweptAt + lease < now
end
function S.isCalm()
  local sweptAt, calmUntil = unpack(call('HMGET', P .. 'meta', 'sweptAt', 'calmUntil'))
  return tonumber(calmUntil or 0) > now or S.isGap(tonumber(sweptAt or 0))
end
`)
