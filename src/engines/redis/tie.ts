import { state } from '../../engine/codes.ts'
import type { Database } from './database.ts'
import { longRuns } from './keys.ts'
import { type BarrierRow, barrierText, readBarrier } from './portable.ts'
import { runsOf } from './pack.ts'
import { type JobRow, readJob, readStanding } from './rows.ts'

/**
 * The last step of filling a store from another: rows know each other by number there, and graphs by where they begin here.
 * A graph's jobs stand under numbers that follow each other, then its barriers; one that came in parts has a barrier before
 * them that held back its entries. All numbers are gone through in their order, so this takes a while, and may be done again.
 *
 * It also counts how many jobs of each queue wait or are scheduled.
 */
export async function tie(db: Database, last: number): Promise<void> {
  const walk = new Walk(db)
  for (let first = 1; first <= last; first += window) {
    await walk.go(first, Math.min(first + window - 1, last))
    await walk.write()
  }
  walk.close()
  await walk.write(true)
}
const window = 500

interface Graph {
  readonly collection: number
  readonly parent: number | null
  readonly base: number
  /** The barrier that held back its entries. */
  readonly start: number | null
  jobs: number
  /** Of each job: the barrier that it stands behind, and the one that it feeds. */
  readonly behind: (number | null)[]
  readonly feeds: (number | null)[]
  readonly barriers: BarrierRow[]
}

class Walk {
  readonly #db: Database
  readonly #texts: string[] = []
  readonly #graphs: (readonly [key: string, base: number, text: string])[] = []
  readonly #collections = new Map<number, string>()
  readonly #counts = {
    waiting: new Map<string, number>(),
    scheduled: new Map<string, number>(),
    suspects: new Map<string, number>(),
  }
  #graph: Graph | null = null

  constructor(db: Database) {
    this.#db = db
  }

  async go(first: number, last: number): Promise<void> {
    const numbers = Array.from({ length: last - first + 1 }, (_, at) => first + at)
    const read = (kind: string): Promise<(string | null)[]> =>
      this.#db.send('MGET', ...numbers.map((number) => `${this.#db.prefix}${kind}${number}`))
    const [jobs, standings, barriers, collections] = await Promise.all(['j:', 's:', 'b:', 'c:'].map(read))
    for (const [at, number] of numbers.entries()) {
      const [job, barrier, collection] = [jobs?.[at], barriers?.[at], collections?.[at]]
      if (job) this.#job(readJob(number, job), standings?.[at] ?? null)
      else if (barrier) this.#barrier(number, readBarrier(barrier))
      else this.close()
      if (collection) this.#collections.set(number, collection)
    }
  }

  #job(job: JobRow, text: string | null): void {
    const standing = readStanding(job, text)
    if (standing.state === state.waiting) this.#count('waiting', job.queue)
    if (standing.state === state.scheduled) this.#count('scheduled', job.queue)
    if (standing.state === state.queued && standing.crashes > 0) this.#count('suspects', job.queue)
    if (job.collection === job.number) return this.close()
    const graph = this.#graphFor(job)
    graph.jobs++
    graph.behind.push(job.behind)
    graph.feeds.push(job.feeds)
  }

  /** The graph that a job with this number belongs to. */
  #graphFor({ number, collection, parent }: JobRow): Graph {
    const open = this.#graph
    const isSame = open !== null && open.collection === collection
    if (isSame && open.barriers.length === 0 && open.parent === parent) return open
    const [alone] = open?.barriers ?? []
    const isStart = isSame && open.jobs === 0 && open.barriers.length === 1 && alone !== undefined && !isExit(alone)
    if (isStart) this.#graph = null
    return this.#begin({ collection, parent, base: number, start: isStart ? number - 1 : null })
  }

  #barrier(number: number, barrier: BarrierRow): void {
    const open = this.#graph
    const isOther = open === null || open.collection !== barrier.collection || endsAnother(barrier, open)
    const graph = isOther
      ? this.#begin({ collection: barrier.collection, parent: barrier.continues, base: number, start: null })
      : open
    graph.barriers.push(barrier)
  }

  #begin(about: Pick<Graph, 'collection' | 'parent' | 'base' | 'start'>): Graph {
    this.close()
    return (this.#graph = { ...about, jobs: 0, behind: [], feeds: [], barriers: [] })
  }

  #count(kind: 'waiting' | 'scheduled' | 'suspects', queue: string): void {
    this.#counts[kind].set(queue, (this.#counts[kind].get(queue) ?? 0) + 1)
  }

  /** All of a graph is known: its barriers are told who belongs to them, and its collection is told of it. */
  close(): void {
    const graph = this.#graph
    this.#graph = null
    if (graph === null) return
    const { collection, parent, base, jobs, barriers, start } = graph
    const place = { base, parent, jobs, barriers: barriers.length }
    const lists = new Lists(graph)
    if (start !== null) {
      const about = { collection, inputs: 0, feeds: null, gate: null, isExit: false }
      this.#put(`b:${start}`, barrierText(about, { ...place, runs: '\r' }))
      this.#put(`l:${start}`, lists.runs(start))
    }
    for (const [at, barrier] of barriers.entries()) {
      const number = base + jobs + at
      const runs = lists.runs(number)
      const isLong = runs.length > longRuns
      const about = { ...barrier, isExit: isExit(barrier) }
      this.#put(`b:${number}`, barrierText(about, { ...place, runs: isLong ? '\r' : runs }))
      if (isLong) this.#put(`l:${number}`, runs)
    }
    const triple = `${base},${jobs},${barriers.length}`
    if (parent !== null) this.#graphs.push([`m:${collection}`, base, triple])
    else this.#tellCollection(collection, base, triple)
  }

  /** The number of its exit counts from the base from here on. */
  #tellCollection(number: number, base: number, triple: string): void {
    const row = this.#collections.get(number)
    if (row === undefined) return
    this.#collections.delete(number)
    const end = row.indexOf('\n')
    const [createdAt, oldBase, , , exit] = row.slice(0, end).split(',').map(Number)
    const absolute = (oldBase as number) + (exit as number)
    this.#put(`c:${number}`, `${createdAt},${triple},${absolute - base}${row.slice(end)}`)
  }

  #put(name: string, text: string): void {
    this.#texts.push(`${this.#db.prefix}${name}`, text)
  }

  async write(isLast = false): Promise<void> {
    const { prefix } = this.#db
    const texts = this.#texts.splice(0)
    for (let at = 0; at < texts.length; at += 1_000) await this.#db.send('MSET', ...texts.slice(at, at + 1_000))
    const graphs = this.#graphs.splice(0)
    await Promise.all(graphs.map(([key, base, text]) => this.#db.send('ZADD', `${prefix}${key}`, String(base), text)))
    if (!isLast) return
    for (const [kind, counts] of Object.entries(this.#counts)) {
      const fields = [...counts].flatMap(([queue, count]) => [queue, String(count)])
      if (fields.length > 0) await this.#db.send('HSET', `${prefix}${kind}`, ...fields)
    }
  }
}

const isExit = ({ continues, settles }: BarrierRow): boolean => continues !== null || settles

/** It closes the canvas of another job than the graph under way belongs to: that one had no jobs. */
const endsAnother = ({ continues, settles }: BarrierRow, { parent }: Graph): boolean =>
  (continues !== null && continues !== parent) || (settles && parent !== null)

/** What belongs to the barriers of a graph: the jobs behind each, the jobs and the barriers that feed it. */
class Lists {
  readonly #behind: ReadonlyMap<number | null, number[]>
  readonly #jobs: ReadonlyMap<number | null, number[]>
  readonly #barriers: ReadonlyMap<number | null, number[]>

  constructor({ jobs, behind, feeds, barriers }: Graph) {
    this.#behind = placesBy(behind, 0)
    this.#jobs = placesBy(feeds, 0)
    this.#barriers = placesBy(
      barriers.map((barrier) => barrier.feeds),
      jobs,
    )
  }

  runs(number: number): string {
    return [this.#behind, this.#jobs, this.#barriers].map((lists) => runsOf(lists.get(number) ?? [])).join('\n')
  }
}

function placesBy(numbers: readonly (number | null)[], from: number): Map<number | null, number[]> {
  const found = new Map<number | null, number[]>()
  numbers.forEach((number, at) => {
    const list = found.get(number)
    if (list === undefined) found.set(number, [from + at])
    else list.push(from + at)
  })
  return found
}
