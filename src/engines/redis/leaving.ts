import { collectionRetention } from '../../engine/retention.ts'
import { damage } from './damage.ts'
import { library } from './scripts.ts'

/**
 * Notes what settled, for retention. One entry of `leaving` for each call and retention names all of it by runs of numbers.
 *
 * ```
 * leave(number, retention)    a collection or job alone with this number may be removed when its retention (nil: a week) is over
 * leaveAgain(number)          the same of one whose retention has yet to be read: something of it ended after it had settled
 * writeLeaving()              writes what was noted
 * ```
 */
export const leaving = library(
  `
local function runText(first, last)
  return first == last and S.digits[first] or S.digits[first] .. '-' .. S.digits[last]
end
function S.leave(number, retention)
  local kept = retention or ${collectionRetention}
  local noted = S.leaving[kept]
  if not noted then
    S.leaving[kept] = {first = number, last = number, runs = {}}
  elseif number == noted.last + 1 then
    noted.last = number
  elseif number ~= noted.last then
    noted.runs[#noted.runs + 1] = runText(noted.first, noted.last)
    noted.first, noted.last = number, number
  end
end
function S.leaveAgain(number)
  S.leave(number, S.retentionOf(number))
end
function S.retentionOf(number)
  local row = S.textAt('c:' .. number)
  if row then return tonumber(string.match(row, '^[^\\n]*\\n(%d*)')) end
  local job = S.jobAt(number)
  return job and tonumber(string.match(job.row, '^[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n(%d*)')) or nil
end
function S.writeLeaving()
  for kept, noted in pairs(S.leaving) do
    noted.runs[#noted.runs + 1] = runText(noted.first, noted.last)
    call('ZADD', P .. 'leaving', now + kept, S.digits[now + kept] .. ':' .. table.concat(noted.runs, ','))
  end
  S.leaving = {}
end
`,
  damage,
)
