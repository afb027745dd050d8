import { type Row, rowColumns, type RowKind } from '../../engine/transfer.ts'
import { state } from '../../engine/codes.ts'
import type { Database } from './database.ts'
import { sessionFields } from './export.ts'
import { frontOfLine } from './keys.ts'
import {
  barrierKinds,
  collectionKinds,
  importBarrier,
  importCollection,
  importJob,
  jobKinds,
  type JobTexts,
  type Named,
  named,
  placesOf,
} from './portable.ts'

/** Commands, sent together: the order among them does not matter, and neither does sending them again. */
class Batch {
  readonly #commands = new Map<string, string[]>()

  /** Adds to the arguments of a command for one key, or of MSET. */
  add(command: string, ...args: string[]): void {
    let list = this.#commands.get(command)
    if (list === undefined) this.#commands.set(command, (list = []))
    list.push(...args)
  }

  async send(db: Database): Promise<void> {
    const sent: Promise<unknown>[] = []
    for (const [command, args] of this.#commands) {
      const [name = '', key] = command.split(' ', 2)
      const first = key === undefined ? [name] : [name, command.slice(name.length + 1)]
      for (let at = 0; at < args.length; at += 1_000) sent.push(db.send(...first, ...args.slice(at, at + 1_000)))
    }
    await Promise.all(sent)
  }
}

/** Stores rows of one kind, which may be there already. */
export async function storeRows(db: Database, kind: RowKind, rows: readonly Row[]): Promise<void> {
  const batch = new Batch()
  await importers[kind](batch, db, rows)
  await batch.send(db)
}

type Import = (batch: Batch, db: Database, rows: readonly Row[]) => void | Promise<void>

const importers: Readonly<Record<RowKind, Import>> = {
  sessions(batch, { prefix }, rows) {
    for (const row of rows) {
      const [number, id, ...rest] = row.map((cell) => (cell === null ? null : String(cell)))
      batch.add(`HSET ${prefix}sessions`, String(id), String(number))
      const fields = sessionFields.flatMap((name, at) => {
        const value = name === 'id' ? id : rest[at - 1]
        return value === null || value === undefined || (name === 'lost' && value === '0') ? [] : [name, value]
      })
      batch.add(`HSET ${prefix}session:${number}`, ...fields)
      const endedAt = row[rowColumns.sessions.indexOf('ended_at')]
      if (endedAt !== null) batch.add(`ZADD ${prefix}ended`, String(endedAt), String(number))
    }
  },
  queues(batch, { prefix }, rows) {
    for (const [name, paused] of rows) if (paused === 1) batch.add(`HSET ${prefix}queues`, String(name), '1')
  },
  collections(batch, { prefix }, rows) {
    for (const row of rows.map((each) => named('collections', each))) {
      keep(batch, prefix, collectionKinds, Number(row.number), importCollection(row))
      batch.add(`HSET ${prefix}ids`, String(row.id), String(row.number))
      const isCancelling = row.state === 0 && row.cancelled_at !== null
      if (isCancelling) batch.add(`SADD ${prefix}cancelling`, String(row.number))
    }
  },
  barriers(batch, { prefix }, rows) {
    for (const row of rows.map((each) => named('barriers', each)))
      keep(batch, prefix, barrierKinds, Number(row.number), importBarrier(row))
  },
  jobs: importJobs,
  attempts(batch, { prefix }, rows) {
    for (const [job, attempt, round, session, startedAt, finishedAt, outcome, failure] of rows) {
      const head = [round, session ?? '', startedAt, finishedAt, outcome].join(',')
      batch.add(`HSET ${prefix}a:${job}`, String(attempt), failure === null ? head : `${head}\n${failure}`)
    }
  },
  log: importLog,
  notes(batch, { prefix }, rows) {
    for (const [job, name, value] of rows) {
      batch.add(`HSET ${prefix}notes:${job}`, String(name), String(value))
      keepMore(batch, prefix, Number(job))
    }
  },
  unique(batch, { prefix }, rows) {
    for (const [key, collection, id, until, expiresAt] of rows) {
      batch.add(`HSET ${prefix}unique`, String(key), `${collection},${until},${expiresAt ?? ''},${id}`)
      if (expiresAt === null || expiresAt === undefined)
        batch.add(`HSET ${prefix}holds`, String(collection), String(key))
      else batch.add(`ZADD ${prefix}unique-until`, String(expiresAt), String(key))
    }
  },
  idempotency(batch, { prefix }, rows) {
    for (const [scope, key, fingerprint, id, expiresAt] of rows) {
      batch.add(`HSET ${prefix}idempotency`, `${scope}\0${key}`, `${expiresAt}\n${fingerprint}\n${id}`)
      batch.add(`ZADD ${prefix}idempotency-until`, String(expiresAt), `${scope}\0${key}`)
    }
  },
  leaving(batch, { prefix }, rows) {
    for (const [dueAt, runs] of rows) batch.add(`ZADD ${prefix}leaving`, String(dueAt), `${dueAt}:${runs}`)
  },
  values(batch, { prefix }, rows) {
    for (const [kind, id, text, expiresAt] of rows) {
      const field = `${kind}\0${id}`
      batch.add(`HSET ${prefix}values`, field, `${expiresAt ?? ''}\n${text}`)
      batch.add(`ZADD ${prefix}values-ids`, '0', field)
      if (expiresAt !== null && expiresAt !== undefined)
        batch.add(`ZADD ${prefix}values-until`, String(expiresAt), field)
    }
  },
}

function keep(batch: Batch, prefix: string, kinds: readonly string[], number: number, texts: JobTexts): void {
  kinds.forEach((kind, at) => {
    const text = texts[at]
    if (text === null || text === undefined) return
    batch.add('MSET', `${prefix}${kind}${number}`, text)
    if (moreKinds.has(kind)) keepMore(batch, prefix, number)
  })
}

const moreKinds: ReadonlySet<string> = new Set(['p:', 'u:'])
const keepMore = (batch: Batch, prefix: string, number: number): void =>
  batch.add(`ZADD ${prefix}more`, String(number), String(number))

async function importJobs(batch: Batch, db: Database, rows: readonly Row[]): Promise<void> {
  const jobs = rows.map((row) => named('jobs', row))
  const roles = await rolesOf(db, jobs)
  for (const row of jobs) {
    keep(
      batch,
      db.prefix,
      jobKinds,
      Number(row.seq),
      importJob(row, (number) => roles.get(number) === 0),
    )
    batch.add(`HSET ${db.prefix}ids`, String(row.id), String(row.seq))
    for (const [key, score, member] of placesOf(row)) {
      batch.add(`ZADD ${db.prefix}${key}`, score, member)
      if (key.startsWith('queue:')) batch.add(`ZADD ${db.prefix}lines`, frontOfLine, key.slice('queue:'.length))
      // Counted once all rows are there (see tie.ts).
      if (key.startsWith('suspects:')) batch.add(`HSET ${db.prefix}suspects`, key.slice('suspects:'.length), '0')
    }
    const isCancelling = row.collection === row.seq && row.marked_at !== null && Number(row.state) < state.succeeded
    if (isCancelling) batch.add(`SADD ${db.prefix}cancelling`, String(row.seq))
  }
}

/** The roles of these jobs and of those that their summaries are about, which came before. */
async function rolesOf(db: Database, jobs: readonly Named<'jobs'>[]): Promise<ReadonlyMap<number, number>> {
  const roles = new Map(jobs.map((row) => [Number(row.seq), Number(row.role)]))
  const missing = new Set<number>()
  for (const { input } of jobs) {
    if (typeof input !== 'string' || !input.startsWith('s')) continue
    const [first = 1, last = 0] = input.slice(1).split(',').map(Number)
    for (let number = first; number <= last; number++) if (!roles.has(number)) missing.add(number)
  }
  const numbers = [...missing]
  for (let at = 0; at < numbers.length; at += 1_000) {
    const some = numbers.slice(at, at + 1_000)
    const texts = await db.send<(string | null)[]>('MGET', ...some.map((number) => `${db.prefix}j:${number}`))
    texts.forEach((text, n) => roles.set(some[n] as number, Number(text?.split(',', 8)[7] ?? 0)))
  }
  return roles
}

/** A list has no names for its lines: what a page brings again of a job must not stand there twice. */
async function importLog(batch: Batch, db: Database, rows: readonly Row[]): Promise<void> {
  const byJob = Map.groupBy(rows, ([, job]) => Number(job))
  for (const [job, lines] of byJob) {
    const key = `${db.prefix}log:${job}`
    keepMore(batch, db.prefix, job)
    const there = new Set(await db.send<string[]>('LRANGE', key, '0', '-1'))
    for (const [, , attempt, at, level, message, data] of lines) {
      const text = JSON.stringify([attempt, at, level, message, data])
      if (!there.has(text)) batch.add(`RPUSH ${key}`, text)
    }
  }
}
