import { type Count, counted, stateCounts } from '../../engine/counts.ts'
import { reason, state } from '../../engine/codes.ts'
import type { StateCounts } from '../../engine/inspect.ts'
import type { Database } from './database.ts'
import { beginnings, meant } from './labels.ts'
import { hidden, record } from './record.ts'
import { reading } from './scripts.ts'

/** No index tells states. So all numbers are gone through, so many in one script: some milliseconds. */
const window = 1_000

/** Jobs that were not needed and those of history do not count, nor what is being removed or uploaded. */
const countScript = reading(
  'counts',
  `
local first, last = number(), number()
ofCollection, ofJob = arg(), arg()
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
  meant,
)

export async function counts(db: Database, { actor }: { readonly actor?: string }): Promise<StateCounts> {
  const [oldest, last] = await Promise.all([
    db.send<string | null>('HGET', `${db.prefix}meta`, 'oldest'),
    db.send<string | null>('GET', `${db.prefix}numbers`),
  ])
  const whose = beginnings(actor)
  const found: Count[] = []
  for (let first = Number(oldest ?? 1); first <= Number(last ?? 0); first += window) {
    const some = await db.read<number[]>(countScript, [first, first + window - 1, ...whose])
    for (const [at, count] of some.entries()) if (count > 0) found.push([at >> 3, at & 7, count])
  }
  return stateCounts(found)
}
