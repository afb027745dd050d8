import { CeleriacError } from '../../core/errors.ts'
import type { Graph, GraphJob } from '../../core/graph.ts'
import type { ConflictReason, SubmitAnswer, Submission } from '../../engine/intake.ts'
import { callsOf, hasKey, type SubmittedCall } from '../../engine/calls.ts'
import { state } from '../../engine/codes.ts'
import { idempotencyMemory } from '../../engine/retention.ts'
import { members } from './members.ts'
import { longArgs } from './keys.ts'
import {
  aloneText,
  entryOf,
  type Frame,
  frameOf,
  isPlain,
  packEntries,
  packGraph,
  packRows,
  packState,
  plainText,
  section,
} from './pack.ts'
import { type Label, labelText } from './rows.ts'
import { partSize, type Runs } from './scripts.ts'
import { uniqueKeys } from './unique.ts'
import { exitOf, isLarge, uploads } from './upload.ts'
import { accepting } from './work.ts'

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
local exceptions, at = {}, -1
local function except(id, what)
  local from = #exceptions
  exceptions[from + 1], exceptions[from + 2], exceptions[from + 3] = at, what, id
end

-- Jobs that differ in nothing but their ids, each greater than the one before, and their arguments.
local function plainOnes()
  local queue, size, all, before, behind = arg(), number(), arg(), arg(), arg()
  local length, from = #all / size, argAt
  argAt = from + size
  local ids = {}
  for n = 1, size do ids[n] = string.sub(all, (n - 1) * length + 1, n * length) end
  local known = many('HMGET', P .. 'ids', ids)
  local head, names, filled = now .. before, P .. 'j:', #S.writes
  local numbered, runs, made, first = {}, {}, 0, nil
  local function endRun()
    if not first then return end
    runs[#runs + 1], runs[#runs + 2] = first, nextNumber - 1
    S.tellRun(${state.queued}, 0, first, nextNumber - 1, 0, 1)
    first = nil
  end
  for n = 1, size do
    local id = ids[n]
    at = at + 1
    if known[n] then
      except(id, 'existing')
      endRun()
    else
      first = first or nextNumber
      local digits = tostring(nextNumber)
      made = made + 2
      numbered[made - 1], numbered[made] = id, digits
      S.writes[filled + made - 1], S.writes[filled + made] = names .. digits, head .. id .. behind .. ARGV[from + n]
    end
    nextNumber = nextNumber + 1
  end
  endRun()
  if made == 0 then return end
  change('HSET', P .. 'ids', numbered)
  S.enterLine(queue, string.format('%.0f', runs[1]))
  change('ZADD', P .. 'runs:' .. queue, runs)
end

-- What was sent before under this key: its fingerprint and id, or nil.
local function recall(key)
  local row = call('HGET', P .. 'idempotency', key)
  if row then return string.match(row, '^[^\\n]*\\n([^\\n]*)\\n(.*)$') end
end
-- How a collection calls back. One that holds a key until a time may have been removed.
local function called(collection)
  local row = call('GET', P .. 'c:' .. collection)
  if not row then return '' end
  local callback = cjson.decode(string.match(row, '^[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n(.*)$')).callback
  return type(callback) == 'table' and callback.results .. ' ' .. callback.url or ''
end
-- Remembers what was made under an idempotency key.
local function remember(key, fingerprint, id)
  call('HSET', P .. 'idempotency', key, (now + ${idempotencyMemory}) .. '\\n' .. fingerprint .. '\\n' .. id)
  call('ZADD', P .. 'idempotency-until', now + ${idempotencyMemory}, key)
end
-- Who holds a unique key, or nil when it is free (now): the collection, its id and how it calls back.
local function holderOf(key)
  -- It may have come in this very call.
  S.flush()
  local holder, id = S.holderOf(key)
  if holder then return holder, id, called(holder) end
end
-- What a submission meets whose key is held: what it becomes, nil where it replaces the holder.
local function meetHolder(id, holderId, onConflict, wanted, callback)
  if holderId == id then return 'existing' end
  if onConflict == 'existing' then return (wanted == '' or wanted == callback) and 'existing' or 'callback' end
  if onConflict == 'reject' then return 'unique' end
end
-- What a submission becomes for its keys, and the id that it is answered with; nil where it is to be stored.
local function meetKeys(id, key, fingerprint, unique, onConflict, wanted)
  if call('HEXISTS', P .. 'ids', id) == 1 then return 'existing', id end
  if key ~= '' then
    local known, knownId = recall(key)
    if known then return known == fingerprint and 'existing' or 'idempotency', knownId end
  end
  if unique == '' then return end
  local holder, holderId, callback = holderOf(unique)
  if not holder then return end
  local what = meetHolder(id, holderId, onConflict, wanted, callback)
  if what == 'existing' and key ~= '' then remember(key, fingerprint, holderId) end
  if what then return what, holderId end
  -- A key held until a time may outlive who took it.
  if call('HEXISTS', P .. 'ids', holderId) == 1 then S.cancelCollection(S.headerAt(holder)) end
  S.dropUnique(unique)
end

-- A job alone that is not plain, or whose submission has a key.
local function storeAlone(seq)
  local id, isPlain = arg(), arg() == '1'
  local home = {base = seq, collection = seq, created = now, round = 1}
  call('HSET', P .. 'ids', id, seq)
  S.put(P .. 'j:' .. seq, now .. (isPlain and '' or ',' .. seq .. ',' .. seq .. ',,0,,1,') .. arg())
  local longArgs = arg()
  if longArgs ~= '' then S.put(P .. 'g:' .. seq, longArgs) end
  S.insertEntries(home)
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
  local key, fingerprint, unique, till, onConflict, wanted = arg(), arg(), arg(), arg(), arg(), arg()
  local from = argAt
  local mine = nextNumber
  at = at + 1
  nextNumber = nextNumber + numbers
  local what, whose = meetKeys(id, key, fingerprint, unique, onConflict, wanted)
  if what then
    except(whose, what)
    argAt = from + size
    return
  end
  local holder = mine
  if kind == 'alone' then storeAlone(mine) elseif kind == 'graph' then storeGraph(mine) else holder = storeUploaded() end
  if key ~= '' then remember(key, fingerprint, id) end
  if unique ~= '' then
    S.put(P .. 'u:' .. holder, till .. '\\n' .. unique)
    S.add('more', holder, holder)
    S.holdUnique(holder, till, unique, id)
  end
end

-- The first submission of a call that its keys refuse, why and for whom: looked for before any of them is stored. A key that one of
-- them takes counts as held for those behind it.
local function refusedOf(size)
  local from = argAt
  local known, held, refused, why, whose = {}, {}, nil, nil, nil
  for n = 1, size do
    arg()
    local id = arg()
    number()
    local length = number()
    local key, fingerprint, unique, _, onConflict, wanted = arg(), arg(), arg(), arg(), arg(), arg()
    argAt = argAt + length
    local what, before, knownId = nil, nil, nil
    if call('HEXISTS', P .. 'ids', id) == 1 then what = 'existing' end
    if not what and key ~= '' then
      if known[key] then before, knownId = unpack(known[key]) else before, knownId = recall(key) end
      if before then what = before == fingerprint and 'existing' or 'idempotency' end
    end
    if not what and unique ~= '' then
      local holder, callback = held[unique], nil
      if holder then knownId, callback = unpack(holder) else holder, knownId, callback = holderOf(unique) end
      what = holder and meetHolder(id, knownId, onConflict, wanted, callback)
      if what == 'existing' and key ~= '' then known[key] = {fingerprint, knownId} end
    end
    if what and what ~= 'existing' then
      refused, why, whose = n, what, knownId
      break
    elseif not what then
      if key ~= '' then known[key] = {fingerprint, id} end
      if unique ~= '' then held[unique] = {id, wanted} end
    end
  end
  argAt = from
  return refused, why, whose
end

local function together()
  local size, length = number(), number()
  local from = argAt
  local refused, why, whose = refusedOf(size)
  if refused then
    for n = 1, size do
      at = at + 1
      if n == refused then except(whose, why) else except('', 'aborted') end
    end
    argAt = from + length
    return
  end
  for _ = 1, size do one(arg()) end
end

for _ = 1, number() do
  local kind = arg()
  if kind == 'plain' then plainOnes() elseif kind == 'together' then together() else one(kind) end
end
S.flush()
return {now, exceptions}
`,
  members,
  uploads,
  uniqueKeys,
)

/** @param sizes see `Intake.submit` */
export async function submit(
  runs: Runs,
  submissions: readonly Submission[],
  sizes?: readonly number[],
): Promise<SubmitAnswer[]> {
  const large = submissions.filter(({ graph }) => isLarge(graph)).map(({ graph }) => [graph.id])
  const { args, count } = packAll(callsOf(submissions, sizes))
  const numbers = submissions.reduce((sum, { graph }) => sum + numbersOf(graph), 0)
  const reply = await runs.write<string | Stored>(submitScript, [...section(large), numbers, count, ...args])
  if (typeof reply === 'string')
    throw new CeleriacError(
      'NOT_FOUND',
      'A large graph is uploaded in parts before it is submitted: this one was not, or too long ago.',
    )
  return answersIn(reply, submissions.length)
}

/** When, and those that became something else than was sent: each by its place, what it became and the id it has. */
type Stored = readonly [at: number, exceptions: readonly (string | number)[]]

/** A collection takes a number of its own, its jobs and barriers the next ones; a job alone just one. */
const numbersOf = (graph: Graph): number =>
  isAlone(graph) ? 1 : isLarge(graph) ? 0 : 1 + graph.jobs.length + graph.barriers.length

function answersIn([at, exceptions]: Stored, count: number): SubmitAnswer[] {
  const created: SubmitAnswer = { type: 'created', at: Number(at) }
  const answers = Array.from({ length: count }, (): SubmitAnswer => created)
  for (let next = 0; next < exceptions.length; next += 3) {
    const [index, what, collectionId] = exceptions.slice(next, next + 3) as [number, string, string]
    answers[index] =
      what === 'existing'
        ? { type: 'existing', collectionId }
        : what === 'aborted'
          ? { type: 'aborted' }
          : { type: 'conflict', reason: what as ConflictReason, collectionId }
  }
  return answers
}

/** Plain jobs that follow each other and are alike share a section: they are most of what is submitted in bulk. */
function packAll(calls: readonly SubmittedCall[]): { args: Args; count: number } {
  const args: Args = []
  let count = 0
  let section: PlainSection | null = null
  const end = (): void => {
    if (section !== null) args.push(...section.packed())
    section = null
  }
  const add = (submission: Submission): void => {
    const job = submission.graph.jobs[0]
    if (job === undefined || !isPlainOne(submission, job)) {
      end()
      count++
      pushOne(args, submission)
    } else if (section === null || !section.takes(submission, job)) {
      end()
      count++
      section = new PlainSection(submission, job)
    }
  }
  for (const { submissions, mayAbort } of calls) {
    if (!mayAbort) {
      submissions.forEach(add)
      continue
    }
    end()
    count++
    const together: Args = []
    for (const submission of submissions) pushOne(together, submission)
    args.push('together', submissions.length, together.length)
    for (const each of together) args.push(each)
  }
  end()
  return { args, count }
}

/** Plain jobs that differ in nothing but their ids, which rise and are of one length, and their arguments. */
class PlainSection {
  readonly #first: Submission
  readonly #frame: Frame
  #ids: string
  #lastId: string
  readonly #args: string[]

  constructor(submission: Submission, job: GraphJob) {
    this.#first = submission
    this.#frame = frameFor(submission, job)
    this.#ids = this.#lastId = job.id
    this.#args = [job.args]
  }

  takes(submission: Submission, job: GraphJob): boolean {
    const { id, args } = job
    if (id.length !== this.#lastId.length || id <= this.#lastId || !this.#isAlike(submission, job)) return false
    this.#ids += this.#lastId = id
    this.#args.push(args)
    return true
  }

  #isAlike(submission: Submission, job: GraphJob): boolean {
    if (isSameCall(submission, this.#first)) return true
    const { before, behind } = frameFor(submission, job)
    return before === this.#frame.before && behind === this.#frame.behind
  }

  packed(): Args {
    const { queue, before, behind } = this.#frame
    return ['plain', queue, this.#args.length, this.#ids, before, behind, ...this.#args]
  }
}

const frameFor = (submission: Submission, job: GraphJob): Frame => frameOf(job, labelText(labelOf(submission)))

/** Mostly they come from one call, and nothing needs to be written out to see it. */
const isSameCall = (one: Submission, other: Submission): boolean =>
  one.graph.jobs[0]?.task === other.graph.jobs[0]?.task &&
  one.graph.jobs[0]?.options === other.graph.jobs[0]?.options &&
  one.retention === other.retention &&
  one.description === other.description &&
  one.actor === other.actor &&
  one.tags === other.tags

const isPlainOne = (submission: Submission, job: GraphJob): boolean =>
  submission.graph.exit === null && !hasKey(submission) && isPlain(job) && job.args.length <= longArgs

function pushOne(into: Args, submission: Submission): void {
  const { graph, idempotency, unique, actor, callback } = submission
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
    callback === null ? '' : `${callback.results} ${callback.url}`,
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
    ...section([entryOf(job, 0, 0)]),
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
    ...packRows(packing, 0, partSize),
    ...packEntries(packing),
    ...packState(packing),
  ]
}

function packUploaded(submission: Submission): Args {
  const { graph } = submission
  return [graph.id, exitOf(graph), collectionText(submission), ...packState(packGraph(graph, true))]
}

function collectionText(submission: Submission): string {
  const { graph, retention, callback } = submission
  const { actor, description, tags } = labelOf(submission)
  return `${retention ?? ''}\n${graph.id}\n${graph.shape}\n${JSON.stringify({ actor, description, tags, callback })}`
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
