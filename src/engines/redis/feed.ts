import type { Change } from '../../core/event.ts'
import type { Progress } from '../../core/job.ts'
import type { EventsPage, EventsQuery } from '../../engine/feed.ts'
import { collectionStateName, settling, state, stateName } from '../../engine/codes.ts'
import { readStored } from '../../engine/stored.ts'
import type { Database } from './database.ts'
import { reading } from './scripts.ts'

/** Entries of the stream read at a time. */
const entriesRead = 64
/** At most so many in one call, also where nothing in them is asked for: somebody waits for the answer. */
const mostEntriesRead = 512

// ── cursors: the store's epoch, and how much of the feed was there before ────────────────────────────────────────

const endScript = reading(
  'feed-end',
  `return {call('HGET', P .. 'meta', 'epoch') or '', call('GET', P .. 'events-end') or '0'}`,
)

/** Where the feed ends. */
export async function endOf(db: Database): Promise<{ epoch: string; end: number }> {
  const [epoch, end] = await db.read<[string, string]>(endScript)
  return { epoch, end: Number(end) }
}

export async function cursorNow(db: Database): Promise<string> {
  const { epoch, end } = await endOf(db)
  return cursorAt(epoch, end)
}

export const cursorAt = (epoch: string, end: number | string): string => `${epoch}.${end}`

function numberIn(cursor: string, epoch: string): number | null {
  const [of, number] = cursor.split('.')
  const after = Number(number)
  return of === epoch && number !== '' && Number.isSafeInteger(after) && after >= 0 ? after : null
}

// ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

const readScript = reading(
  'events',
  `
local after, count = number(), number()
local rows = {}
if after then rows = call('XRANGE', P .. 'events', string.format('%.0f', after + 1), '+', 'COUNT', count) end
return {call('HGET', P .. 'meta', 'epoch') or '', call('GET', P .. 'events-end') or '0', rows}
`,
)
type Entry = readonly [id: string, fields: readonly string[]]
type Page = readonly [epoch: string, end: string, entries: readonly Entry[]]

/** What one entry of the stream tells: when, a flat list of numbers (see the journal), and the payloads that belong to them. */
interface Told {
  readonly at: number
  readonly changes: readonly Flat[]
}

/** One change, not yet put into words. */
interface Flat {
  readonly at: number
  readonly numbers: readonly number[]
  readonly collection: number
  readonly progress: Progress | undefined
  /** The next change tells of the collection itself. */
  readonly isTold: boolean
}

export async function events(db: Database, query: EventsQuery, names: Names): Promise<EventsPage> {
  const wanted = query.collections === null ? null : await names.numbersOf(db, query.collections)
  const [epoch] = query.after.split('.')
  let position = numberIn(query.after, epoch ?? '')
  const found: Flat[] = []
  for (let looked = 0; ; looked += entriesRead) {
    // One more than is told: it says where to go on.
    const page = await db.read<Page>(readScript, [position ?? '', entriesRead + 1])
    const [epochNow, end, entries] = page
    if (position === null || epoch !== epochNow || isGap(position, page))
      return { changes: [], cursor: cursorAt(epochNow, end), more: false, gap: true }
    const told = entries.slice(0, entriesRead)
    for (const [at, entry] of told.entries()) {
      found.push(...read(entry).changes.filter(({ collection }) => wanted === null || wanted.has(collection)))
      const next = entries[at + 1]
      position = next === undefined ? Number(end) : startOf(next)
      const isMore = next !== undefined
      if (found.length >= query.limit && isMore)
        return { changes: await worded(db, found, names), cursor: cursorAt(epoch, position), more: true, gap: false }
    }
    const more = entries.length > entriesRead
    if (!more || looked >= mostEntriesRead)
      return { changes: await worded(db, found, names), cursor: cursorAt(epoch, position), more, gap: false }
  }
}

/** An entry's id says where it begins: one more than what was there before it. */
const startOf = ([id]: Entry): number => Number(id.slice(0, id.indexOf('-'))) - 1

function isGap(position: number, [, end, entries]: Page): boolean {
  const first = entries[0]
  return position !== (first === undefined ? Number(end) : startOf(first))
}

function read([, fields]: Entry): Told {
  const of = (name: string): string | undefined => fields[fields.indexOf(name) + 1]
  const at = Number(of('t'))
  const flat = (of('c') ?? '').split(',').map(Number)
  const payloads = fields.includes('p') ? readStored<Progress[]>(of('p'), []) : []
  const changes: Flat[] = []
  let payload = 0
  for (let from = 0; from < flat.length;) {
    const kind = flat[from] as number
    if (kind >= 30) {
      changes.push(...changesOfRun(at, flat.slice(from, from + 6)))
      from += 6
      continue
    }
    const length = kind < 10 ? 5 : kind < 20 ? 3 : 4
    const isAlone = (kind < 10 || kind === 20) && flat[from + 1] === 0
    const collection = flat[from + (isAlone ? 2 : 1)] as number
    const next = flat[from + length] ?? 0
    changes.push({
      at,
      numbers: flat.slice(from, from + length),
      collection,
      progress: kind === 20 ? payloads[payload++] : undefined,
      isTold: next >= 10 && next < 20 && flat[from + length + 1] === collection,
    })
    from += length
  }
  return { at, changes }
}

/** A run of jobs, each told of as if it stood by itself. */
function changesOfRun(at: number, run: readonly number[]): Flat[] {
  const [kind, collection, first, last, attempt, version] = run as [number, number, number, number, number, number]
  return Array.from({ length: last - first + 1 }, (_, n) => {
    const numbers = [kind - 30, collection, first + n, attempt, version]
    return { at, numbers, collection: collection || first + n, progress: undefined, isTold: false }
  })
}

// ── putting into words ───────────────────────────────────────────────────────────────────────────────────────────

async function worded(db: Database, found: readonly Flat[], names: Names): Promise<Change[]> {
  const jobs = found.flatMap(({ numbers }) => (isOfCollection(numbers) ? [] : [numbers[2] as number]))
  await names.learn(db, [...new Set([...jobs, ...found.map(({ collection }) => collection)])])
  return found.flatMap((change) => tell(change, names))
}

const isOfCollection = ([kind = 0]: readonly number[]): boolean => kind >= 10 && kind < 20

function tell({ at, numbers, collection, progress, isTold }: Flat, names: Names): Change[] {
  const [kind, own, seq, attempt, version] = numbers as [number, number, number, number, number]
  const collectionId = names.idOf(collection)
  if (collectionId === undefined) return []
  if (isOfCollection(numbers))
    return [{ type: 'collection', at, collectionId, state: collectionStateName(kind - 10), round: seq }]
  const jobId = names.idOf(seq)
  if (jobId === undefined) return []
  if (progress !== undefined) return [{ type: 'progress', at, collectionId, jobId, attempt, progress }]
  const change: Change = { type: 'job', at, collectionId, jobId, state: stateName(kind), attempt, version }
  // A job alone is its own collection, and settles it. Of a later round the journal says so itself.
  if (own !== 0 || kind < state.succeeded || isTold) return [change]
  return [change, { type: 'collection', at, collectionId, state: collectionStateName(settling(kind)), round: 1 }]
}

// ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────

const idsScript = reading(
  'ids',
  `
local jobs, collections, found = {}, {}, {}
for at = 3, #ARGV do
  jobs[at - 2] = P .. 'j:' .. ARGV[at]
  collections[at - 2] = P .. 'c:' .. ARGV[at]
end
local jobRows, collectionRows = many('MGET', nil, jobs), many('MGET', nil, collections)
for at = 1, #jobs do
  if jobRows[at] then found[at] = string.match(jobRows[at], '^[^\\n]*\\n[^\\n]*\\n([^\\n]*)')
  elseif collectionRows[at] then found[at] = string.match(collectionRows[at], '^[^\\n]*\\n[^\\n]*\\n([^\\n]*)')
  else found[at] = '' end
end
return found
`,
)

const mostKnown = 20_000

/** Ids by numbers and numbers by ids, of what is followed now. Neither ever changes. */
export class Names {
  #ids = new Map<number, string>()
  #numbers = new Map<string, number>()

  idOf(number: number): string | undefined {
    return this.#ids.get(number)
  }

  async learn(db: Database, numbers: readonly number[]): Promise<void> {
    if (this.#ids.size > mostKnown) this.#ids = new Map()
    const unknown = numbers.filter((number) => !this.#ids.has(number))
    if (unknown.length === 0) return
    const ids = await db.read<string[]>(idsScript, unknown)
    unknown.forEach((number, at) => ids[at] !== '' && this.#ids.set(number, ids[at] as string))
  }

  async numbersOf(db: Database, ids: readonly string[]): Promise<ReadonlySet<number>> {
    if (this.#numbers.size > mostKnown) this.#numbers = new Map()
    const unknown = ids.filter((id) => !this.#numbers.has(id))
    if (unknown.length > 0) {
      const found = await db.send<(string | null)[]>('HMGET', `${db.prefix}ids`, ...unknown)
      unknown.forEach((id, at) => found[at] !== null && this.#numbers.set(id, Number(found[at])))
    }
    return new Set(ids.flatMap((id) => this.#numbers.get(id) ?? []))
  }
}
