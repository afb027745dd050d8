import type { Graph, GraphBarrier, GraphJob } from '../../core/graph.ts'
import type { StoredOptions } from '../../core/job.ts'
import { dueAt } from '../../core/stored-options.ts'
import { decideBarrier } from './cascade.ts'
import type { Change } from './change.ts'
import { roleCode, state, whenCode } from '../../engine/codes.ts'
import type { Value } from './database.ts'

/** Where a graph goes: the numbers its rows get and what its jobs share. */
export interface Placement {
  readonly collection: number
  /** Jobs and barriers are numbered on from here, in the order of the graph. */
  readonly firstJob: number
  readonly firstBarrier: number
  /** Large graphs: the barrier that holds back the entries until the last part is there. */
  readonly start: number | null
  readonly round: number
  /** The job that continues as this graph. */
  readonly parent: number | null
  readonly depth: number
  /** The fail-fast scope of that job, which all of these then belong to. */
  readonly scope: number | null
}

/** Of a job alone. */
export interface Label {
  readonly actor: string | null
  readonly description: string | null
  readonly tags: string | null
  readonly retention: number | null
  readonly uniqueClaim: string | null
}
const noLabel: Label = { actor: null, description: null, tags: null, retention: null, uniqueClaim: null }

/** Stores a graph whole. Its empty barriers decide at once. */
export function insertGraph(change: Change, graph: Graph, place: Placement): void {
  insertBarriers(change, graph, place, 0, graph.barriers.length)
  insertJobs(change, graph, place, 0, graph.jobs.length)
  decideEmpty(change, graph, place)
}

/** Barriers that nothing will arrive at. */
export function decideEmpty(change: Change, graph: Graph, place: Placement): void {
  graph.barriers.forEach(({ inputs }, at) => {
    if (inputs === 0) decideBarrier(change, place.firstBarrier + at)
  })
}

export function insertBarriers(change: Change, graph: Graph, place: Placement, from: number, to: number): void {
  const insert = change.db.statement(
    `insert into celeriac_barriers (number, collection, inputs, pending, feeds, gate, continues, settles) values (?, ?, ?, ?, ?, ?, ?, ?)
     on conflict do nothing`,
  )
  for (let at = from; at < to; at++) {
    const { inputs, feeds, gate } = graph.barriers[at] as GraphBarrier
    const absolute = (position: number | null): number | null =>
      position === null ? null : place.firstBarrier + position
    const isExit = at === graph.exit
    insert.run(
      place.firstBarrier + at,
      place.collection,
      inputs,
      inputs,
      absolute(feeds),
      absolute(gate),
      isExit ? place.parent : null,
      isExit && place.parent === null ? 1 : 0,
    )
  }
}

export function insertJobs(change: Change, graph: Graph, place: Placement, from: number, to: number): void {
  for (let at = from; at < to; at++) {
    const job = graph.jobs[at] as GraphJob
    insertJob(change, job, place.firstJob + at, place, noLabel)
  }
}

/** Job columns that most jobs leave empty are in the second list: a job alone with plain options is a short row. */
const short =
  'seq, id, collection, state, task, queue, priority, created_at, args, options, actor, description, tags, retention, unique_claim'
const long = `${short}, round, role, input, behind, fit, feeds, scope, parent, depth, start_in, due_at, expires_at, timeout`
const marks = (columns: string): string =>
  columns
    .split(',')
    .map(() => '?')
    .join(', ')
const insertShort = `insert into celeriac_jobs (${short}) values (${marks(short)}) on conflict do nothing`
const insertLong = `insert into celeriac_jobs (${long}) values (${marks(long)}) on conflict do nothing`

/** A job alone. False when it is there already. */
export function insertAlone(change: Change, job: GraphJob, seq: number, label: Label): boolean {
  const place: Placement = {
    collection: seq,
    firstJob: seq,
    firstBarrier: 0,
    start: null,
    round: 1,
    parent: null,
    depth: 0,
    scope: null,
  }
  return insertJob(change, job, seq, place, label)
}

function insertJob(change: Change, job: GraphJob, seq: number, place: Placement, label: Label): boolean {
  change.left--
  const { options } = job
  const queue = options.queue ?? 'default'
  const behind = job.behind === null ? place.start : place.firstBarrier + job.behind
  const due = behind === null ? dueAt(options, change.now) : null
  const code = behind !== null ? state.waiting : due === null ? state.queued : state.scheduled
  const common = [
    seq,
    job.id,
    place.collection,
    code,
    job.task,
    queue,
    options.priority ?? 0,
    change.now,
    job.args,
    optionsText(options),
    label.actor,
    label.description,
    label.tags ?? tagsText(options),
    label.retention,
    label.uniqueClaim,
  ] as const
  const inserted = isPlain(job, place)
    ? change.db.run(insertShort, ...common)
    : change.db.run(insertLong, ...common, ...rest(change, job, place, behind, due))
  if (inserted === 0) return false
  if (code !== state.waiting) change.journal.job(code, place.collection, seq, 0, 1)
  return true
}

function isPlain({ behind, feeds, input, scope, role: name, options }: GraphJob, place: Placement): boolean {
  return (
    behind === null &&
    feeds === null &&
    scope === null &&
    input.from === 'nothing' &&
    name === 'main' &&
    place.start === null &&
    place.parent === null &&
    place.round === 1 &&
    options.startIn === undefined &&
    options.startAt === undefined &&
    options.expires === undefined &&
    options.timeout === undefined
  )
}

function rest(change: Change, job: GraphJob, place: Placement, behind: number | null, due: number | null): Value[] {
  const { options } = job
  const isMain = job.role === 'main'
  return [
    place.round,
    roleCode(job.role),
    inputText(job, place),
    behind,
    whenCode(job.when),
    job.feeds === null ? null : place.firstBarrier + job.feeds,
    isMain ? (place.scope ?? (job.scope === null ? null : place.firstJob + job.scope)) : null,
    place.parent,
    place.depth,
    behind === null ? null : (options.startIn ?? null),
    behind === null ? due : (options.startAt ?? null),
    isMain && options.expires !== undefined ? change.now + options.expires : null,
    options.timeout ?? null,
  ]
}

function inputText({ input }: GraphJob, place: Placement): string | null {
  if (input.from === 'nothing') return null
  if (input.from === 'failure') return 'f'
  if (input.from === 'results') return `r${input.shape}`
  return `s${place.firstJob + input.first},${place.firstJob + input.last}`
}

/** Most jobs of a task share one options object, so its text is made once. */
const texts = new WeakMap<StoredOptions, string>()
function optionsText(options: StoredOptions): string | null {
  let text = texts.get(options)
  if (text === undefined) texts.set(options, (text = JSON.stringify(options)))
  return text === '{}' ? null : text
}
const tagsText = ({ tags }: StoredOptions): string | null =>
  tags === undefined || tags.length === 0 ? null : JSON.stringify(tags)
