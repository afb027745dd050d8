import { type CollectionRecord, collectionStates } from '../../core/collection.ts'
import { sizeOfFailure } from '../../core/failure.ts'
import { type JobRecord, jobStates } from '../../core/job.ts'
import { lowerAscii } from '../../core/text.ts'
import type { CollectionsQuery, JobsQuery, RecordPage } from '../../engine/inspect.ts'
import { createdMargin, pageBytes, position, sizeOfJob } from '../../engine/listing.ts'
import { state } from '../../engine/codes.ts'
import type { Database, Script } from './database.ts'
import { collectionAt, collectionPart, collectionRecord, countLarge } from './collection.ts'
import { beginnings, labels, meant } from './labels.ts'
import { afterOf, type CollectionAt, hidden, type JobAt, jobRecord, record, Rows } from './record.ts'
import { part, reading } from './scripts.ts'

/**
 * A filter may match few of very many rows, and no index stands behind filters. So a list looks at so many numbers in one
 * script, some milliseconds, and lets others have their turn in between. The script alone decides what matches: were some of that left
 * to this side, a page of one job would be asked for over and over, by as many requests as there are jobs of others.
 */
const window = 2_000
/** The most that one script tells of. */
const mostTold = 200
/** Maximum characters that one script searches for a text, and that it answers with. One job may have more by itself. */
const mostSearched = 1_048_576
const mostAnswered = 2_097_152
/** About so many barriers and jobs are looked at in one script for the names of what its jobs wait for. */
const mostNamed = 1_000
/** Graphs of a collection that are looked up together. */
const graphsTogether = 100

type Filters = readonly (string | number)[]
type Reply = readonly [found: string[], matched: number[], reached: number]

interface Listing<T> {
  readonly script: Script
  readonly filters: Filters
  /** What one number comes to that the script found. */
  readonly tell: (rows: Rows, number: number) => T | Promise<T>
  /** No number above this one matches; the last one given where there is none. */
  readonly from: number | null
  readonly downTo: number
  readonly sizeOf: (item: T) => number
}

/** Reads window after window, newest first, until the page is full or there is nothing more. */
async function page<T>(
  db: Database,
  query: { readonly limit: number; readonly cursor?: string },
  { script, filters, tell, from, downTo, sizeOf }: Listing<T>,
): Promise<RecordPage<T>> {
  const start = query.cursor === undefined ? Infinity : position(query.cursor)
  // A cursor is anybody's text: numbers that were never taken are not gone through.
  let before = Math.min(start, from === null ? await newest(db) : from + 1)
  const items: T[] = []
  let left = pageBytes
  for (let last = before; before > downTo;) {
    const most = Math.min(query.limit + 1 - items.length, mostTold)
    const [found, matched, reached] = await db.read<Reply>(script, [before, window, most, ...filters])
    const rows = new Rows(found)
    for (const number of matched) {
      if (items.length === query.limit || left < 0) return { items, next: String(last) }
      const item = await tell(rows, number)
      items.push(item)
      left -= sizeOf(item)
      last = number
    }
    before = reached
  }
  return { items, next: null }
}

const newest = async (db: Database): Promise<number> =>
  Number((await db.send<string | null>('GET', `${db.prefix}numbers`)) ?? 0) + 1

// ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Behind a row that is this old nothing was created at or after an instant. */
const ending = part(`
local function isBefore(row, from)
  return from and tonumber(string.match(row, '^(%d+)')) < from - ${createdMargin}
end
`)

const jobsScript = reading(
  'jobs',
  `
local before, window, most = number(), number(), number()
local states, queue, collection, first, last, from, till = arg(), arg(), number(), number(), number(), number(), number()
ofCollection, ofJob = arg(), arg()
local tag, wanted, pieces = arg(), arg(), {}
for at = 1, number() do pieces[at] = arg() end
-- Piece after piece, each at its first place behind the one before: nothing is tried twice, whatever the pattern.
local function isTask(name)
  local count = #pieces
  if count < 2 then return count == 0 or name == pieces[1] end
  local first, last = pieces[1], pieces[count]
  local at, stop = #first + 1, #name - #last
  if stop < #first or string.sub(name, 1, #first) ~= first or string.sub(name, stop + 1) ~= last then return false end
  for n = 2, count - 1 do
    local _, to = string.find(name, pieces[n], at, true)
    if not to or to > stop then return false end
    at = to + 1
  end
  return true
end
local searched, answered = 0, 0
local function has(text)
  searched = searched + #text
  return string.find(string.lower(text), wanted, 1, true)
end
-- A failure that was followed by success is told no more.
local function mentions(seq, row, code, isTouched)
  local task, args = string.match(row, '^[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n([^\\n]*)\\n[^\\n]*\\n[^\\n]*\\n(.*)$')
  if args == '\\r' then args = textAt('g:' .. seq) or '' end
  if has(task) or has(args) then return true end
  local tags, description = labelOf(row)
  if #tags > 0 and has('[' .. table.concat(tags, ',') .. ']') then return true end
  if description and description ~= 'null' then
    local isRead, list = pcall(cjson.decode, '[' .. description .. ']')
    if has(isRead and list[1] or description) then return true end
  end
  local failure = isTouched and code ~= '${state.succeeded}' and textAt('f:' .. seq)
  return failure and has(failure)
end
local reached, matched = before, {}
local function isFull()
  return #matched == most or searched > ${mostSearched} or answered > ${mostAnswered} or named > ${mostNamed}
end
-- The next numbers below one, from the highest down; and behind which to go on. Those of a collection are what it was submitted as and,
-- above that, what its jobs continued as: the jobs of others between them are passed over.
local function numbersBelow(top)
  local numbers, floor = {}, 1
  local function add(low, high)
    for at = math.min(high, top - 1), low, -1 do
      if #numbers == 100 then return end
      numbers[#numbers + 1], floor = at, at
    end
  end
  if not collection then
    add(1, top - 1)
    return numbers, floor
  end
  local graphs = rangeOf('ZREVRANGEBYSCORE', 'm:' .. string.format('%.0f', collection), string.format('(%.0f', top), '-inf',
    'LIMIT', 0, ${graphsTogether})
  for _, graph in ipairs(graphs) do
    local base, jobs = string.match(graph, '^(%d+),(%d+)')
    if isSpan(base, jobs, '') then
      add(tonumber(base), base + jobs - 1)
      if #numbers == 100 then return numbers, floor end
      floor = tonumber(base)
    end
  end
  if #graphs == ${graphsTogether} then return numbers, floor end
  add(first, last)
  return numbers, #numbers == 100 and floor or 1
end
local looked = 0
while not isFull() and reached > 1 and looked < window do
  local numbers, floor = numbersBelow(reached)
  looked = looked + 100
  local jobs, standings = rowsAt('j:', numbers), rowsAt('s:', numbers)
  for at, seq in ipairs(numbers) do
    if isFull() then
      floor = reached
      break
    end
    reached = seq
    local row = jobs[at]
    if row and isBefore(row, from) then
      floor = 0
      break
    end
    if row and not isHidden(seq) then
      local createdAt, head = string.match(row, '^(%d+)'), headIn(row, seq)
      local ownQueue, ownTask = string.match(row, '^[^\\n]*\\n([^\\n]*)\\n[^\\n]*\\n([^\\n]*)')
      local code = standings[at] and string.match(standings[at], '^%d') or (head.behind and '${state.waiting}' or '${state.queued}')
      if (states == '' or string.find(states, code, 1, true))
        and isTask(ownTask)
        and (queue == '' or (ownQueue == '' and 'default' or ownQueue) == queue)
        and (not collection or head.collection == collection)
        and (not from or tonumber(createdAt) >= from)
        and (not till or tonumber(createdAt) < till)
        and isMeant(head.collection, nil, nil, head.collection == seq and row)
        and (tag == '' or isIn(labelOf(row), tag))
        and (wanted == '' or mentions(seq, row, code, standings[at])) then
        matched[#matched + 1] = seq
        answered = answered + #row
        if string.byte(row, -1) == 13 then answered = answered + sizeAt('g:' .. seq) end
        if head.behind then answered = answered + keepAfter(head.behind) end
      end
    end
  end
  reached = floor
end
tellJobs(matched, true)
if reached <= 1 then reached = 0 end
return {found, matched, reached}
`,
  record,
  hidden,
  ending,
  meant,
  labels,
)

/** Of a collection: its number, the first and the last number of the jobs that it was submitted as, and the last of all its jobs. */
const spanScript = reading(
  'span',
  `
local number = call('HGET', P .. 'ids', arg())
if not number then return {} end
local first, last = tonumber(number), tonumber(number)
local base, jobs = string.match(call('GET', P .. 'c:' .. number) or '', '^%d+,(%d+),(%d+)')
if isSpan(base, jobs, '') then first, last = tonumber(base), base + jobs - 1 end
base, jobs = string.match(call('ZRANGE', P .. 'm:' .. number, -1, -1)[1] or '', '^(%d+),(%d+)')
return {tonumber(number), first, last, isSpan(base, jobs, '') and math.max(last, base + jobs - 1) or last}
`,
)

export async function jobs(db: Database, query: JobsQuery): Promise<RecordPage<JobRecord>> {
  const span = query.collectionId === undefined ? null : await db.read<number[]>(spanScript, [query.collectionId])
  if (span?.length === 0) return { items: [], next: null }
  const { states = [], queue = '', createdFrom = '', createdBefore = '' } = query
  if (query.states?.length === 0) return { items: [], next: null }
  const codes = states.map((name) => jobStates.indexOf(name)).join('')
  const pieces = query.task === undefined ? [] : piecesOf(query.task)
  return page(db, query, {
    script: jobsScript,
    filters: [
      ...[codes, queue, ...(span ?? ['', '', '']).slice(0, 3), createdFrom, createdBefore, ...beginnings(query.actor)],
      ...[tagText(query), lowerAscii(query.text ?? ''), pieces.length, ...pieces],
    ],
    from: span?.[3] ?? null,
    downTo: span?.[0] === undefined ? 0 : span[0] - 1,
    tell(rows, number) {
      const row = rows.job(number) as JobAt
      return jobRecord(rows, row, afterOf(rows, row))
    },
    sizeOf: sizeOfJob,
  })
}

const tagText = ({ tag }: { readonly tag?: string }): string => (tag === undefined ? '' : JSON.stringify(tag))

/** What a name has around and between the `*` of a pattern, which stand for any characters; more than one in a row are one. */
const piecesOf = (task: string): string[] => task.split(/\*+/)

// ── collections ──────────────────────────────────────────────────────────────────────────────────────────────────

const collectionsScript = reading(
  'collections',
  `
local before, window, most = number(), number(), number()
local wanted, from, till = arg(), number(), number()
ofCollection, ofJob = arg(), arg()
local tag = arg()
local reached, matched = before, {}
while #matched < most and reached > 1 and reached > before - window do
  local numbers = {}
  for at = reached - 1, math.max(reached - 100, 1), -1 do numbers[#numbers + 1] = at end
  local jobs, collections = rowsAt('j:', numbers), rowsAt('c:', numbers)
  local standings, settled = rowsAt('s:', numbers), rowsAt('k:', numbers)
  for at, seq in ipairs(numbers) do
    if #matched == most then break end
    reached = seq
    local row = collections[at] or jobs[at]
    if row and isBefore(row, from) then
      reached = 0
      break
    end
    local code
    if collections[at] then
      code = string.match(settled[at] or '0', '^%d')
    elseif jobs[at] and headIn(jobs[at], seq).collection == seq then
      local own = tonumber(standings[at] and string.match(standings[at], '^%d') or '0')
      code = own < ${state.succeeded} and '0' or tostring(math.min(own - 3, 3))
    end
    if code and (wanted == '' or wanted == code)
      and isMeant(seq, collections[at], settled[at], jobs[at])
      and (tag == '' or isIn(collections[at] and tagsOf(row) or labelOf(row), tag)) then
      local createdAt = tonumber(string.match(row, '^(%d+)'))
      if (not from or createdAt >= from) and (not till or createdAt < till) then matched[#matched + 1] = seq end
    end
  end
end
for _, seq in ipairs(matched) do tellCollection(seq) end
if reached <= 1 then reached = 0 end
return {found, matched, reached}
`,
  record,
  collectionPart,
  ending,
  meant,
  labels,
)

export function collections(db: Database, query: CollectionsQuery): Promise<RecordPage<CollectionRecord>> {
  const code = query.state === undefined ? '' : collectionStates.indexOf(query.state)
  return page(db, query, {
    script: collectionsScript,
    filters: [code, query.createdFrom ?? '', query.createdBefore ?? '', ...beginnings(query.actor), tagText(query)],
    from: null,
    downTo: 0,
    tell: async (rows, number) =>
      collectionRecord(await countLarge(db, rows, number), collectionAt(rows, number) as CollectionAt),
    sizeOf: ({ failure }) => (failure === null ? 0 : sizeOfFailure(failure)),
  })
}
