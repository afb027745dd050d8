import type { TaskDefinition } from '../canvas/definition.ts'
import type { Call, Sender } from '../canvas/task.ts'
import { Backoff } from '../core/backoff.ts'
import type { CallTerms } from '../core/call-options.ts'
import { CeleriacError, type ErrorCode, StoreUnavailable } from '../core/errors.ts'
import type { Graph } from '../core/graph.ts'
import type { JobHandle } from '../core/handle.ts'
import type { Timer } from '../core/runtime.ts'
import type { Engine } from '../engine/engine.ts'
import { closedError } from '../engine/instrument.ts'
import type { SubmitAnswer, Submission, Transaction } from '../engine/intake.ts'
import { argumentSize, comesInParts, partsOf } from '../engine/parts.ts'
import { type Batch, livingOf, halvesOf, SentCall, type Stored } from './batch.ts'
import { type Access, jobHandle } from './handles.ts'
import { gaveUp, longestPause, whileAway } from './store-away.ts'
import { submissionOfCall, type SubmissionContext } from './submission.ts'

/** About so many jobs go into one write; the calls of one `delayMany` or `submitMany` always stay together. */
const mostAtOnce = 1000
/** About so many characters of arguments go into one write. */
const mostBytesAtOnce = 8 * 1024 * 1024
/** Maximum of one call, in characters of arguments: its jobs are stored together or not at all, so in one write. */
const mostBytesOfCall = 32 * 1024 * 1024
/** Maximum of one call, in jobs: a store serves nobody else while it writes them. */
const mostJobsOfCall = 10_000
/** An error that may be one submission's own fault, for which the others of its write need not suffer. */
const faults: readonly ErrorCode[] = ['STORE_FAILED', 'BAD_ARGUMENT', 'NOT_JSON', 'TOO_LARGE', 'TOO_DEEP', 'NOT_FOUND']

/**
 * Stores what is sent, in few writes: all calls made in one turn of the event loop go together, and while one write is
 * under way the next gathers. A call that is alone waits for nothing. While the store is away a write is repeated, for as
 * long as any of its calls still waits.
 */
export class Submitter implements Sender {
  readonly #context: SubmissionContext
  readonly #access: Access
  /** How long a call waits for a store that is away, in milliseconds. */
  readonly #patience: number
  readonly #backoff: Backoff
  #engine: Engine | undefined
  #batches: Batch[] = []
  /** The characters of arguments in the last of these batches, which is still open. */
  #openSize = 0
  /** The batch being written, and whether the store has not answered yet. */
  #current: Batch | undefined
  #isUnderWay = false
  #flushing: Promise<void> | undefined
  #clock: Timer | undefined
  #whenGivenUp: (() => void) | undefined
  #isClosed = false

  constructor(context: SubmissionContext, access: Access, patience: number) {
    this.#context = context
    this.#access = access
    this.#patience = patience
    this.#backoff = new Backoff(access.runtime, longestPause)
  }

  send(definition: TaskDefinition, args: string, terms: CallTerms): Promise<JobHandle<any>> {
    const submission = submissionOfCall(this.#context, definition, args, terms)
    if (terms.within) return this.#sendWithin(submission, terms.within)
    return new Promise((resolve, reject) => {
      const size = argumentSize(submission.graph.jobs)
      const call = this.#call(1, size, ([stored]) => resolve(this.#handle(stored!)), reject)
      this.#openBatch(call, size)?.submissions.push(submission)
    })
  }

  async sendMany(definition: TaskDefinition, calls: readonly Call[]): Promise<JobHandle<any>[]> {
    const submissions = calls.map(({ args, terms }) => submissionOfCall(this.#context, definition, args, terms))
    const stored = await this.store(submissions, calls[0]?.terms.within)
    return stored.map((one) => this.#handle(one))
  }

  #handle({ id }: Stored): JobHandle<any> {
    return jobHandle(this.#access, id, id)
  }

  /**
   * Stores submissions, all of them or none. Gives the collections they became, or that were there before.
   *
   * @param within the user's own transaction, in which it is done at once and once only
   * @throws CeleriacError TOO_LARGE, TOO_MANY_JOBS, UNIQUE_CONFLICT, IDEMPOTENCY_MISMATCH, StoreUnavailable, or what the store answers
   */
  async store(submissions: readonly Submission[], within?: Transaction): Promise<readonly Stored[]> {
    if (submissions.length === 0) return []
    const graphs = submissions.filter(({ graph }) => graph.jobs.length > 1).map(({ graph }) => graph)
    const rows = graphs.length === 0 ? Infinity : (await this.#access.connect()).engine.partSize
    const size = sizeOfCall(submissions, rows)
    for (const graph of graphs) await this.#upload(graph, within)
    if (within !== undefined) return this.#storeWithin(submissions, within)
    return new Promise((resolve, reject) => {
      const batch = this.#openBatch(this.#call(submissions.length, size, resolve, reject), size)
      for (const submission of submissions) batch?.submissions.push(submission)
    })
  }

  /** Stores what was sent before, and refuses what comes after. */
  async close(): Promise<void> {
    this.#isClosed = true
    // A store that is away is waited for as long as anybody waits for what was sent, and no longer.
    if (this.#flushing && this.#firstEnd() < Infinity) {
      const givenUp = new Promise<void>((resolve) => (this.#whenGivenUp = resolve))
      await Promise.race([this.#flushing, givenUp])
    }
    this.#backoff.cancel()
  }

  // ── within a transaction of the user's ───────────────────────────────────────────────────────────────────────────

  async #sendWithin(submission: Submission, within: Transaction): Promise<JobHandle<any>> {
    const [stored] = await this.#storeWithin([submission], within)
    return this.#handle(stored!)
  }

  /** Not repeated and not shared: a transaction that was lost is lost, and what belongs to it goes with it. */
  async #storeWithin(submissions: readonly Submission[], within: Transaction): Promise<readonly Stored[]> {
    if (this.#isClosed) throw closedError()
    const { engine } = await this.#access.connect()
    return storedOf(submissions, await engine.submit(submissions, within, [submissions.length]))
  }

  // ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Of many jobs sent together each thousand, or each 8 MiB, has the whole time. */
  #call(count: number, size: number, resolve: SentCall['resolve'], reject: SentCall['reject']): SentCall {
    const patience = this.#patience * Math.ceil(Math.max(count / mostAtOnce, size / mostBytesAtOnce))
    return new SentCall(count, patience, this.#access.runtime.elapsed(), resolve, reject)
  }

  /** The batch that the submissions of this call are added to at once. */
  #openBatch(call: SentCall, size: number): Batch | undefined {
    if (this.#isClosed) return void call.fail(closedError())
    let batch = this.#batches.at(-1)
    const isFull = batch && batch.submissions.length + call.count > mostAtOnce
    if (!batch || isFull || this.#openSize + size > mostBytesAtOnce) {
      this.#batches.push((batch = { submissions: [], calls: [] }))
      this.#openSize = 0
    }
    this.#openSize += size
    batch.calls.push(call)
    this.#flushing ??= this.#flush()
    return batch
  }

  async #flush(): Promise<void> {
    // Whoever else calls in this turn of the event loop comes along.
    await new Promise<void>((resolve) => this.#access.runtime.soon(resolve))
    this.#startClock(this.#batches[0]!.calls[0]!.giveUpAt)
    for (let batch = this.#batches.shift(); batch; batch = this.#batches.shift()) {
      this.#current = batch
      await this.#send(batch)
    }
    this.#current = undefined
    this.#clock?.cancel()
    this.#flushing = undefined
  }

  /** Writes until it is done or refused, or nobody waits for it any more. */
  async #send(batch: Batch): Promise<void> {
    for (let rest = batch; rest.calls.length > 0; rest = livingOf(rest)) {
      try {
        this.#engine ??= (await this.#access.connect()).engine
        await this.#write(this.#engine, rest)
        this.#backoff.reset()
        return
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) return rest.calls.forEach((call) => call.fail(error))
        for (const call of rest.calls) call.wasAway(error)
      }
      await this.#backoff.wait()
    }
  }

  async #write(engine: Engine, batch: Batch): Promise<void> {
    try {
      this.#isUnderWay = true
      const calls = batch.calls.map(({ count }) => count)
      const answers = await engine.submit(batch.submissions, undefined, calls)
      this.#isUnderWay = false
      deliver(batch, answers)
    } catch (error) {
      this.#isUnderWay = false
      const mayBeOneOfThem = error instanceof CeleriacError && faults.includes(error.code) && batch.calls.length > 1
      if (!mayBeOneOfThem) throw error
      for (const half of halvesOf(batch)) await this.#send(half)
    }
  }

  #startClock(at: number): void {
    const { runtime } = this.#access
    this.#clock = runtime.after(Math.max(1, at - runtime.elapsed()), () => this.#giveUp())
  }

  /** Ends the waiting of the calls whose time is over, whatever the store is doing. */
  #giveUp(): void {
    const { runtime } = this.#access
    const now = runtime.elapsed()
    for (const batch of this.#underWay()) {
      for (const call of batch.calls) {
        if (call.isOver || call.giveUpAt > now) continue
        call.fail(
          gaveUp(call.patience, call.mayBeStored || (batch === this.#current && this.#isUnderWay), call.lastError),
        )
      }
    }
    this.#batches = this.#batches.map(livingOf).filter(({ calls }) => calls.length > 0)
    const next = this.#firstEnd()
    if (next < Infinity) this.#startClock(next)
    else this.#whenGivenUp?.()
  }

  #underWay(): readonly Batch[] {
    return this.#current ? [this.#current, ...this.#batches] : this.#batches
  }

  /** When the first of those who wait gives up. */
  #firstEnd(): number {
    let first = Infinity
    for (const { calls } of this.#underWay())
      for (const { isOver, giveUpAt } of calls) if (!isOver && giveUpAt < first) first = giveUpAt
    return first
  }

  /** What is too large for one write goes ahead in parts, seen by nobody until it is submitted. */
  async #upload(graph: Graph, within: Transaction | undefined): Promise<void> {
    const { engine } = await this.#access.connect()
    const partCount = partsOf(graph, engine.partSize).length
    for (let part = 0; partCount > 1 && part < partCount; part++) {
      if (within !== undefined) await engine.upload(graph, part, null, within)
      else await whileAway(this.#access.runtime, this.#patience, () => engine.upload(graph, part, null))
    }
  }
}

/**
 * The characters of arguments that a call stores in one write; graphs that are uploaded in parts are not in it.
 *
 * @param rows the engine's `partSize`
 * @throws CeleriacError TOO_LARGE, TOO_MANY_JOBS
 */
function sizeOfCall(submissions: readonly Submission[], rows: number): number {
  let [size, count] = [0, 0]
  for (const { graph } of submissions) {
    if (comesInParts(graph, rows)) continue
    size += argumentSize(graph.jobs)
    count += graph.jobs.length
  }
  if (count > mostJobsOfCall) {
    const problem = `The jobs of one call are stored together, and these are ${count}, more than ${mostJobsOfCall}`
    throw new CeleriacError('TOO_MANY_JOBS', `${problem}: send them in several calls.`)
  }
  if (size <= mostBytesOfCall) return size
  const [given, most] = [size, mostBytesOfCall].map((bytes) => `${Math.ceil(bytes / 1024 / 1024)} MiB`)
  const problem = `The jobs of one call are stored together, and the arguments of these come to ${given}, more than ${most}`
  throw new CeleriacError(
    'TOO_LARGE',
    `${problem}: send them in several calls, or store the data elsewhere and pass where it is.`,
  )
}

function deliver({ submissions, calls }: Batch, answers: readonly SubmitAnswer[]): void {
  let next = 0
  for (const call of calls) {
    const [from, to] = [next, (next += call.count)]
    try {
      call.done(storedOf(submissions, answers, from, to))
    } catch (error) {
      call.fail(error)
    }
  }
}

/** What the submissions of one call became. Throws where one of them was refused: then the store has kept none of them. */
function storedOf(
  submissions: readonly Submission[],
  answers: readonly SubmitAnswer[],
  from = 0,
  to = submissions.length,
): Stored[] {
  const own = answers.slice(from, to)
  own.forEach((answer, at) => {
    if (answer.type === 'conflict') throw conflictError(submissions[from + at]!, answer)
  })
  return own.map((answer, at): Stored => {
    if (answer.type === 'created') return { id: submissions[from + at]!.graph.id, createdAt: answer.at }
    return { id: (answer as SubmitAnswer & { readonly type: 'existing' }).collectionId, createdAt: null }
  })
}

function conflictError(
  { unique, idempotency }: Submission,
  { reason, collectionId }: SubmitAnswer & { readonly type: 'conflict' },
): CeleriacError {
  if (reason === 'idempotency') {
    const problem = `The idempotency key "${idempotency?.key}" was used for another canvas, collection ${collectionId}`
    return new CeleriacError('IDEMPOTENCY_MISMATCH', `${problem}: give new work a new key.`)
  }
  const problem = `The unique key "${unique?.key}" is held by collection ${collectionId}`
  if (reason === 'callback') {
    const advice = `send it without callback, or choose onConflict 'reject' or 'replace'`
    return new CeleriacError(
      'UNIQUE_CONFLICT',
      `${problem}, which does not call back as this submission asks: ${advice}.`,
    )
  }
  const advice = `wait until that is over, cancel it, or choose onConflict 'existing' or 'replace'`
  return new CeleriacError('UNIQUE_CONFLICT', `${problem}: ${advice}.`)
}
