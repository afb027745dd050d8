import { RetryDirective, SnoozeDirective } from '../app/directives.ts'
import { CeleriacError, JobCancelled } from '../core/errors.ts'
import type { CurrentJob } from '../core/handle.ts'
import type { LogLine, Progress } from '../core/job.ts'
import { jsonText } from '../core/json.ts'
import { storable } from '../core/text.ts'
import type { Duration } from '../core/time.ts'
import type { ClaimedJob, Note } from '../engine/work.ts'
import { Notes } from './notes.ts'

/** Why an attempt was told to stop. */
export type AbortCause = 'cancel' | 'timeout' | 'stop' | 'lost'

/** Where an attempt tells that it has something to send. */
export interface Telling {
  now(): number
  elapsed(): number
  note(attempt: Attempt): void
  /** Completes its job with what the callback writes to the store. */
  complete(attempt: Attempt, write: (transaction: unknown) => unknown): Promise<unknown>
}

const mostLines = 1_000
const longestMessage = 8_192
const dataLimits = { bytes: 16 * 1024, depth: 64 }

/** One execution of a job in this worker: what its handler sees as `currentJob()`, and how it is told to stop. */
export class Attempt implements CurrentJob {
  readonly job: ClaimedJob
  readonly #telling: Telling
  /** By the measuring clock. */
  readonly startedAt: number
  /** Its outcome is decided, or nobody wants it any more: whatever its handler still does is dropped. */
  hasEnded = false
  abortedFor: AbortCause | null = null
  /** Its deadline came while the event loop was blocked, so it was given a little more time. */
  isReprieved = false
  /** It was settled by its handler, with this JSON text for a result: nothing may be settled after that. */
  settledAs: { readonly result: string | null } | null = null
  /** While its handler completes it: resolves when that is over, to what it threw. */
  completing: Promise<{ readonly error: unknown } | null> | null = null
  /** What it keeps for later attempts, and earlier ones kept for it: of a chunk the results of its elements. */
  notes: Notes | null = null
  #unusable: { readonly error: unknown } | null = null
  #controller: AbortController | null = null
  #progress: Progress | null = null
  #lines: LogLine[] | null = null
  #droppedCount = 0

  constructor(job: ClaimedJob, telling: Telling, startedAt: number) {
    this.job = job
    this.#telling = telling
    this.startedAt = startedAt
  }

  get id(): string {
    return this.job.id
  }

  get key(): string {
    return this.job.id
  }

  get attempt(): number {
    return this.job.attempt
  }

  get collectionId(): string {
    return this.job.collectionId
  }

  /** Made when it is first asked for: it costs more than a short handler takes. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.abortedFor !== null) this.#controller.abort(reasonFor(this.abortedFor, this.job))
    }
    return this.#controller.signal
  }

  get log(): CurrentJob['log'] {
    return {
      info: (message, data) => this.#addLine('info', message, data),
      warn: (message, data) => this.#addLine('warn', message, data),
      error: (message, data) => this.#addLine('error', message, data),
    }
  }

  progress(done: number, total?: number, message?: string): void {
    if (this.hasEnded) return
    if (!isCount(done) || (total !== undefined && !isCount(total))) {
      throw new CeleriacError('BAD_ARGUMENT', `progress(${done}, ${total}): give numbers from 0 up.`)
    }
    this.#progress = {
      done,
      ...(total === undefined ? {} : { total }),
      ...(message === undefined ? {} : { message: storable(String(message), longestMessage) }),
    }
    this.#telling.note(this)
  }

  retry(options?: { readonly in?: Duration | undefined; readonly cause?: unknown }): never {
    throw new RetryDirective(options)
  }

  snooze(delay: Duration): never {
    throw new SnoozeDirective(delay)
  }

  completeWithin<R, Client extends object>(write: (client: Client) => R | Promise<R>): Promise<R> {
    const completing = this.#telling.complete(this, write as (transaction: unknown) => unknown)
    // Whoever does not wait for it need not handle what it throws either: the attempt ends by it (see execute).
    completing.catch(() => {})
    return completing as Promise<R>
  }

  /** Remembers an error that another attempt would meet again. Gives it, to be thrown. */
  unusable(error: unknown): unknown {
    this.#unusable = { error }
    return error
  }

  isUnusable(error: unknown): boolean {
    return this.#unusable !== null && this.#unusable.error === error
  }

  /** Tells the handler to stop. The first cause stands. */
  abort(cause: AbortCause): void {
    if (this.abortedFor !== null) return
    this.abortedFor = cause
    this.#controller?.abort(reasonFor(cause, this.job))
  }

  throwIfAborted(): void {
    if (this.abortedFor !== null) throw reasonFor(this.abortedFor, this.job)
  }

  /** Is it of the session that listens there? */
  tells(telling: Telling): boolean {
    return this.#telling === telling
  }

  /** Lets it keep values for later attempts. */
  openNotes(known: readonly Note[]): void {
    const { startedAt } = this
    this.notes = new Notes({
      known,
      startedAt,
      elapsed: () => this.#telling.elapsed(),
      tell: () => this.#telling.note(this),
    })
  }

  /** What is not sent yet, for sending; `giveBackNews` takes it again when that fails. */
  takeNews(): News {
    const [lines, notes] = [this.#lines ?? [], this.notes?.take() ?? []]
    const news = { progress: this.#progress, lines, notes, droppedCount: this.#droppedCount }
    this.#progress = null
    this.#lines = null
    this.#droppedCount = 0
    if (news.droppedCount > 0) news.lines.push(this.#lineAboutDropped(news.droppedCount))
    return news
  }

  giveBackNews(news: Omit<News, 'droppedCount'>): void {
    this.#progress ??= news.progress
    this.#lines ??= []
    this.#lines.unshift(...news.lines)
    this.notes?.giveBack(news.notes)
  }

  /** A line about what its handler did when it was over: kept with the job like the handler's own. */
  addLateLine(message: string): void {
    this.#keepLine('error', message, undefined)
  }

  #addLine(level: LogLine['level'], message: string, data: unknown): void {
    if (!this.hasEnded) this.#keepLine(level, message, data)
  }

  #keepLine(level: LogLine['level'], message: string, data: unknown): void {
    this.#lines ??= []
    if (this.#lines.length >= mostLines) {
      this.#droppedCount++
      return
    }
    const text = storable(String(message), longestMessage)
    this.#lines.push({ at: this.#telling.now(), attempt: this.attempt, level, message: text, data: dataText(data) })
    this.#telling.note(this)
  }

  #lineAboutDropped(count: number): LogLine {
    const message = `${count} more lines were dropped: too many at once.`
    return { at: this.#telling.now(), attempt: this.attempt, level: 'warn', message, data: null }
  }
}

export interface News {
  readonly progress: Progress | null
  readonly lines: LogLine[]
  readonly notes: readonly Note[]
  readonly droppedCount: number
}

/** What `signal.reason` is. */
export function reasonFor(cause: AbortCause, job: ClaimedJob): CeleriacError {
  switch (cause) {
    case 'cancel':
      return new JobCancelled(`Job ${job.id} was cancelled.`, { jobId: job.id, reason: 'cancelled' })
    case 'timeout':
      return new JobTimedOut('TIMED_OUT', `Attempt ${job.attempt} took longer than its timeout allows.`)
    case 'stop':
      return new CeleriacError('WORKER_STOPPING', 'The worker is stopping; the job will run again.')
    case 'lost':
      return new CeleriacError('LEASE_LOST', 'This worker no longer holds the job; what it comes to is not stored.')
  }
}

/** Named as the sweep names it where the worker did not stop the job itself. */
class JobTimedOut extends CeleriacError {
  override name = 'JobTimedOut'
}

const isCount = (value: number): boolean => Number.isFinite(value) && value >= 0

function dataText(data: unknown): string | null {
  if (data === undefined) return null
  try {
    return jsonText(data, 'data', dataLimits)
  } catch (error) {
    return JSON.stringify(`(left out: ${error instanceof Error ? error.message : 'unreadable'})`)
  }
}
