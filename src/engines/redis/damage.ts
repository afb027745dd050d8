import { faultKept } from '../../engine/recovery.ts'
import { library } from './scripts.ts'

/** Faults that are kept at most: the rows of a whole store may be damaged. */
const mostFaults = 1_000

/**
 * What is damaged fails for itself. A script cannot take back what it has written, so one that fails in its middle loses what it was doing
 * for all others: jobs taken from a line, for one. Nothing in here costs anything where nothing is damaged.
 *
 * So `call` itself (see scripts.ts) takes a key of another type, and a count that is no number, for none: whoever reads it finds nothing,
 * whoever writes to it begins it anew, for what was in it is gone, and it is noted. Not of what nothing can be begun without: those fail.
 *
 * ```
 * damaged(kind, number)       a row that cannot be read: false, and noted
 * try(item, step, …)          answers true and what the step answers; where it fails false, and that is noted
 * textAt(name)                a text that may be missing, or something else by mistake: then false
 * ask(item, command, …)       a command on a key that may be something else by mistake: then false, and noted
 * writeFaults()               keeps what was noted, for whoever asks after it
 * ```
 */
export const damage = library(`
function S.damaged(kind, number)
  S.faulty[kind .. ' number ' .. string.format('%.0f', number)] = 'What the store keeps of it is damaged.'
  return false
end
function S.try(item, step, ...)
  local isDone, answer = pcall(step, ...)
  if isDone then return true, answer end
  S.faulty[item] = string.sub(type(answer) == 'table' and answer.err or tostring(answer), 1, 500)
  return false
end
function S.textAt(name)
  return call('MGET', P .. name)[1]
end
function S.ask(item, command, ...)
  local answer = redis.pcall(command, ...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  S.faulty[item] = string.sub(answer.err, 1, 500)
  return false
end
function S.writeFaults()
  local key = P .. 'faults'
  local room = ${mostFaults} - call('HLEN', key)
  if room <= 0 then
    local all = call('HGETALL', key)
    for at = 1, #all, 2 do
      if (tonumber(string.match(all[at + 1], '^%d+')) or 0) < now - ${faultKept} then call('HDEL', key, all[at]) end
    end
  end
  for item, message in pairs(S.faulty) do
    if room > 0 or call('HEXISTS', key, item) == 1 then call('HSET', key, item, string.format('%.0f', now) .. '\\n' .. message) end
    room = room - 1
  end
  S.faulty = {}
end
`)
