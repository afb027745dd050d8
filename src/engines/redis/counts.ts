import { type Count, counted, stateCounts } from '../../engine/counts.ts'
import { reason, state } from '../../engine/codes.ts'
import type { StateCounts } from '../../engine/inspect.ts'
import type { Database } from './database.ts'
import { hidden, record } from './record.ts'
import { reading } from './scripts.ts'

/** No index tells states. So all numbers are gone through, so many in one script: some milliseconds. */
const window = 1_000

/**
 * Whose a collection is stands in JSON at the end of its row, or of a job alone in its label. Both begin with the actor, as the client
 * wrote it, so the script compares beginnings and reads no JSON.
 */
const meant = `
local ofCollection, ofJob = arg(), arg()
local function begins(text, with)
  return text and string.sub(text, 1, #with) == with
end
local known = {}
-- Is a collection, or a job alone, there and of whoever is asked for? Its rows, where they have been read.
local function isMeant(number, row, standing, job)
  if known[number] ~= nil then return known[number] end
  if not row and not job then
    row, standing, job = unpack(call('MGET', P .. 'c:' .. number, P .. 'k:' .. number, P .. 'j:' .. number))
  end
  if row then
    local isRemoved = standing and string.match(standing, '([^,]*)$') ~= ''
    local label = ofCollection ~= '' and string.match(row, '^' .. string.rep('[^\\n]*\\n', 4) .. '(.*)$')
    known[number] = not isRemoved and (ofCollection == '' or begins(label, ofCollection))
  else
    local label = job and ofJob ~= '' and string.match(job, '^' .. string.rep('[^\\n]*\\n', 5) .. '%d*;([^\\n]*)')
    known[number] = job and (ofJob == '' or begins(label, ofJob)) or false
  end
  return known[number]
end
`

/** Jobs that were not needed and those of history do not count, nor what is being removed or uploaded. */
const countScript = reading(
  'counts',
  `
local first, last = number(), number()
${meant}
local counts, numbers = {}, {}
for at = 1, 24 do counts[at] = 0 end
local function count(what, code)
  local at = what * 8 + code + 1
  counts[at] = counts[at] + 1
end
for n = first, last do numbers[#numbers + 1] = n end
local seqs, rows, others = {}, {}, {}
for at, row in ipairs(rowsAt('j:', numbers)) do
  if row then seqs[#seqs + 1], rows[#rows + 1] = numbers[at], row else others[#others + 1] = numbers[at] end
end
-- First, for what is found out about them is asked again for their jobs.
local settled = rowsAt('k:', others)
for at, row in ipairs(rowsAt('c:', others)) do
  if row and isMeant(others[at], row, settled[at]) then count(${counted.collection}, string.sub(settled[at] or '0', 1, 1)) end
end
for at, standing in ipairs(rowsAt('s:', seqs)) do
  local n, row = seqs[at], rows[at]
  -- Most are plain jobs alone, and have nothing seldom to say.
  local isPlain = not string.find(row, '^%d+,')
  local head = isPlain and {collection = n} or headIn(row, n)
  local code = standing and string.sub(standing, 1, 1) or (head.behind and '${state.waiting}' or '${state.queued}')
  local seldom = standing and string.find(standing, '^[%d,]*;') and standingIn(standing) or {}
  local isNeeded = code ~= '${state.skipped}' or seldom.reason ~= '${reason.notNeeded}'
  local isAlone = head.collection == n
  if isNeeded and not seldom.archived and not isHidden(n) and isMeant(head.collection, nil, nil, isAlone and row) then
    count(isAlone and ${counted.alone} or ${counted.member}, code)
  end
end
return counts
`,
  record,
  hidden,
)

export async function counts(db: Database, { actor }: { readonly actor?: string }): Promise<StateCounts> {
  const [oldest, last] = await Promise.all([
    db.send<string | null>('HGET', `${db.prefix}meta`, 'oldest'),
    db.send<string | null>('GET', `${db.prefix}numbers`),
  ])
  const text = JSON.stringify(actor)
  const beginnings = actor === undefined ? ['', ''] : [`{"actor":${text},`, `[${text},`]
  const found: Count[] = []
  for (let first = Number(oldest ?? 1); first <= Number(last ?? 0); first += window) {
    const some = await db.read<number[]>(countScript, [first, first + window - 1, ...beginnings])
    for (const [at, count] of some.entries()) if (count > 0) found.push([at >> 3, at & 7, count])
  }
  return stateCounts(found)
}
