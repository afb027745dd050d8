import type { Database, Value } from './database.ts'

/** Which jobs in line: those whose worker died have an index of their own. Both are in the order in which jobs are to run. */
export interface Which {
  readonly crashes: '= 0' | '> 0'
  /** Leaves out those that had expired by this instant; null where none can have. */
  readonly late: number | null
}

const indexed = ({ crashes }: Which): string =>
  `celeriac_jobs indexed by ${crashes === '= 0' ? 'celeriac_jobs_queued' : 'celeriac_jobs_suspect'} where state = 2 and crashes ${crashes}`
const inTime = (which: Which): string =>
  `${indexed(which)}${which.late === null ? '' : ' and (expires_at is null or expires_at > ?)'}`
const valuesOf = ({ late }: Which): Value[] => (late === null ? [] : [late])
const inOrder = 'order by priority desc, collection, seq'

/** The first jobs of one queue. */
export const firstOfOne = <Row>(
  db: Database,
  columns: string,
  which: Which,
  { queue, limit, offset = 0 }: { readonly queue: string; readonly limit: number; readonly offset?: number },
): Row[] =>
  db.lists<Row>(
    `select ${columns} from ${inTime(which)} and queue = ? ${inOrder} limit ? + 0 offset ? + 0`,
    ...valuesOf(which),
    queue,
    limit,
    offset,
  )

type Key = readonly [queue: string, priority: number, collection: number, seq: number]

/** The line of one queue, as far as it has been read. */
interface Line {
  readonly keys: Key[]
  /** There may be more of it. */
  isLong: boolean
}

/**
 * The one queue that these jobs can be in; null where there are several. Most stores have one, and nothing else need be read. Where no
 * job is in line, any name does: ''.
 */
export function onlyQueue(db: Database, wanted: readonly string[] | null, which: Which): string | null {
  if (wanted !== null) return wanted.length === 1 ? (wanted[0] as string) : null
  const [ends] = db.lists<readonly [first: string | null, last: string | null]>(
    `select (select min(queue) from ${indexed(which)}), (select max(queue) from ${indexed(which)})`,
  )
  return ends?.[0] === ends?.[1] ? (ends?.[0] ?? '') : null
}

/** The queues of which nothing is to be taken. A queue that is not paused has no row. */
export function pausedQueues(db: Database): ReadonlySet<string> {
  return new Set(db.lists<readonly [string]>('select name from celeriac_queues where paused = 1').map(([name]) => name))
}

/**
 * The numbers of the first jobs of these queues, in the order in which they are to run. Costs by the queues that have jobs
 * in line, and nothing by those that are empty.
 */
export function firstOf(
  db: Database,
  {
    wanted,
    paused,
    which,
    limit,
  }: { wanted: readonly string[] | null; paused: ReadonlySet<string>; which: Which; limit: number },
): number[] {
  const lines = wanted === null ? allLines(db, paused, which) : wantedLines(db, wanted, which, limit)
  for (;;) {
    const first = lines
      .flatMap(({ keys }) => keys)
      .sort(compare)
      .slice(0, limit)
    const last = first.length < limit ? undefined : first.at(-1)
    // A line of which all that was read comes before the last of these may hold more that does.
    const short = lines.filter(({ keys, isLong }) => isLong && (!last || compare(keys.at(-1) as Key, last) < 0))
    if (short.length === 0) return first.map(([, , , seq]) => seq)
    for (const line of short) readOn(db, line, which)
  }
}

const compare = (one: Key, other: Key): number => other[1] - one[1] || one[2] - other[2] || one[3] - other[3]

function readOn(db: Database, line: Line, which: Which): void {
  const { keys } = line
  const count = keys.length
  const more = keysOf(db, (keys[0] as Key)[0], which, count, count)
  keys.push(...more)
  line.isLong = more.length === count
}

const keysOf = (db: Database, queue: string, which: Which, limit: number, offset: number): Key[] =>
  firstOfOne<Key>(db, 'queue, priority, collection, seq', which, { queue, limit, offset })

function wantedLines(db: Database, wanted: readonly string[], which: Which, limit: number): Line[] {
  const size = Math.max(fewestRead, Math.ceil(limit / wanted.length))
  return wanted.flatMap((queue) => {
    const keys = keysOf(db, queue, which, size, 0)
    return keys.length === 0 ? [] : [{ keys, isLong: keys.length === size }]
  })
}

const fewestRead = 4
const mostRead = 512

/**
 * Walks along the index: where lines are short it reads many of them at a time, where they are long it goes to the next one
 * at once. A step to the next line costs as much as reading twenty rows.
 */
function allLines(db: Database, paused: ReadonlySet<string>, which: Which): Line[] {
  const lines: Line[] = []
  let size = fewestRead
  for (let after: string | null = null; ;) {
    const page: Key[] = db.lists<Key>(
      `select queue, priority, collection, seq from ${inTime(which)} ${after === null ? '' : 'and queue > ?'}
       order by queue, priority desc, collection, seq limit ? + 0`,
      ...valuesOf(which),
      ...(after === null ? [size] : [after, size]),
    )
    const found = [...Map.groupBy(page, ([queue]) => queue)]
    found.forEach(([queue, keys], at) => {
      const isCut = at === found.length - 1 && page.length === size
      if (!paused.has(queue)) lines.push({ keys, isLong: isCut })
    })
    const last = found.at(-1)
    if (last === undefined || page.length < size) return lines
    after = last[0]
    size = Math.min(mostRead, Math.max(fewestRead, found.length * 4))
  }
}
