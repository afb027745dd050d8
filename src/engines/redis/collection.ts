import type { CollectionDetail, CollectionRecord } from '../../core/collection.ts'
import type { JobRecord, StoredResult } from '../../core/job.ts'
import { collectionState, settling, state } from '../../engine/codes.ts'
import { graphsAtOnce, inlineLimit, resultsPerPage } from '../../engine/limits.ts'
import { Members } from '../../engine/members.ts'
import { collectionRecordOf, type Counted, type Tally, tallyOf, tallyOfJobs } from '../../engine/records.ts'
import type { Database } from './database.ts'
import { cursorIn, position } from './feed-position.ts'
import { gathering, resultIn, type ResultReply } from './gather.ts'
import { type CollectionAt, failureOf, jobRecord, record, Rows, tally } from './record.ts'
import { part, reading } from './scripts.ts'

/** So many jobs are counted in the script that tells of their collections; those of larger ones by scripts of their own. */
const countedTogether = 2_000
/** So many jobs are told in one script, and about so many characters of them. */
const membersAtOnce = 1_000
const answeredAtOnce = 2_097_152

/**
 * `tellCollection` fetches what is told of a collection, or of a job alone as one, and gives the number of its jobs: 0 where there is
 * no such. Where these are many they are left to be counted by `countScript`, and `spans:` says which they are. Briefly, they are
 * counted only where one of them may have to be named for a failure.
 */
export const collectionPart = part(
  `
-- First and last number of each piece: of its jobs, of its barriers. Of many continuations only the first come along: 'more:' says how many.
local function addSpans(graphs, spans)
  local count = 0
  for _, graph in ipairs(graphs) do
    local base, jobs, inner = string.match(graph, '^(%d+),(%d+),(%d+)')
    if isSpan(base, jobs, inner) then
      base, jobs, inner = tonumber(base), tonumber(jobs), tonumber(inner)
      count = count + jobs
      spans[#spans + 1] = string.format('%.0f,%.0f,%.0f,%.0f', base, base + jobs - 1, base + jobs, base + jobs + inner - 1)
    end
  end
  return count
end
local function spansOf(number, isAlone)
  local spans, count, graphs = {}, 0, rangeOf('ZRANGE', 'm:' .. number, 0, ${graphsAtOnce - 1})
  local isMore = #graphs == ${graphsAtOnce}
  if isAlone then spans[1], count = number .. ',' .. number .. ',1,0', 1
  else table.insert(graphs, 1, string.match(rows['c:' .. number], '^%d+,([^,]*,[^,]*,[^,]*)')) end
  count = count + addSpans(graphs, spans)
  if isMore then keep('more:' .. number, '${graphsAtOnce}') end
  return spans, isMore and math.huge or count
end
local room = ${countedTogether}
local function tellCollection(number, isBrief)
  look('c:', {number})
  look('k:', {number})
  local row = rows['c:' .. number]
  local isAlone = not row
  local cause
  if isAlone then
    look('j:', {number})
    look('s:', {number})
    local own = rows['j:' .. number]
    if not own or headIn(own, number).collection ~= number then return 0 end
    local standing = standingIn(rows['s:' .. number])
    if standing.state == '${state.failed}' or standing.state == '${state.cancelled}' then cause = standing.cause end
  else
    local base, exit = string.match(row, '^%d+,(%d+),%d+,%d+,(%d+)')
    local countdown = textAt('n:' .. string.format('%.0f', base + exit))
    if countdown then cause = tonumber(string.match(countdown, '^[^,]*,[^,]*,[^,]*,(%d*)')) end
  end
  local standing = rows['k:' .. number]
  local spans, count = spansOf(number, isAlone)
  if cause then
    keep('cause:' .. number, tostring(cause))
    for _, kind in ipairs({'j:', 's:', 'f:'}) do look(kind, {cause}) end
  end
  if isBrief and row and not string.find(standing or '0', '^[${collectionState.failed}${collectionState.cancelled}]') then return count end
  keep('spans:' .. number, table.concat(spans, ';'))
  if count > room then return count end
  room = room - count
  local numbers = {}
  for _, span in ipairs(spans) do
    local from, to = string.match(span, '^(%d+),(%d+)')
    for at = from, to do numbers[#numbers + 1] = at end
  end
  local counts, first = tallyJobs(numbers)
  keep('tally:' .. number, counts)
  if not cause and first then
    keep('cause:' .. number, tostring(first))
    for _, kind in ipairs({'j:', 's:', 'f:'}) do look(kind, {first}) end
  end
  return count
end
`,
  record,
  tally,
)

/**
 * `tellMembers` fetches what is told of jobs from one number to another, about as much as one script should answer with; gives the
 * number to go on from. `feedsOf` adds which barriers feed another, and which.
 */
const memberPart = part(
  `
local answered, counted = 0, 0
local function tellMembers(from, to)
  while from <= to and answered < ${answeredAtOnce} do
    local numbers = {}
    for at = from, math.min(from + 99, to) do numbers[#numbers + 1] = at end
    tellJobs(numbers, false)
    from = from + #numbers
    for at = counted + 1, #found do answered = answered + #found[at] end
    counted = #found
  end
  return from
end
local function feedsOf(from, to, feeding)
  local numbers = {}
  for at = from, to do numbers[#numbers + 1] = at end
  for at, row in ipairs(rowsAt('b:', numbers)) do
    local base, feeds = string.match(row or '', '^([^,]*),[^,]*,[^,]*,[^,]*,[^,]*,[^,]*,([^,\\n]*)')
    if feeds and feeds ~= '' then
      feeding[#feeding + 1] = numbers[at]
      feeding[#feeding + 1] = base + feeds
    end
  end
  return feeding
end
-- All of a small collection; false where that is too much for one script.
local function tellSmall(number, count)
  if count > ${membersAtOnce} then return false end
  local feeding = {}
  for from, to, first, last in string.gmatch(rows['spans:' .. number], '(%d+),(%d+),(%d+),(%d+)') do
    if tellMembers(tonumber(from), tonumber(to)) <= tonumber(to) then return false end
    if last - first < ${membersAtOnce} then feedsOf(first, last, feeding) else return false end
  end
  keep('feeding', table.concat(feeding, ','))
  return true
end
`,
  record,
)

const collectionScript = reading(
  'collection',
  `
local id, withCounts, withJobs = arg(), arg() == '1', arg() == '1'
local number = tonumber(call('HGET', P .. 'ids', id) or nil)
if not number then return {} end
local count = tellCollection(number, not withCounts)
if count == 0 and not rows['c:' .. number] then return {} end
keep('number', tostring(number))
keepPosition()
if withJobs then tellSmall(number, count) end
local row, budget = rows['c:' .. number], {left = ${inlineLimit}, rows = ${resultsPerPage} + 1}
if not row then return {found, S.resultOf(number, budget)} end
if not string.find(rows['k:' .. number] or '', '^${collectionState.succeeded}') then return {found, 0} end
local base, exit = string.match(row, '^%d+,(%d+),%d+,%d+,(%d+)')
return {found, S.resultsAt(base + exit, budget) or 0}
`,
  collectionPart,
  memberPart,
  position,
  gathering,
)
type CollectionReply = readonly [found: string[], result: Result] | readonly []
type Result = ResultReply | readonly ResultReply[] | 0

/**
 * A collection may have 100,000 jobs, more than one script should go through. Its state and the cursor are of the instant before any of
 * them is read: whoever goes on from there is told of what changed meanwhile again, and knows it by the version.
 */
export async function collection(
  db: Database,
  id: string,
  { jobs: withJobs = true, counts: withCounts = true }: { readonly jobs?: boolean; readonly counts?: boolean },
): Promise<CollectionDetail | null> {
  const [found, result] = await db.read<CollectionReply>(collectionScript, [
    id,
    withJobs || withCounts ? '1' : '0',
    withJobs ? '1' : '0',
  ])
  if (found === undefined) return null
  const rows = new Rows(found)
  const number = Number(rows.get('number'))
  const row = collectionAt(rows, number)
  if (row === null || row.removedAt !== null) return null
  const jobs = withJobs ? await membersOf(db, rows, number) : []
  // Jobs read in several scripts are counted as they were read: counted apart, they would be of other instants.
  const told = withJobs && rows.get(`tally:${number}`) === null ? tallyOfJobs(jobs) : null
  const isUnlucky = told === null || told.counts.failed + told.counts.cancelled > 0
  const counted = isUnlucky ? await countLarge(db, rows, number) : rows
  return {
    ...collectionRecord(counted, row, told),
    jobs,
    cursor: cursorIn(rows),
    shape: row.shape,
    result: row.state === 1 ? resultAt(rows, row, result as Result) : null,
  }
}

function resultAt(rows: Rows, { number, exit, shape }: CollectionAt, result: Result): StoredResult {
  if (rows.collection(number) === null) return resultIn(result as ResultReply)
  const results = result === 0 ? null : (result as readonly ResultReply[]).map(resultIn)
  return { shape, barrier: exit, results }
}

/** A collection, or a job alone told as a collection of one: its states map onto a collection's. */
export function collectionAt(rows: Rows, number: number): CollectionAt | null {
  const own = rows.collection(number)
  const alone = own === null ? rows.job(number) : null
  if (alone === null || alone.collection !== number) return own
  const isFinal = alone.state >= state.succeeded
  return {
    number,
    createdAt: alone.createdAt,
    exit: 0,
    retention: alone.label.retention,
    id: alone.id,
    shape: '0',
    actor: alone.label.actor,
    description: alone.label.description,
    tags: alone.label.tags ?? alone.options.tags ?? [],
    callback: null,
    state: isFinal ? settling(alone.state) : 0,
    round: alone.round,
    settledAt: isFinal ? alone.finishedAt : null,
    cancelledAt: !isFinal || alone.state === state.cancelled ? alone.markedAt : null,
    removedAt: null,
  }
}

/** @param known the tally of its jobs, where they have been read */
export function collectionRecord(rows: Rows, row: CollectionAt, known: Tally | null = null): CollectionRecord {
  const told = known ?? tallyOf(countedIn(rows.get(`tally:${row.number}`) ?? ''))
  const isUnlucky = row.state !== 1 && told.counts.failed + told.counts.cancelled > 0
  const cause = rows.get(`cause:${row.number}`)
  return collectionRecordOf(row, told, isUnlucky && cause !== null ? failureOf(rows, Number(cause)) : null)
}

// ── many jobs ────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a script does with each of the spans it is given. */
const eachSpan = (body: string): string => `
for _ = 1, number() do
  local from, to = number(), number()
  ${body}
end`
const countScript = reading(
  'count',
  `
local numbers = {}
${eachSpan('for at = from, to do numbers[#numbers + 1] = at end')}
local counts, cause, first = tallyJobs(numbers)
return {counts, cause or -1, first or -1}
`,
  tally,
)
const causeScript = reading(
  'cause',
  `
local cause = number()
for _, kind in ipairs({'j:', 's:', 'f:'}) do look(kind, {cause}) end
return found
`,
  record,
)

interface Span {
  readonly first: number
  readonly last: number
}

interface Spans {
  readonly jobs: readonly Span[]
  readonly barriers: readonly Span[]
}

const spansScript = reading(
  'spans',
  `
local number, from = number(), number()
local spans = {}
addSpans(rangeOf('ZRANGE', 'm:' .. string.format('%.0f', number), from, from + ${graphsAtOnce - 1}), spans)
return table.concat(spans, ';')
`,
  collectionPart,
)

/** The pieces of a collection: that it was submitted as, and those that jobs continued as. */
async function spansOf(db: Database, rows: Rows, number: number): Promise<Spans> {
  const texts = [rows.get(`spans:${number}`) ?? '']
  for (let from = Number(rows.get(`more:${number}`) ?? 0); from > 0;) {
    const more = await db.read<string>(spansScript, [number, from])
    texts.push(more)
    from = more.split(';').length < graphsAtOnce ? 0 : from + graphsAtOnce
  }
  const bounds = texts
    .flatMap((text) => text.split(';'))
    .filter((text) => text !== '')
    .map((text) => text.split(',').map(Number))
  const among = (at: number): Span[] => bounds.map((of) => ({ first: of[at] as number, last: of[at + 1] as number }))
  return { jobs: among(0), barriers: among(2) }
}

/** These numbers, so many at a time: there may be many small spans. */
function* inSteps(spans: readonly Span[], step: number): Generator<readonly Span[]> {
  let some: Span[] = []
  let room = step
  for (const { first, last } of spans)
    for (let from = first; from <= last;) {
      const to = Math.min(from + room - 1, last)
      some.push({ first: from, last: to })
      room -= to - from + 1
      from = to + 1
      if (room > 0) continue
      yield some
      some = []
      room = step
    }
  if (some.length > 0) yield some
}
const argsOf = (spans: readonly Span[]): number[] => [
  spans.length,
  ...spans.flatMap(({ first, last }) => [first, last]),
]

/** Counts the jobs of a collection of which there were too many for the script that told of it. */
export async function countLarge(db: Database, rows: Rows, number: number): Promise<Rows> {
  if (rows.get(`tally:${number}`) !== null || rows.get(`spans:${number}`) === null) return rows
  const slots: number[] = []
  let [cause, earliest] = [-1, Infinity]
  const { jobs } = await spansOf(db, rows, number)
  for (const spans of inSteps(jobs, countedTogether)) {
    const [counts, unlucky, at] = await db.read<readonly [string, number, number]>(countScript, argsOf(spans))
    counts.split(',').forEach((count, slot) => (slots[slot] = (slots[slot] ?? 0) + Number(count)))
    if (unlucky >= 0 && at < earliest) [cause, earliest] = [unlucky, at]
  }
  const known = rows.get(`cause:${number}`)
  const flat = [`tally:${number}`, slots.join(',')]
  if (known === null && cause >= 0)
    flat.push(`cause:${number}`, String(cause), ...(await db.read<string[]>(causeScript, [cause])))
  return rows.with(flat)
}

/** Three counts for each state, one for each role. */
const countedIn = (text: string): Counted[] =>
  text.split(',').map((count, slot) => [Math.floor(slot / 3), slot % 3, Number(count)])

// ── the jobs of a collection ─────────────────────────────────────────────────────────────────────────────────────

const membersScript = reading(
  'members',
  `
local reached
${eachSpan(`
  if not reached then
    local next = tellMembers(from, to)
    if next <= to then reached = next end
  end`)}
return {found, reached or -1}
`,
  memberPart,
)

const barriersScript = reading(
  'barriers',
  `
local feeding = {}
${eachSpan('feedsOf(from, to, feeding)')}
return feeding
`,
  memberPart,
)

async function membersOf(db: Database, rows: Rows, number: number): Promise<JobRecord[]> {
  const members = new Members()
  const feeding = rows.get('feeding')
  const outer = new Map<number, number>()
  const addFeeding = (fed: readonly number[]): void => {
    for (let at = 0; at < fed.length; at += 2) outer.set(fed[at] as number, fed[at + 1] as number)
  }
  const { jobs, barriers } = await spansOf(db, rows, number)
  if (feeding !== null) {
    addMembers(members, rows, jobs)
    addFeeding(feeding.split(',').map(Number))
  } else {
    for (const spans of inSteps(jobs, membersAtOnce)) {
      for (let rest = spans; rest.length > 0;) {
        const [found, next] = await db.read<readonly [string[], number]>(membersScript, argsOf(rest))
        const reached = next < 0 ? Infinity : next
        addMembers(members, new Rows(found), rest, reached)
        rest = rest.flatMap(({ first, last }) => (last < reached ? [] : [{ first: Math.max(first, reached), last }]))
      }
    }
    for (const spans of inSteps(barriers, membersAtOnce))
      addFeeding(await db.read<number[]>(barriersScript, argsOf(spans)))
  }
  return members.list((barrier) => outer.get(barrier) ?? null)
}

function addMembers(members: Members, rows: Rows, spans: readonly Span[], before = Infinity): void {
  for (const { first, last } of spans) {
    for (let number = first; number <= last && number < before; number++) {
      const job = rows.job(number)
      if (job !== null && job.archived === null) members.add(jobRecord(rows, job, []), job.behind, job.feeds)
    }
  }
}
