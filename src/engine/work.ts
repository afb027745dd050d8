import type { JobCounts, SettledState } from '../core/collection.ts'
import type { Failure, FailureReason } from '../core/failure.ts'
import type { Actor, BarrierRef, JobRef, LogLine, Progress, Role, StoredOptions, StoredResult } from '../core/job.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Transaction } from './intake.ts'
import type { SweepFault } from './recovery.ts'

/** What a worker does with the store. */
export interface Work {
  /**
   * Takes queued jobs, in order, fewer than asked for if their arguments are large: then `nextAt` is now. The same token again
   * answers with the same jobs, as far as they still run; with a lower limit, with the first of them, and the session gives the
   * others back like any job that it does not list (see `heartbeat`).
   */
  claim(request: ClaimRequest): Promise<ClaimAnswer>
  /** Stores what attempts came to and everything that follows from it. May be sent again after a lost reply. */
  settle(settlements: readonly Settlement[]): Promise<SettleAnswer[]>
  /**
   * Opens a transaction, has `write` store what the handler wants stored, and settles the job as succeeded with the JSON
   * text that it gives: both are kept or, where `write` throws or the answer is not `accepted`, neither. Where the reply to
   * the commit was lost, it finds out which before it answers or throws.
   *
   * @throws CeleriacError UNSUPPORTED where this store has no transactions; what `write` throws
   */
  settleWithin(
    job: { readonly ref: JobRef; readonly token: number },
    write: (transaction: Transaction) => Promise<string | null>,
  ): Promise<SettleAnswer>
  /** Renews the session, stores progress and log lines, tells what was lost and what is to be cancelled. */
  heartbeat(beat: Heartbeat): Promise<HeartbeatAnswer>
  /** Returns what attempts of this job have kept so far (`Heartbeat.notes`), ordered by name. */
  notes(job: JobRef): Promise<readonly Note[]>
  /**
   * Due jobs, expired leases and deadlines first, each stored on its own; then upkeep: leftovers of large changes, retention. Anyone
   * may call it, at any time; of many processes one does it in each interval. What fails is answered in `faults`, and the rest done.
   */
  sweep(): Promise<SweepAnswer>
  /** A page of the results at a barrier that were too large to come with the claim. */
  results(
    barrier: BarrierRef,
    after: string | null,
  ): Promise<{ readonly results: readonly StoredResult[]; readonly next: string | null }>
}

export interface SessionRecord {
  /** Random; one for each life of a worker. */
  readonly id: string
  /** For people: what the worker is called. */
  readonly name: string
  readonly host: string
  readonly pid: number
  /** null: every queue. */
  readonly queues: readonly string[] | null
  readonly concurrency: number
}

export interface ClaimRequest {
  readonly session: string
  /** A random whole number, chosen by the caller for this claim alone. */
  readonly token: number
  readonly limit: number
  /** null: every queue. */
  readonly queues: readonly string[] | null
  /**
   * It was asked before under this token, and what was asked may still be on its way: should it come late, it takes nothing
   * that this answer does not tell of.
   */
  readonly isRepeated?: boolean
}

export interface ClaimAnswer {
  readonly jobs: readonly ClaimedJob[]
  /** When the next delayed job is due; null when there is none. Now, if the claim left jobs in line that it could have taken. */
  readonly nextAt: number | null
}

export interface ClaimedJob {
  readonly ref: JobRef
  readonly token: number
  readonly id: string
  readonly collectionId: string
  readonly task: string
  readonly args: string
  readonly role: Role
  readonly attempt: number
  /** Failures counted before this attempt, in this round. */
  readonly failures: number
  readonly round: number
  readonly queue: string
  readonly options: StoredOptions
  readonly actor: Actor | null
  /** How many continuations stand around this job. */
  readonly depth: number
  readonly createdAt: number
  /** Past it the attempt is a time-out. */
  readonly deadlineAt: number | null
  readonly input: JobInput
}

/** What is put before the job's own arguments. */
export type JobInput =
  | { readonly from: 'nothing' }
  /** What the store keeps of it is damaged: the attempt fails. Other jobs of the claim are not held up by it. */
  | { readonly from: 'unreadable' }
  /** `results: null` means that they are too large to come along: read them by pages with `results(barrier)`. */
  | {
      readonly from: 'results'
      readonly shape: string
      readonly barrier: BarrierRef | null
      readonly results: readonly StoredResult[] | null
    }
  | { readonly from: 'failure'; readonly report: ReportRecord }
  | {
      readonly from: 'summary'
      readonly state: SettledState
      readonly counts: JobCounts
      readonly failure: Failure | null
    }

/** The first failure at a barrier: which job, and why. */
export interface ReportRecord {
  readonly job: string
  readonly task: string
  readonly collection: string
  readonly reason: FailureReason
  readonly failure: Failure
}

export interface Settlement {
  readonly ref: JobRef
  readonly token: number
  readonly outcome: Outcome
}

/**
 * `superseded`: the job no longer runs under this token; the outcome was refused. `cancelled`: it had been cancelled, and
 * is final. `invalid`: the store will not take this outcome's data (the worker settles it again, as failed). `busy`: somebody
 * else holds a row that this one needs, so nothing of it was stored; send it again later, apart from the others.
 */
export type SettleAnswer = 'accepted' | 'superseded' | 'cancelled' | 'invalid' | 'busy'

/** A value that a job keeps by name, so that its later attempts need not produce it again. `name` is one line, `value` JSON text. */
export interface Note {
  readonly name: string
  readonly value: string
}

export interface Heartbeat {
  readonly session: SessionRecord
  /** How long the session lives without another heartbeat, in milliseconds. */
  readonly lease: number
  /**
   * The jobs this worker holds, started or not; null when the caller does not list them. Then nothing is released for being
   * unlisted, and the answer names no jobs: it costs the same however many are held. A job claimed a lease ago that is not listed is given back: the reply to its claim was lost.
   */
  readonly held: readonly { readonly id: string; readonly ref: JobRef; readonly token: number }[] | null
  readonly progress: readonly { readonly ref: JobRef; readonly token: number; readonly progress: Progress }[]
  readonly log: readonly { readonly ref: JobRef; readonly token: number; readonly line: LogLine }[]
  /**
   * What running attempts keep for later attempts of the same job. The first value under a name stays. A retry with other
   * arguments, and a retry of what had succeeded, erase them.
   */
  readonly notes?: readonly { readonly ref: JobRef; readonly token: number; readonly note: Note }[]
  /**
   * What came of this session's attempts, by task and minute: totals, so that one sent again counts once. Those that did
   * not change since an answered beat are left out.
   */
  readonly tallies?: readonly Tally[]
  /** The last one: the session is over, what it still holds is released. */
  readonly ended?: true
}

/** What attempts of one task came to within one minute, by when they ended. */
export interface Tally {
  readonly task: string
  /** The instant at which the minute begins, in milliseconds, by the clock of the worker. */
  readonly minute: number
  /** Those that returned, also where they go on as a canvas. */
  readonly succeeded: number
  readonly failed: number
  readonly retried: number
  readonly cancelled: number
  /** How long they ran, added up, and the longest, in whole milliseconds. */
  readonly ran: number
  readonly longest: number
}

export interface HeartbeatAnswer {
  /** Jobs, by id, that no longer run under the token given: their handlers may stop, their outcomes will be refused. */
  readonly lost: readonly { readonly id: string; readonly token: number }[]
  /** Jobs, by id, that somebody wants cancelled. */
  readonly toCancel: readonly { readonly id: string; readonly token: number }[]
}

export interface SweepAnswer {
  /** Jobs that became queued. */
  readonly released: number
  /** When there will be something to sweep again; null when nothing is foreseen. */
  readonly nextAt: number | null
  /** What failed while the rest was done; left out where nothing did. It is tried again. */
  readonly faults?: readonly SweepFault[]
}
