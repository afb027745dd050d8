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

export async function events(db: Database, query: EventsQuery, all: Names): Promise<EventsPage> {
  const [epoch = ''] = query.after.split('.')
  const names = all.of(epoch)
  const wanted = query.collections === null ? null : await names.numbersOf(db, query.collections)
  let position = numberIn(query.after, epoch)
  const found: Flat[] = []
  for (let looked = 0; ; looked += entriesRead) {
    // One more than is told: it says where to go on.
    const page = await db.read<Page>(readScript, [position ?? '', entriesRead + 1])
    const [epochNow, end, entries] = page
    if (position === null || epoch !== epochNow || isGap(position, page)) {
      // Data may have been lost, and numbers with it: they are given anew.
      all.forget()
      return { changes: [], cursor: cursorAt(epochNow, end), more: false, gap: true }
    }
    const told = entries.slice(0, entriesRead)
    for (const [at, entry] of told.entries()) {
      found.push(...read(entry).changes.filter(({ collection }) => wanted === null || wanted.has(collection)))
      const next = entries[at + 1]
      position = next === undefined ? Number(end) : startOf(next)
      const isMore = next !== undefined
      if (found.length >= query.limit && isMore) return pageOf(await worded(db, found, names), epoch, position, true)
    }
    const more = entries.length > entriesRead
    if (!more || looked >= mostEntriesRead) return pageOf(await worded(db, found, names), epoch, position, more)
  }
}

/** @param changes null where the store was lost before their names were read: then they tell of others */
const pageOf = (changes: Change[] | null, epoch: string, position: number, more: boolean): EventsPage => ({
  changes: changes ?? [],
  cursor: cursorAt(epoch, position),
  more: changes !== null && more,
  gap: changes === null,
})

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

async function worded(db: Database, found: readonly Flat[], names: NamesOfEpoch): Promise<Change[] | null> {
  const jobs = found.flatMap(({ numbers }) => (isOfCollection(numbers) ? [] : [numbers[2] as number]))
  const ids = await names.learn(db, [...new Set([...jobs, ...found.map(({ collection }) => collection)])])
  return ids && found.flatMap((change) => tell(change, ids))
}

const isOfCollection = ([kind = 0]: readonly number[]): boolean => kind >= 10 && kind < 20

function tell({ at, numbers, collection, progress, isTold }: Flat, ids: Ids): Change[] {
  const [kind, own, seq, attempt, version] = numbers as [number, number, number, number, number]
  const collectionId = ids.get(collection)
  if (collectionId === undefined) return []
  if (isOfCollection(numbers))
    return [{ type: 'collection', at, collectionId, state: collectionStateName(kind - 10), round: seq }]
  const jobId = ids.get(seq)
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
return {call('HGET', P .. 'meta', 'epoch') or '', found}
`,
)

const mostKnown = 20_000

type Ids = ReadonlyMap<number, string>

/**
 * Ids by numbers and numbers by ids, of what is followed now. Neither ever changes within one epoch: a store that has lost its data
 * gives the same numbers to others.
 */
class NamesOfEpoch {
  readonly epoch: string
  #ids = new Map<number, string>()
  #numbers = new Map<string, number>()

  constructor(epoch: string) {
    this.epoch = epoch
  }

  /** Null where the store is of another epoch by now. Others may begin a new map meanwhile: who asked keeps theirs. */
  async learn(db: Database, numbers: readonly number[]): Promise<Ids | null> {
    if (this.#ids.size > mostKnown) this.#ids = new Map()
    const known = this.#ids
    const unknown = numbers.filter((number) => !known.has(number))
    if (unknown.length === 0) return known
    const [epoch, ids] = await db.read<readonly [string, string[]]>(idsScript, unknown)
    if (epoch !== this.epoch) return null
    unknown.forEach((number, at) => ids[at] !== '' && known.set(number, ids[at] as string))
    return known
  }

  async numbersOf(db: Database, ids: readonly string[]): Promise<ReadonlySet<number>> {
    if (this.#numbers.size > mostKnown) this.#numbers = new Map()
    const known = this.#numbers
    const unknown = ids.filter((id) => !known.has(id))
    if (unknown.length > 0) {
      const found = await db.send<(string | null)[]>('HMGET', `${db.prefix}ids`, ...unknown)
      unknown.forEach((id, at) => found[at] !== null && known.set(id, Number(found[at])))
    }
    return new Set(ids.flatMap((id) => known.get(id) ?? []))
  }
}

export class Names {
  #known = new NamesOfEpoch('')

  of(epoch: string): NamesOfEpoch {
    if (this.#known.epoch !== epoch) this.#known = new NamesOfEpoch(epoch)
    return this.#known
  }

  forget(): void {
    this.#known = new NamesOfEpoch(this.#known.epoch)
  }
}
