import { state } from '../../engine/codes.ts'
import { eventsKept } from '../../engine/retention.ts'
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
 * 30–37   30 + state, collection (0: each is alone), first job, last job, attempt, version: all jobs numbered so
 * ```
 *
 * An entry's id is one more than the characters of all entries before it: `#c + #p` of each. So a reader that stands at the end of an
 * entry expects the next one at exactly that id, and where the oldest one has a greater id, something between was trimmed.
 */
export const journal = library(`
-- The run that is being told, and its place among what was told, which is put together at the end. Texts stay texts: a number takes longer
-- to write than all the rest, and every text that is made on the way is one more to be cleared away.
local told, filled, digits = S.told, 0, S.digits
local at, kind, of, first, last, isRun, tries, versions
local function endRun()
  if not at then return end
  told[at], told[at + 1], told[at + 2] = digits[isRun and 30 + kind or kind], of, first
  filled = at + 2
  if isRun then
    filled = filled + 1
    told[filled] = digits[last]
  end
  told[filled + 1], told[filled + 2] = digits[tries], digits[versions]
  filled = filled + 2
  at = nil
end
local function append(text)
  endRun()
  filled = filled + 1
  told[filled] = text
end
local function beginRun(code, collection, seq, attempt, version)
  endRun()
  at, kind, of, first, isRun, tries, versions = filled + 1, code, collection, seq, false, attempt, version
  told[at] = ''
  if code == ${state.queued} or code == ${state.scheduled} then S.wakes = true end
end
function S.tellRun(code, collection, from, to, attempt, version)
  beginRun(code, collection, from, attempt, version)
  last, isRun = to, to > from
end
function S.tell(code, collection, seq, attempt, version)
  if collection == seq then collection = '0' end
  local number = tonumber(seq)
  if at and number == last + 1 and code == kind and collection == of and attempt == tries and version == versions then isRun = true
  else beginRun(code, collection, seq, attempt, version) end
  last = number
end
function S.tellCollection(code, collection, round)
  append((10 + code) .. ',' .. collection .. ',' .. round)
end
function S.tellProgress(collection, seq, attempt, progress)
  if collection == seq then collection = 0 end
  append('20,' .. collection .. ',' .. seq .. ',' .. attempt)
  S.payloads[#S.payloads + 1] = progress
end
function S.writeJournal()
  if #told == 0 then return end
  endRun()
  local entry = {'t', digits[now], 'c', table.concat(told, ',')}
  local size = #entry[4]
  if #S.payloads > 0 then
    entry[5], entry[6] = 'p', '[' .. table.concat(S.payloads, ',') .. ']'
    size = size + #entry[6]
  end
  local last = call('INCRBY', P .. 'events-end', size)
  local oldest = last > ${eventsKept} and string.format('%.0f', last - ${eventsKept}) or '0'
  call('XADD', P .. 'events', 'MINID', '~', oldest, string.format('%.0f', last - size + 1), unpack(entry))
end
`)
