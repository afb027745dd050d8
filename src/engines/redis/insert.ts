import { changes } from './change.ts'
import { library } from './scripts.ts'

/**
 * Storing graphs, whose rows the client has packed (see pack.ts). A home says where one goes: base (the number of its first job),
 * collection, jobCount, barrierCount, created, round; of a continuation parent, depth, scope.
 *
 * ```
 * insertRows(home)           reads jobs and barriers, or some of them
 * insertEntries(home)        reads the jobs that may start at once, those side by side together
 * insertState(home)          reads how many wait, and the barriers that decide at once
 * ```
 */
export const inserting = library(
  `
function S.insertRows(home)
  local base = home.base
  local head = home.created .. ',' .. base .. ',' .. home.collection .. ',' .. (home.parent or '') .. ',' .. home.depth .. ',' ..
    (home.scope or '') .. ',' .. home.round .. ','
  local jobTexts, ids = {}, {}
  for at = 1, number() do
    ids[at] = arg()
    jobTexts[at] = arg()
  end
  for _ = 1, number() do
    local seq = base + number()
    S.put(P .. 'g:' .. seq, arg())
  end
  local barrierTexts = {}
  for at = 1, number() do barrierTexts[at] = arg() end
  local barrierHead = base .. ',' .. home.collection .. ',' .. (home.parent or '') .. ',' .. home.jobCount .. ',' .. home.barrierCount .. ','
  for _ = 1, number() do
    local barrier = base + number()
    S.put(P .. 'l:' .. barrier, arg())
  end
  local from = number()
  local numbered = {}
  for at, text in ipairs(jobTexts) do
    local seq = base + from + at - 1
    numbered[2 * at - 1], numbered[2 * at] = ids[at], seq
    S.put(P .. 'j:' .. seq, head .. text)
  end
  change('HSET', P .. 'ids', numbered)
  for at, text in ipairs(barrierTexts) do
    S.put(P .. 'b:' .. (base + home.jobCount + from + at - 1), barrierHead .. text)
  end
end
local function insertEntry(home, seq, due, expires, queue, score)
  if due then
    S.put(P .. 's:' .. seq, '1,1,0,,,,;' .. home.round .. ',0,0,' .. due .. ',' .. (expires or '') .. ',,,,,,')
    S.add('due', due, seq)
    S.count('scheduled', queue, 1)
    S.tell(1, home.collection, seq, 0, 1)
  else
    S.add('queue:' .. queue, score, S.place(seq))
    S.tell(2, home.collection, seq, 0, 1)
  end
  if expires then S.add('expiring', expires, seq) end
end
function S.insertEntries(home)
  for _ = 1, number() do
    local first, last, queue, priority, startIn, startAt, expires = number(), number(), arg(), number(), number(), number(), number()
    local due = startIn and now + startIn or startAt
    if due and due <= now then due = nil end
    expires = expires and home.created + expires
    local score = S.score(priority, home.collection)
    for seq = home.base + first, home.base + last do insertEntry(home, seq, due, expires, queue, score) end
  end
end
function S.insertState(home)
  for _ = 1, number() do
    local queue = arg()
    S.count('waiting', queue, number())
  end
  for _ = 1, number() do S.arrivalsAt(home.base + number()) end
end
`,
  changes,
)
