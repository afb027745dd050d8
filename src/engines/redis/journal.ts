import { state } from './codes.ts'
import { eventsKept } from './keys.ts'
import { library } from './scripts.ts'

/**
 * What one call changed: written as one entry of the stream, and told to those who listen.
 *
 * `c` is a flat list of numbers, some for each change; the first says which kind and so how many. Numbers of jobs and
 * collections rather than ids: a batch of 200 is a few kilobytes, and ids are looked up only for those who follow.
 *
 * ```
 * 0–7     state, collection (0: the job is alone), job, attempt, version
 * 10–13   10 + state, collection, round
 * 20      20, collection (0: alone), job, attempt; its progress is the next of p
 * 30–37   30 + state, first job, last job, attempt, version: all jobs numbered so, each of them alone
 * ```
 *
 * An entry's id is one more than the characters of all entries before it: `#c + #p` of each. So a reader that stands at the end of an
 * entry expects the next one at exactly that id, and where the oldest one has a greater id, something between was trimmed.
 */
export const journal = library(`
function S.tell(code, collection, seq, attempt, version)
  if collection == seq then collection = 0 end
  local digits = S.digits
  S.told[#S.told + 1] = digits[code] .. ',' .. digits[collection] .. ',' .. digits[seq] .. ',' .. digits[attempt] .. ',' .. digits[version]
  if code == ${state.queued} or code == ${state.scheduled} then S.wakes = true end
end
function S.tellRun(code, first, last, attempt, version)
  S.told[#S.told + 1] = (30 + code) .. ',' .. first .. ',' .. last .. ',' .. attempt .. ',' .. version
end
function S.tellCollection(code, collection, round)
  S.told[#S.told + 1] = (10 + code) .. ',' .. collection .. ',' .. round
end
function S.tellProgress(collection, seq, attempt, progress)
  if collection == seq then collection = 0 end
  S.told[#S.told + 1] = '20,' .. collection .. ',' .. seq .. ',' .. attempt
  S.payloads[#S.payloads + 1] = progress
end
function S.writeJournal()
  if #S.told == 0 then return end
  local entry = {'t', now, 'c', table.concat(S.told, ',')}
  local size = #entry[4]
  if #S.payloads > 0 then
    entry[5], entry[6] = 'p', '[' .. table.concat(S.payloads, ',') .. ']'
    size = size + #entry[6]
  end
  local last = call('INCRBY', P .. 'events-end', size)
  local oldest = string.format('%.0f', math.max(last - ${eventsKept}, 0))
  call('XADD', P .. 'events', 'MINID', '~', oldest, string.format('%.0f', last - size + 1), unpack(entry))
end
`)
