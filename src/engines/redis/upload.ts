import { CeleriacError } from '../../core/errors.ts'
import type { Graph } from '../../core/graph.ts'
import type { JobRef } from '../../core/job.ts'
import { comesInParts, partAt } from '../../engine/parts.ts'
import type { Ref } from './claim.ts'
import { inserting } from './insert.ts'
import { packGraph, packRows } from './pack.ts'
import { library, partSize, type Runs } from './scripts.ts'
import { accepting } from './work.ts'

export const isLarge = (graph: Graph): boolean => comesInParts(graph, partSize)

/** As an offset from its first job. */
export const exitOf = (graph: Graph): number => graph.jobs.length + (graph.exit as number)

/**
 * Graphs that come in parts. `uploadAt(id)`: the home that its rows have, nil when there is none; `seal(id, home)` makes it part of its
 * collection: from here on it is seen, and runs. Its empty barriers and waiting jobs are read from the arguments.
 */
export const uploads = library(
  `
function S.uploadAt(id)
  local row = call('HGET', P .. 'uploads', id)
  if not row then return nil end
  local collection, base, jobCount, barrierCount, created = string.match(row, '^(%d+),(%d+),(%d+),(%d+),(%d+),')
  return {collection = tonumber(collection), base = tonumber(base), jobCount = tonumber(jobCount), barrierCount = tonumber(barrierCount),
    created = tonumber(created), depth = 0, round = 1}
end
function S.homeInside(home, parent)
  home.collection, home.parent, home.depth, home.scope = parent.collection, parent.seq, parent.depth + 1, parent.scope
  home.round = S.headerAt(parent.collection).round
  return home
end
function S.seal(id, home)
  call('HDEL', P .. 'uploads', id)
  S.arrivalsAt(home.base - 1)
  S.insertState(home)
end
`,
  inserting,
)

const uploadScript = accepting(
  'upload',
  `
local id, firstId, partNumber, jobCount, barrierCount, parentSeq = arg(), arg(), number(), number(), number(), number()
local startRuns = arg()
local parent = parentSeq and S.jobAt(parentSeq)
if parentSeq and not parent then return 'gone' end
local home = S.uploadAt(id)
if not home then
  if partNumber > 0 then return 'gone' end
  -- Sent again after it was sealed: a part that came late.
  if call('HGET', P .. 'ids', firstId) then return 'stored' end
  local total = jobCount + barrierCount + 1
  local first = S.takeNumbers(parent and total or total + 1)
  local collection = parent and parent.collection or first
  local base = parent and first + 1 or first + 2
  home = {collection = collection, base = base, jobCount = jobCount, barrierCount = barrierCount, created = now, depth = 0, round = 1}
  S.put(P .. 'b:' .. (base - 1), base .. ',' .. collection .. ',,' .. jobCount .. ',' .. barrierCount .. ',0,,,0\\n' .. '\\r')
  S.put(P .. 'l:' .. (base - 1), startRuns)
end
if parent then S.homeInside(home, parent) end
call('HSET', P .. 'uploads', id,
  table.concat({home.collection, home.base, home.jobCount, home.barrierCount, home.created, now}, ','))
S.insertRows(home)
S.flush()
return 'stored'
`,
  uploads,
)

export async function upload(
  runs: Runs,
  graph: Graph,
  partNumber: number,
  within: { readonly ref: JobRef; readonly token: number } | null,
): Promise<void> {
  const packing = packGraph(graph, true)
  const { from, to } = partAt(graph, partSize, partNumber)
  const answer = await runs.write<string>(uploadScript, [
    graph.id,
    graph.jobs[0]?.id ?? '',
    partNumber,
    graph.jobs.length,
    graph.barriers.length,
    within === null ? '' : (within.ref as Ref).seq,
    partNumber === 0 ? packing.startRuns : '',
    ...packRows(packing, from, to),
  ])
  if (answer === 'gone')
    throw new CeleriacError('NOT_FOUND', 'The first parts of this upload are gone: send it again from part 0.')
}
