import { newArguments, type RetryAnswer, type RetryRequest } from '../../engine/control.ts'
import type { UniqueClaim } from '../../engine/intake.ts'
import { decideBarrier, letGoIfFree, settleParkedIfOver, type Waiting, waitingColumns } from './cascade.ts'
import { type Change, type Header, header, later, oneMore, type WorkItem } from './change.ts'
import { attemptOutcomeCode, decided, role, state, work } from '../../engine/codes.ts'
import { insideOf, isStartingNow, rootOf, startingNow, taking, takingOf } from '../../engine/resets.ts'
import { eachMember, type Member, memberColumns, select } from './control.ts'
import { holderOf, holdUnique } from './keys.ts'
import { forgetAttempts } from './settle.ts'

/**
 * A retry goes over the collection's jobs twice, in the order of their numbers. The first time it puts back to `waiting`
 * what is to run again and reopens the barriers it feeds; side branches come after the canvas they hang on, so that their
 * barrier has been reopened when they are met. The second time it lets go what nothing holds up.
 */
export function retry(change: Change, request: RetryRequest): RetryAnswer {
  const given = newArguments(request)
  const answer = retrySelected(change, request)
  if (given !== null && answer === 'retried') {
    const changed = change.db.get<{ seq: number }>(
      'update celeriac_jobs set args = ? where id = ? returning seq',
      given.args,
      given.jobId,
    )
    if (changed !== undefined) forgetNotes(change, changed.seq)
  }
  return answer
}

function retrySelected(change: Change, request: RetryRequest): RetryAnswer {
  const found = select(change, request.selection)
  if (found === null) return 'not-found'
  if ('job' in found) return retryJob(change, found.job, request)
  const about = found.collection
  const refusal = refuse(change, about, request)
  if (refusal !== null) return refusal
  beginRound(change, about)
  const detail = (request.mode === 'all' ? taking.all : taking.failed) + addedBy(request)
  later(change, work.reset, about.number, detail)
  if (request.mode === 'all') {
    later(change, work.reopen, about.number)
    later(change, work.decide, about.number)
  }
  later(change, work.restart, about.number, detail)
  return 'retried'
}

const addedBy = ({ now }: RetryRequest): number => (now === true ? startingNow : 0)

function refuse(change: Change, about: Header, { expectedRound, mode }: RetryRequest): RetryAnswer | null {
  if (about.round !== expectedRound) return 'round'
  const settled = stateOf(change, about)
  if (settled === 'running') return about.cancelledAt === null ? 'running' : 'cancelling'
  if (settled === 'succeeded' && mode === 'failed') return 'succeeded'
  return takeUniqueAgain(change, about) ? null : 'unique'
}

function stateOf(change: Change, about: Header): 'running' | 'succeeded' | 'other' {
  const row = about.alone
    ? change.db.get<{ running: number; succeeded: number }>(
        'select state < 4 as running, state = 4 as succeeded from celeriac_jobs where seq = ?',
        about.number,
      )
    : change.db.get<{ running: number; succeeded: number }>(
        'select state = 0 as running, state = 1 as succeeded from celeriac_collections where number = ?',
        about.number,
      )
  if (row === undefined || row.running === 1) return 'running'
  return row.succeeded === 1 ? 'succeeded' : 'other'
}

/** Unless another submission holds it now. */
function takeUniqueAgain(change: Change, about: Header): boolean {
  const table = about.alone ? 'celeriac_jobs where seq' : 'celeriac_collections where number'
  const text = change.db.get<{ unique_claim: string | null }>(
    `select unique_claim from ${table} = ?`,
    about.number,
  )?.unique_claim
  if (text === undefined || text === null) return true
  const claim = JSON.parse(text) as UniqueClaim
  const holder = holderOf(change, claim.key)
  if (holder === null) holdUnique(change, claim, about.number, about.id)
  return holder === null || holder.number === about.number
}

function beginRound(change: Change, about: Header): void {
  if (!about.alone) {
    change.db.run(
      `update celeriac_collections set state = 0, round = ${oneMore('round')}, settled_at = null, cancelled_at = null where number = ?`,
      about.number,
    )
  } else {
    change.db.run(`update celeriac_jobs set round = ${oneMore('round')}, marked_at = null where seq = ?`, about.number)
  }
  change.headers.delete(about.number)
  change.journal.collection(0, about.number, header(change, about.number).round)
}

// ── one job ──────────────────────────────────────────────────────────────────────────────────────────────────────

function retryJob(change: Change, job: Member, request: RetryRequest): RetryAnswer {
  const { expectedRound } = request
  const about = header(change, job.collection)
  if (about.round !== expectedRound) return 'round'
  if (job.state < state.succeeded || job.archived !== null) return 'running'
  if (job.state === state.succeeded) return 'succeeded'
  if (about.cancelledAt !== null && stateOf(change, about) === 'running') return 'cancelling'
  if (isBlocked(change, job)) return 'blocked'
  if (stateOf(change, about) !== 'running' && !takeUniqueAgain(change, about)) return 'unique'
  // A side branch changes nothing about its collection, which may stay settled.
  if (job.role === role.main) beginRound(change, about)
  const { round } = header(change, job.collection)
  const detail = taking.heldUp + addedBy(request)
  for (const seed of [job, ...around(change, job)]) reset(change, seed, round, detail)
  later(change, work.reset, job.collection, detail + (job.continuation === null ? 0 : insideOf * job.seq))
  later(change, work.restart, job.collection, detail)
  return 'retried'
}

function isBlocked(change: Change, job: Member): boolean {
  if (job.behind === null) return false
  const barrier = change.db.get<{ decided: number }>(
    'select decided from celeriac_barriers where number = ?',
    job.behind,
  )
  return barrier?.decided !== decided.success && job.role === role.main
}

/** The jobs whose canvas this one belongs to: they failed with it. A worker lets no more than 100 continue within each other. */
function around(change: Change, job: Member): Member[] {
  if (job.parent === null) return []
  const parent = change.db.get<Member>(`select ${memberColumns} from celeriac_jobs where seq = ?`, job.parent)
  return parent === undefined ? [] : [parent, ...around(change, parent)]
}

// ── resetting ────────────────────────────────────────────────────────────────────────────────────────────────────

export function resetMembers(change: Change, item: WorkItem): boolean {
  const { round } = header(change, item.subject)
  const what = takingOf(item.detail)
  const root = rootOf(item.detail)
  return eachMember(change, item, item.subject, (job) => {
    if (job.archived !== null) return
    if (isOfForgotten(change, job)) return archive(change, job, round)
    if (isTaken(change, job, what) || (isLost(job) && isInside(change, job, root)))
      reset(change, job, round, item.detail)
  })
}

const isLost = (job: Member): boolean => job.role === role.main && job.state > state.succeeded

/**
 * It is part of the canvas that the job `root` continued as, however deep: each job in between was met before it, and put back. Zero: of
 * none.
 */
function isInside({ db }: Change, { parent }: Member, root: number): boolean {
  for (let at = root === 0 ? null : parent; at !== null;) {
    if (at === root) return true
    at =
      db.get<{ parent: number | null }>(
        'select parent from celeriac_jobs where seq = ? and state = 0 and continuation is not null',
        at,
      )?.parent ?? null
  }
  return false
}

function isTaken(change: Change, job: Member, what: number): boolean {
  if (what === taking.all) return true
  if (isLost(job) && what === taking.failed) return true
  if (job.role === role.main ? !isLost(job) : job.state === state.waiting && job.continuation === null) return false
  return job.behind !== null && !isDecided(change, job.behind)
}

const isDecided = (change: Change, number: number): boolean =>
  change.db.get('select 1 from celeriac_barriers where number = ? and decided = 0', number) === undefined

/** It belongs to a canvas that a handler returned which is going to be called anew. */
function isOfForgotten(change: Change, { parent }: Member): boolean {
  if (parent === null) return false
  const row = change.db.get<{ continuation: number | null; archived: number | null }>(
    'select continuation, archived from celeriac_jobs where seq = ?',
    parent,
  )
  return row === undefined || row.continuation === null || row.archived !== null
}

function archive(change: Change, job: Member, round: number): void {
  change.left--
  if (job.state === state.running) change.journal.cancel = true
  const over = job.state < state.succeeded ? ', state = 6, reason = 3, cause = seq, token = null' : ''
  change.db.run(
    `update celeriac_jobs set archived = ?, version = ${oneMore('version')}, due_at = null${over} where seq = ?`,
    round,
    job.seq,
  )
}

/** Puts a job back to `waiting`, its last attempt into history, and reopens what it feeds. */
function reset(change: Change, job: Member, round: number, detail: number): void {
  const what = takingOf(detail)
  change.left--
  const wasFinal = job.state >= state.succeeded
  if (job.state === state.running) change.journal.cancel = true
  if (job.started_at !== null) keepAttempt(change, job)
  // A main job that continued keeps its canvas, unless everything is to run again; a side branch is called anew.
  const forgets = what === taking.all || job.role !== role.main
  const isNow = isStartingNow(detail) ? 1 : 0
  change.db.run(
    `update celeriac_jobs set state = 0, round = ?, failures = 0, crashes = 0, version = ${oneMore('version')}, reason = null, cause = null,
       failure = null, result = null, progress = null, marked_at = null, token = null, session = null, started_at = null,
       finished_at = null, deadline_at = null,
       -- What has begun before starts at once; so does everything where that is asked for.
       start_in = iif(attempt > 0 or ?, null, start_in), due_at = iif(attempt > 0 or ?, null, due_at),
       expires_at = ? + json_extract(options, '$.expires'), continuation = iif(?, null, continuation)
     where seq = ?`,
    round,
    isNow,
    isNow,
    job.role === role.main ? change.now : null,
    forgets ? 1 : 0,
    job.seq,
  )
  if (what === taking.all || job.state === state.succeeded) forgetNotes(change, job.seq)
  change.journal.job(state.waiting, job.collection, job.seq, job.attempt, job.version + 1)
  if (job.feeds !== null && wasFinal && what !== taking.all) reopen(change, job.feeds, job.state !== state.succeeded)
}

function forgetNotes(change: Change, seq: number): void {
  change.db.run('delete from celeriac_notes where job = ?', seq)
}

/** The round of a job alone is its collection's, which has begun anew already. */
function keepAttempt(change: Change, job: Member): void {
  const outcomes: Readonly<Record<number, 'succeeded' | 'failed' | 'cancelled'>> = { 4: 'succeeded', 5: 'failed' }
  change.db.run(
    `insert into celeriac_attempts (job, attempt, round, session, started_at, finished_at, outcome, failure)
     select seq, attempt, iif(collection = seq, round - 1, round), session, started_at, coalesce(finished_at, ?), ?, iif(state = 5, failure, null)
       from celeriac_jobs where seq = ?
     on conflict do nothing`,
    change.now,
    attemptOutcomeCode(outcomes[job.state] ?? 'cancelled'),
    job.seq,
  )
  forgetAttempts(change, job.seq, job.attempt)
}

interface Reopened {
  readonly decided: number
  readonly feeds: number | null
}

/** One input of the barrier is open again. If it had decided, so is the barrier, and what it feeds. */
function reopen(change: Change, number: number, hadFailed: boolean): void {
  const was = change.db.get<Reopened>('select decided, feeds from celeriac_barriers where number = ?', number)
  if (was === undefined) return
  change.left--
  change.db.run(
    'update celeriac_barriers set decided = 0, cause = null, pending = pending + 1, failed = failed - ? where number = ?',
    hadFailed ? 1 : 0,
    number,
  )
  if (was.decided === decided.no) return
  if (was.feeds !== null) reopen(change, was.feeds, was.decided === decided.failure)
}

/** Applies `step` to the barriers of a collection, for as long as the call may. True when none is left. */
function eachBarrier(change: Change, item: WorkItem, step: (page: readonly EmptyBarrier[]) => void): boolean {
  while (change.left > 0) {
    const limit = 10 * Math.ceil(change.left)
    const page = change.db.all<EmptyBarrier>(
      `select number, inputs, decided, continues from celeriac_barriers where collection = ? and number > ? order by number limit ? + 0`,
      item.subject,
      item.after,
      limit,
    )
    step(page)
    change.left -= page.length / 10
    if (page.length < limit) return true
    item.after = page.at(-1)?.number ?? item.after
  }
  return false
}
interface EmptyBarrier {
  readonly number: number
  readonly inputs: number
  readonly decided: number
  readonly continues: number | null
}

/** Once all jobs were put back, so that none arrives at a barrier any more. */
export const reopenAll = (change: Change, item: WorkItem): boolean =>
  eachBarrier(change, item, (page) => {
    change.db.run(
      `update celeriac_barriers set decided = 0, pending = inputs, failed = 0, cause = null
       where number in (select value from json_each(?))`,
      `[${page.map(({ number }) => number).join(',')}]`,
    )
  })

// ── going on ─────────────────────────────────────────────────────────────────────────────────────────────────────

export function restartMembers(change: Change, item: WorkItem): boolean {
  return eachMember(change, item, item.subject, (job) => {
    if (job.archived !== null) return
    const now = change.db.get<Waiting & { continuation: number | null; state: number }>(
      `select ${waitingColumns}, continuation, state from celeriac_jobs where seq = ?`,
      job.seq,
    )
    if (now === undefined || now.state !== state.waiting) return
    if (now.continuation === null) letGoIfFree(change, now)
    else settleParkedIfOver(change, now.seq, now.continuation)
  })
}

/** The barriers that decided at submission. */
export const decideEmpty = (change: Change, item: WorkItem): boolean =>
  eachBarrier(change, item, (page) => {
    for (const barrier of page)
      if (barrier.inputs === 0 && barrier.continues === null && barrier.decided === decided.no)
        decideBarrier(change, barrier.number)
  })
