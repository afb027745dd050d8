import { beatByPages, compareHeld, heldAtOnce, type RunningJob, type RunningPage } from '../../engine/held.ts'
import { logLimit } from '../../engine/limits.ts'
import { jobsPerStep } from '../../engine/recovery.ts'
import type { Heartbeat, HeartbeatAnswer, Note } from '../../engine/work.ts'
import { type Change, endJob } from './change.ts'
import { type Ref, refColumns } from './claim.ts'
import type { Database } from './database.ts'
import { reason, state } from '../../engine/codes.ts'
import { putBack, recordAttempt } from './settle.ts'
import { storeTallies } from './statistics.ts'

/** What a beat of many jobs is stored by: each body in a transaction of its own, and others have their turn between them. */
export interface Beats {
  read<T>(body: (db: Database) => T): Promise<T>
  write<T>(body: (change: Change) => T): Promise<T>
  pause(): Promise<void>
  now(): number
}

/** A session that holds many jobs is renewed first; then they are gone through some at a time. */
export async function heartbeat(beats: Beats, beat: Heartbeat): Promise<HeartbeatAnswer> {
  const answer = await beats.write((change) => beatOnce(change, beat, heldAtOnce))
  if (answer !== null) return answer
  return beatByPages(
    beat,
    (lease, held) => compareLarge(beats, beat, lease, held),
    (ending) => beats.write((change) => beatOnce(change, ending, Infinity)),
  )
}
const nothing: HeartbeatAnswer = { lost: [], toCancel: [] }

/** Null where the session holds or runs more than `most`: then nothing of that was looked at, and it has not ended. */
function beatOnce(change: Change, beat: Heartbeat, most: number): HeartbeatAnswer | null {
  const session = renew(change, beat)
  for (const { ref, token, progress } of beat.progress)
    storeProgress(change, ref as Ref, token, JSON.stringify(progress))
  for (const { ref, token, line } of beat.log) storeLine(change, ref as Ref, token, line)
  for (const { ref, token, note } of beat.notes ?? []) storeNote(change, ref as Ref, token, note)
  if (beat.tallies !== undefined) storeTallies(change, session, beat.tallies)
  if (beat.held === null && !beat.ended) return nothing
  if ((beat.held?.length ?? 0) > most || runsMore(change.db, session, most)) return null
  const running = change.db.all<Running>(`${selectRunning} and session = ? order by +seq`, session)
  if (beat.ended) {
    for (const job of running) release(change, job)
    change.db.run(
      'update celeriac_sessions set ended_at = ?, expires_at = ? where number = ?',
      change.now,
      change.now,
      session,
    )
    return nothing
  }
  const toCancel = running.filter((job) => job.marked_at !== null).map(({ id, token }) => ({ id, token }))
  return { lost: compare(change, running, beat.held ?? [], beat.lease), toCancel }
}

const runsMore = (db: Database, session: number, most: number): boolean =>
  most < Infinity &&
  db.get('select 1 from celeriac_jobs where state = 3 and session = ? limit 1 offset ? + 0', session, most) !==
    undefined

async function compareLarge(
  { read, write, pause, now }: Beats,
  { session: { id } }: Heartbeat,
  lease: number,
  held: NonNullable<Heartbeat['held']>,
): Promise<HeartbeatAnswer> {
  return compareHeld({
    held,
    async page(after) {
      await pause()
      return read((db) => runningPage(db, now(), id, lease, after))
    },
    release: (jobs) => write((change) => releaseSome(change, id, lease, jobs)),
  })
}

const selectRunning = `select ${refColumns}, id, token, started_at, marked_at, reason
  from celeriac_jobs where state = 3`

interface Running extends Ref {
  readonly id: string
  readonly token: number
  readonly started_at: number
  readonly marked_at: number | null
  readonly reason: number | null
}

function renew(change: Change, { session, lease }: Heartbeat): number {
  const expiresAt = change.now + lease
  const known = change.db.get<{ number: number }>(
    'update celeriac_sessions set seen_at = ?, expires_at = ? where id = ? and ended_at is null returning number',
    change.now,
    expiresAt,
    session.id,
  )
  if (known !== undefined) return known.number
  // A session that was given up as lost comes back to life here: what it held is gone, what it claims from now on is its own.
  const row = change.db.get<{ number: number }>(
    // The number by itself would follow on a damaged one, to where JavaScript does not count.
    `insert into celeriac_sessions (number, id, name, host, pid, queues, concurrency, started_at, seen_at, expires_at)
     values ((select coalesce(max(number), 0) + 1 from celeriac_sessions where number < ${Number.MAX_SAFE_INTEGER}), ?, ?, ?, ?, ?, ?, ?, ?, ?)
     on conflict (id) do update set seen_at = excluded.seen_at, expires_at = excluded.expires_at, ended_at = null, lost = 0, losing = null returning number`,
    session.id,
    session.name,
    session.host,
    session.pid,
    session.queues === null ? null : JSON.stringify(session.queues),
    session.concurrency,
    change.now,
    change.now,
    expiresAt,
  )
  return (row as { number: number }).number
}

function storeProgress(change: Change, job: Ref, token: number, progress: string): void {
  const changed = change.db.run(
    'update celeriac_jobs set progress = ? where seq = ? and state = 3 and token = ?',
    progress,
    job.seq,
    token,
  )
  if (changed === 1) change.journal.progress(job.collection, job.seq, job.attempt, progress)
}

function storeLine(change: Change, job: Ref, token: number, line: Heartbeat['log'][number]['line']): void {
  change.db.run(
    `insert into celeriac_log (job, attempt, at, level, message, data) select seq, ?, ?, ?, ?, ? from celeriac_jobs
     where seq = ? and token = ? and (select count(*) from celeriac_log where job = ?) < ?`,
    line.attempt,
    line.at,
    line.level,
    line.message,
    line.data,
    job.seq,
    token,
    job.seq,
    logLimit,
  )
}

function storeNote(change: Change, job: Ref, token: number, { name, value }: Note): void {
  change.db.run(
    `insert into celeriac_notes (job, name, value) select seq, ?, ? from celeriac_jobs where seq = ? and state = 3 and token = ?
     on conflict do nothing`,
    name,
    value,
    job.seq,
    token,
  )
}

export const notesOf = (db: Database, seq: number): Note[] =>
  db.all<Note>('select name, value from celeriac_notes where job = ? order by name', seq)

/** The next jobs of a session by token and number, as they stand in their index. */
function runningPage(db: Database, now: number, id: string, lease: number, after: string | null): RunningPage {
  const [token, seq] = after === null ? [-1, 0] : (after.split(',').map(Number) as [number, number])
  const rows = db.all<Pick<Running, 'seq' | 'id' | 'token' | 'started_at' | 'marked_at'>>(
    `select seq, id, token, started_at, marked_at from celeriac_jobs
     where state = 3 and session = (select number from celeriac_sessions where id = ?) and (token, seq) > (?, ?)
     order by token, seq limit ? + 0`,
    id,
    token,
    seq,
    jobsPerStep,
  )
  const last = rows.length < jobsPerStep ? undefined : rows.at(-1)
  return {
    running: rows.map((job) => [job.seq, job.token, job.started_at + lease <= now]),
    toCancel: rows.filter((job) => job.marked_at !== null).map((job) => ({ id: job.id, token: job.token })),
    next: last === undefined ? null : `${last.token},${last.seq}`,
  }
}

/** Of these jobs what still runs in that session like that. */
function releaseSome(change: Change, id: string, lease: number, jobs: readonly RunningJob[]): void {
  for (const [seq, token] of jobs) {
    const job = change.db.get<Running>(
      `${selectRunning} and seq = ? and token = ? and session = (select number from celeriac_sessions where id = ?)`,
      seq,
      token,
      id,
    )
    if (job !== undefined && job.started_at + lease <= change.now) release(change, job)
  }
}

/** Gives back what the worker does not know it holds, and tells what it holds no longer. */
function compare(
  change: Change,
  running: readonly Running[],
  held: NonNullable<Heartbeat['held']>,
  lease: number,
): HeartbeatAnswer['lost'] {
  const listed = new Map(held.map(({ ref, token }) => [(ref as Ref).seq, token]))
  for (const job of running) {
    if (listed.get(job.seq) !== job.token && job.started_at + lease <= change.now) release(change, job)
  }
  const tokens = new Map(running.map(({ seq, token }) => [seq, token]))
  return held.filter(({ ref, token }) => tokens.get((ref as Ref).seq) !== token).map(({ id, token }) => ({ id, token }))
}

/** Back in line, and no crash: the worker never ran it, or is well. */
function release(change: Change, job: Running): void {
  if (job.marked_at !== null)
    return endJob(change, job, { state: state.cancelled, reason: job.reason ?? reason.cancelled, cause: job.seq })
  recordAttempt(change, job.seq, 'released', null)
  putBack(change, job, 0, 'token = null')
}

/** Gives back what runs, whoever holds it, some at a time: for when no worker lives. True while there may be more. */
export function giveBackSome(change: Change): boolean {
  const running = change.db.all<Running>(`${selectRunning} limit ? + 0`, jobsPerStep)
  for (const job of running) release(change, job)
  return running.length === jobsPerStep
}
