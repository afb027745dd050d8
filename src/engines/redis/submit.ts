import { CeleriacError } from '../../core/errors.ts'
import type { Graph, GraphJob } from '../../core/graph.ts'
import type { SubmitAnswer, Submission } from '../../engine/intake.ts'
import { members } from './members.ts'
import { longArgs } from './keys.ts'
import {
  aloneText,
  entryOf,
  isPlain,
  packEntries,
  packGraph,
  packQueues,
  packRows,
  packState,
  plainText,
  section,
} from './pack.ts'
import type { Label } from './rows.ts'
import { rowsPerCall, type Runs } from './scripts.ts'
import { uniqueKeys } from './unique.ts'
import { exitOf, isLarge, uploads } from './upload.ts'
import { accepting } from './work.ts'

/** At least so long an idempotency key is remembered; and as long as its collection is kept. */
const idempotencyMemory = 24 * 60 * 60_000

type Args = (string | number)[]

const isAlone = (graph: Graph): boolean => graph.exit === null

// ── submissions ──────────────────────────────────────────────────────────────────────────────────────────────────

const submitScript = accepting(
  'submit',
  `
for _ = 1, number() do
  local id = arg()
  if call('HEXISTS', P .. 'uploads', id) == 0 and call('HEXISTS', P .. 'ids', id) == 0 then return id end
end
local taken = number()
local nextNumber = taken > 0 and S.takeNumbers(taken) or 0
S.meetQueues()
local exceptions, seen, at = {}, {}, -1
local function except(id, what)
  local from = #exceptions
  exceptions[from + 1], exceptions[from + 2], exceptions[from + 3] = at, what, id
end

local function plainOnes()
  local queue, size = arg(), number()
  local ids, from = {}, argAt
  for n = 1, size do ids[n] = ARGV[from + 2 * n - 1] end
  argAt = from + 2 * size
  local known = many('HMGET', P .. 'ids', ids)
  local numbered, placed, made = {}, {}, 0
  local head, filled = P .. 'j:', #S.writes
  local journalled = #S.told
  for n = 1, size do
    local id = ids[n]
    at = at + 1
    if known[n] or seen[id] then
      except(id, 'existing')
    else
      seen[id] = true
      local digits = tostring(nextNumber)
      made = made + 2
      numbered[made - 1], numbered[made] = id, digits
      placed[made - 1], placed[made] = digits, string.char(96 + #digits) .. digits
      S.writes[filled + made - 1], S.writes[filled + made] = head .. digits, now .. ARGV[from + 2 * n]
      journalled = journalled + 1
      S.told[journalled] = '2,0,' .. digits .. ',0,1'
    end
    nextNumber = nextNumber + 1
  end
  if made > 0 then S.wakes = true end
  change('HSET', P .. 'ids', numbered)
  change('ZADD', P .. 'queue:' .. queue, placed)
end

-- What was sent before under this key, or nil.
local function recall(key, fingerprint)
  local row = call('HGET', P .. 'idempotency', key)
  if not row then return nil end
  local _, known, id = string.match(row, '^([^\\n]*)\\n([^\\n]*)\\n(.*)$')
  except(id, known == fingerprint and 'existing' or 'idempotency')
  return true
end
local function idOf(collection)
  local row = call('GET', P .. 'c:' .. collection)
  if row then return (string.match(row, '^[^\\n]*\\n[^\\n]*\\n([^\\n]*)')) end
  local job = S.jobAt(collection)
  return job and S.idOf(job) or ''
end
-- What a submission with a unique key meets; nil when the key is free (now).
local function meetHolder(id, key, onConflict)
  -- Who holds it may have come in this very call.
  S.flush()
  local holder = S.holderOf(key)
  if not holder then return nil end
  local holderId = idOf(holder)
  if holderId == id or onConflict == 'existing' then except(holderId, 'existing') return true end
  if onConflict == 'reject' then except(holderId, 'unique') return true end
  S.cancelCollection(S.headerAt(holder))
  S.dropUnique(key)
  return nil
end

-- A job alone that is not plain, or whose submission has a key.
local function storeAlone(seq)
  local id, isPlain = arg(), arg() == '1'
  local home = {base = seq, collection = seq, created = now, round = 1}
  call('HSET', P .. 'ids', id, seq)
  S.put(P .. 'j:' .. seq, now .. (isPlain and '' or ',' .. seq .. ',' .. seq .. ',,0,,1,') .. arg())
  local longArgs = arg()
  if longArgs ~= '' then S.put(P .. 'g:' .. seq, longArgs) end
  argAt = argAt + 1
  S.insertEntry(home, seq)
end
local function storeGraph(collection)
  local id, jobCount, barrierCount, exit, row = arg(), number(), number(), arg(), arg()
  local home = {base = collection + 1, collection = collection, jobCount = jobCount, barrierCount = barrierCount, created = now, depth = 0, round = 1}
  call('HSET', P .. 'ids', id, collection)
  S.put(P .. 'c:' .. collection, now .. ',' .. home.base .. ',' .. jobCount .. ',' .. barrierCount .. ',' .. exit .. '\\n' .. row)
  S.insertRows(home)
  S.insertEntries(home)
  S.insertState(home)
end
local function storeUploaded()
  local id, exit, row = arg(), arg(), arg()
  local home = S.uploadAt(id)
  call('HSET', P .. 'ids', id, home.collection)
  S.put(P .. 'c:' .. home.collection, now .. ',' .. home.base .. ',' .. home.jobCount .. ',' .. home.barrierCount .. ',' .. exit .. '\\n' .. row)
  S.seal(id, home)
  return home.collection
end

local function one(kind)
  local id, numbers, size = arg(), number(), number()
  local key, fingerprint, unique, till, onConflict = arg(), arg(), arg(), arg(), arg()
  local from = argAt
  local mine = nextNumber
  at = at + 1
  nextNumber = nextNumber + numbers
  if (key ~= '' and recall(key, fingerprint)) or (unique ~= '' and meetHolder(id, unique, onConflict)) then
    argAt = from + size
    return
  end
  if seen[id] or call('HEXISTS', P .. 'ids', id) == 1 then
    except(id, 'existing')
    argAt = from + size
    return
  end
  seen[id] = true
  local holder = mine
  if kind == 'alone' then storeAlone(mine) elseif kind == 'graph' then storeGraph(mine) else holder = storeUploaded() end
  if key ~= '' then
    call('HSET', P .. 'idempotency', key, (now + ${idempotencyMemory}) .. '\\n' .. fingerprint .. '\\n' .. id)
    call('ZADD', P .. 'idempotency-until', now + ${idempotencyMemory}, key)
  end
  if unique ~= '' then
    S.put(P .. 'u:' .. holder, till .. '\\n' .. unique)
    S.holdUnique(holder, till, unique)
  end
end

for _ = 1, number() do
  local kind = arg()
  if kind == 'plain' then plainOnes() else one(kind) end
end
S.flush()
return exceptions
`,
  members,
  uploads,
  uniqueKeys,
)

export async function submit(runs: Runs, submissions: readonly Submission[]): Promise<SubmitAnswer[]> {
  const large = submissions.filter(({ graph }) => isLarge(graph)).map(({ graph }) => [graph.id])
  const { args, count } = packAll(submissions)
  const numbers = submissions.reduce((sum, { graph }) => sum + numbersOf(graph), 0)
  const reply = await runs.write<string | (string | number)[]>(submitScript, [
    ...section(large),
    numbers,
    ...packQueues(jobsIn(submissions)),
    count,
    ...args,
  ])
  if (typeof reply === 'string')
    throw new CeleriacError(
      'NOT_FOUND',
      'A large graph is uploaded in parts before it is submitted: this one was not, or too long ago.',
    )
  return answersIn(reply, submissions.length)
}

/** A collection takes a number of its own, its jobs and barriers the next ones; a job alone just one. */
const numbersOf = (graph: Graph): number =>
  isAlone(graph) ? 1 : isLarge(graph) ? 0 : 1 + graph.jobs.length + graph.barriers.length

function* jobsIn(submissions: readonly Submission[]): Iterable<GraphJob> {
  for (const { graph } of submissions) if (!isLarge(graph)) yield* graph.jobs
}

function answersIn(reply: readonly (string | number)[], count: number): SubmitAnswer[] {
  const answers = Array.from({ length: count }, (): SubmitAnswer => ({ type: 'created' }))
  for (let at = 0; at < reply.length; at += 3) {
    const [index, what, collectionId] = reply.slice(at, at + 3) as [number, string, string]
    answers[index] =
      what === 'existing'
        ? { type: 'existing', collectionId }
        : { type: 'conflict', reason: what as 'unique' | 'idempotency', collectionId }
  }
  return answers
}

/** Plain jobs that follow each other and go to one queue share a section: they are most of what is submitted in bulk. */
function packAll(submissions: readonly Submission[]): { args: Args; count: number } {
  const args: Args = []
  let count = 0
  let queue: string | null = null
  let plainAt = 0
  for (const submission of submissions) {
    const job = submission.graph.jobs[0]
    if (job !== undefined && isPlainOne(submission, job)) {
      const own = job.options.queue ?? 'default'
      if (own !== queue) {
        queue = own
        count++
        plainAt = args.push('plain', own, 0) - 1
      }
      args[plainAt] = (args[plainAt] as number) + 1
      args.push(job.id, plainText(job, labelOf(submission)))
    } else {
      queue = null
      count++
      pushOne(args, submission)
    }
  }
  return { args, count }
}

const isPlainOne = ({ graph, idempotency, unique }: Submission, job: GraphJob): boolean =>
  graph.exit === null && idempotency === null && unique === null && isPlain(job) && job.args.length <= longArgs

function pushOne(into: Args, submission: Submission): void {
  const { graph, idempotency, unique, actor } = submission
  const [kind, details] = isAlone(graph)
    ? (['alone', packAlone(submission)] as const)
    : isLarge(graph)
      ? (['uploaded', packUploaded(submission)] as const)
      : (['graph', packOne(submission)] as const)
  into.push(
    kind,
    graph.id,
    numbersOf(graph),
    details.length,
    // Keys are scoped by actor: what one user chose must not meet what another did.
    idempotency === null ? '' : `${actor?.id ?? ''}\0${idempotency.key}`,
    idempotency?.fingerprint ?? '',
    unique?.key ?? '',
    unique?.until ?? '',
    unique?.onConflict ?? '',
  )
  for (const each of details) into.push(each)
}

function packAlone(submission: Submission): Args {
  const job = submission.graph.jobs[0]
  if (job === undefined)
    throw new CeleriacError('BAD_ARGUMENT', 'A graph without an exit is one job: this one has none.')
  const label = labelOf(submission)
  const isShort = isPlain(job)
  return [
    job.id,
    isShort ? 1 : 0,
    isShort ? plainText(job, label) : aloneText(job, label),
    job.args.length > longArgs ? job.args : '',
    ...entryOf(job, 0),
  ]
}

function packOne(submission: Submission): Args {
  const { graph } = submission
  const packing = packGraph(graph, false)
  return [
    graph.id,
    graph.jobs.length,
    graph.barriers.length,
    exitOf(graph),
    collectionText(submission),
    ...packRows(packing, 0, rowsPerCall),
    ...packEntries(packing),
    ...packState(packing),
  ]
}

function packUploaded(submission: Submission): Args {
  const { graph } = submission
  return [graph.id, exitOf(graph), collectionText(submission), ...packState(packGraph(graph, true))]
}

function collectionText(submission: Submission): string {
  const { graph, retention, callbackUrl } = submission
  const { actor, description, tags } = labelOf(submission)
  return `${retention ?? ''}\n${graph.id}\n${graph.shape}\n${JSON.stringify({ actor, description, tags, callbackUrl })}`
}

function labelOf({ actor, description, retention, graph, tags }: Submission): Label {
  const own = graph.exit === null ? graph.jobs[0]?.options.tags : undefined
  const all = own === undefined || own === tags ? tags : [...new Set([...tags, ...own])]
  return {
    actor: actor?.id ?? null,
    description,
    // Those of the job's own options are there already.
    tags: all.length === 0 || all === own ? null : all,
    retention,
  }
}
