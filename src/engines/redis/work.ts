import { cascade } from './cascade.ts'
import { work } from '../../engine/codes.ts'
import { workPause } from '../../engine/recovery.ts'
import { members } from './members.ts'
import { defineScript, type Script } from './database.ts'
import { removal } from './removal.ts'
import { retrying } from './rounds.ts'
import { assemble, library, part, type Part, prelude, type Runs } from './scripts.ts'

/**
 * `settleWork()` does what is left, oldest first, until nothing is or the call has done enough; what then remains is kept for the next.
 * Each step goes on with an item for as long as the call may and answers true when it is done; else `item.after` says how far it came.
 * What fails is put off and holds up nothing else; `takeUpPutOff()` has it tried again.
 */
const works = library(
  `
local function step(item)
  local kind = item.kind
  if kind == ${work.release} then return S.releaseRest(item) end
  if kind == ${work.cancel} then return S.cancelMembers(item, item.subject, nil) end
  if kind == ${work.cancelScope} then return S.cancelMembers(item, item.detail, item.subject) end
  if kind == ${work.cancelInside} then return S.cancelInside(item) end
  if kind == ${work.reset} then return S.resetMembers(item) end
  if kind == ${work.restart} then return S.restartMembers(item) end
  if kind == ${work.settle} then return S.settleBySearch(item) end
  if kind == ${work.reopen} then return S.reopenAll(item) end
  if kind == ${work.decide} then return S.decideEmpty(item) end
  if kind == ${work.cause} then return S.decideBySearch(item) end
  if kind == ${work.remove} then return S.removeSome(item) end
  error('Nobody knows this kind of work.', 0)
end
-- The one to go on with: every write comes by here, and the list may be long.
local function putOff(member)
  call('ZREM', P .. 'work', member)
  call('ZADD', P .. 'work-later', now + ${workPause}, member)
end
local function oldest()
  local member = call('ZRANGE', P .. 'work', 0, 0)[1]
  if not member then return nil end
  local number, kind, subject, detail, after = string.match(member, '^(%d+),(%d+),(%d+),(%d+),(%d+)$')
  if not number then
    putOff(member)
    S.faulty['large change ' .. string.sub(member, 1, 40)] = 'It cannot be read.'
    return oldest()
  end
  return {member = member, number = tonumber(number), kind = tonumber(kind), subject = tonumber(subject), detail = tonumber(detail),
    after = tonumber(after)}
end
local function keep(item)
  item.number = item.number or call('HINCRBY', P .. 'meta', 'work', 1)
  local member = table.concat({item.number, item.kind, item.subject, item.detail, item.after}, ',')
  if member == item.member then return end
  if item.member then call('ZREM', P .. 'work', item.member) end
  call('ZADD', P .. 'work', item.number, member)
  item.member = member
end
local function goOnWith(item)
  local isDone = step(item)
  S.settleBarriers()
  return isDone
end
-- True where it is done, and where it failed and was put off.
local function tryStep(item)
  local isTried, isDone = S.try('large change ' .. S.digits[item.subject] .. ' (' .. S.digits[item.kind] .. ')', goOnWith, item)
  if isTried then return isDone end
  keep(item)
  putOff(item.member)
  return true
end
function S.takeUpPutOff()
  for _, member in ipairs(call('ZRANGEBYSCORE', P .. 'work-later', '-inf', now, 'LIMIT', 0, 1000)) do
    call('ZREM', P .. 'work-later', member)
    call('ZADD', P .. 'work', string.match(member, '^%d+') or 0, member)
  end
end
function S.settleWork()
  S.settleBarriers()
  while true do
    local item = oldest() or table.remove(S.pending, 1)
    if not item then return false end
    local isDone = S.left > 0 and tryStep(item)
    if not isDone then
      keep(item)
      for _, other in ipairs(S.pending) do keep(other) end
      S.pending = {}
      return true
    end
    if item.member then call('ZREM', P .. 'work', item.member) end
  end
end
`,
  cascade,
  members,
  retrying,
  removal,
)

/** A store that was copied to another, or is being filled from one, takes no writes (see transfer.ts). */
const closed = part(`
do
  local text = call('HGET', P .. 'meta', 'closed')
  if text then return redis.error_reply('CLOSED ' .. text) end
end
`)

/** Is there nothing, as far as it was gone into, that has yet to be written? */
const untouched = part(`
function S.isClean()
  return #S.told == 0 and #S.writes == 0 and #S.changedJobs == 0 and #S.changedBarriers == 0 and #S.erased == 0
    and not S.letGo and not next(S.additions) and not next(S.removals) and not next(S.leaving)
end
`)

const conclusion = part(`
local answer = body()
local isLeft = false
if next(S.arrivals) or #S.pending > 0 or call('ZCARD', P .. 'work') > 0 then isLeft = S.settleWork() end
if not S.isClean() then
  S.flush()
  S.writeLeaving()
  S.writeJournal()
end
if next(S.faulty) then S.writeFaults() end
local bits = (S.wakes and 1 or 0) + (#S.told > 0 and 2 or 0) + (S.stops and 4 or 0)
-- 7 and who says so: of the three signals, those that were not sent a moment ago. Where nothing was queued before, whoever waits for
-- it is told all the same.
local may, origin = string.match(ARGV[2], '^(%d) (.*)$')
local said = may and bit.band(bits, S.isFirst and bit.bor(may, 1) or may) or 0
-- Who may not publish is heard of later: all is written by now, so this must not fail.
if said > 0 then redis.pcall('PUBLISH', P .. 'signal', origin .. ' ' .. said) end
return {bits, isLeft and 1 or 0, answer, said}
`)

/**
 * Where memory is full, Redis refuses a script at its first command that may need more of it, and at none once the script has
 * written: found by experiment, with and without flags. This one needs none.
 */
const foot = `call('HDEL', P .. 'meta', 'foot')`

/**
 * A script that writes: its body, what follows from it, the event of it all. Arguments: now; what it may publish of what
 * changed, and who says so (see watch.ts); then the body's. Reply: see `Runs`. What the body writes goes through the working
 * set, or directly where that can wait for nothing. It runs also where memory is full: what was accepted can be finished.
 */
export function writing(name: string, body: string, ...needs: readonly Part[]): Script {
  return accepting(name, `${foot}\n${body}`, ...needs)
}

/** The same of one that takes new work: it is refused where memory is full, before it has written anything. */
export function accepting(name: string, body: string, ...needs: readonly Part[]): Script {
  const parts = [prelude, closed, ...needs, works, untouched, part(`local function body()\n${body}\nend`), conclusion]
  return defineScript(name, assemble(parts))
}

const goOnScript = writing('goOn', 'return false')

/** Sees to some of what a large change left to do. */
export async function goOn(runs: Runs): Promise<void> {
  await runs.write(goOnScript)
}
