import type { TaskDefinition } from '../canvas/definition.ts'
import type { Call, Sender } from '../canvas/task.ts'
import type { CallTerms } from '../core/call-options.ts'
import { CeleriacError, type ErrorCode } from '../core/errors.ts'
import type { Graph } from '../core/graph.ts'
import type { JobHandle } from '../core/handle.ts'
import type { Engine } from '../engine/engine.ts'
import { closedError } from '../engine/instrument.ts'
import type { SubmitAnswer, Submission } from '../engine/intake.ts'
import { type Access, jobHandle } from './handles.ts'
import { submissionOfCall, type SubmissionContext } from './submission.ts'

/** About so many jobs go into one write; the calls of one `delayMany` or `submitMany` always stay together. */
const mostAtOnce = 1000
/** An error that may be one submission's own fault, for which the others of its write need not suffer. */
const faults: readonly ErrorCode[] = ['STORE_FAILED', 'BAD_ARGUMENT', 'NOT_JSON', 'TOO_LARGE', 'TOO_DEEP', 'NOT_FOUND']

/**
 * Stores what is sent, in few writes: all calls made in one turn of the event loop go together, and while one write is
 * under way the next gathers. A call that is alone waits for nothing.
 */
export class Submitter implements Sender {
  readonly #context: SubmissionContext
  readonly #access: Access
  #engine: Engine | undefined
  readonly #batches: Batch[] = []
  #flushing: Promise<void> | undefined
  #isClosed = false

  constructor(context: SubmissionContext, access: Access) {
    this.#context = context
    this.#access = access
  }

  send(definition: TaskDefinition, args: string, terms: CallTerms): Promise<JobHandle<any>> {
    const submission = submissionOfCall(this.#context, definition, args, terms)
    return new Promise((resolve, reject) => {
      const call: SentCall = { count: 1, resolve: ([id]) => resolve(jobHandle(this.#access, id!, id!)), reject }
      this.#openBatch(call)?.submissions.push(submission)
    })
  }

  async sendMany(definition: TaskDefinition, calls: readonly Call[]): Promise<JobHandle<any>[]> {
    const ids = await this.store(
      calls.map(({ args, terms }) => submissionOfCall(this.#context, definition, args, terms)),
    )
    return ids.map((id) => jobHandle(this.#access, id, id))
  }

  /**
   * Stores submissions, all of them or none. Gives the ids of the collections they became, or that were there before.
   *
   * @throws CeleriacError UNIQUE_CONFLICT, IDEMPOTENCY_MISMATCH, or what the store answers
   */
  async store(submissions: readonly Submission[]): Promise<readonly string[]> {
    if (submissions.length === 0) return []
    for (const { graph } of submissions) if (graph.jobs.length > 1) await this.#upload(graph)
    return new Promise((resolve, reject) => {
      const batch = this.#openBatch({ count: submissions.length, resolve, reject })
      for (const submission of submissions) batch?.submissions.push(submission)
    })
  }

  /** Stores what was sent before, and refuses what comes after. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#flushing
  }

  /** The batch that the submissions of this call are added to at once. */
  #openBatch(call: SentCall): Batch | undefined {
    if (this.#isClosed) return void call.reject(closedError())
    let batch = this.#batches.at(-1)
    if (!batch || batch.submissions.length + call.count > mostAtOnce) {
      this.#batches.push((batch = { submissions: [], calls: [] }))
    }
    batch.calls.push(call)
    this.#flushing ??= this.#flush()
    return batch
  }

  async #flush(): Promise<void> {
    // Whoever else calls in this turn of the event loop comes along.
    await Promise.resolve()
    for (let batch = this.#batches.shift(); batch; batch = this.#batches.shift()) {
      try {
        this.#engine ??= (await this.#access.connect()).engine
        await this.#write(this.#engine, batch)
      } catch (error) {
        for (const call of batch.calls) call.reject(error)
      }
    }
    this.#flushing = undefined
  }

  async #write(engine: Engine, batch: Batch): Promise<void> {
    try {
      deliver(batch, await engine.submit(batch.submissions))
    } catch (error) {
      const mayBeOneOfThem = error instanceof CeleriacError && faults.includes(error.code) && batch.calls.length > 1
      if (!mayBeOneOfThem) throw error
      for (const half of halves(batch)) await this.#writeHalf(engine, half)
    }
  }

  async #writeHalf(engine: Engine, half: Batch): Promise<void> {
    try {
      await this.#write(engine, half)
    } catch (error) {
      for (const call of half.calls) call.reject(error)
    }
  }

  /** What is too large for one write goes ahead in parts, seen by nobody until it is submitted. */
  async #upload(graph: Graph): Promise<void> {
    const { engine } = await this.#access.connect()
    const partCount = Math.ceil(Math.max(graph.jobs.length, graph.barriers.length) / engine.partSize)
    for (let part = 0; partCount > 1 && part < partCount; part++) await engine.upload(graph, part, null)
  }
}

/** One write: its submissions, and the calls that wait for so many of them each, in the same order. */
interface Batch {
  readonly submissions: Submission[]
  readonly calls: SentCall[]
}

interface SentCall {
  readonly count: number
  resolve(ids: readonly string[]): void
  reject(error: unknown): void
}

function deliver({ submissions, calls }: Batch, answers: readonly SubmitAnswer[]): void {
  let next = 0
  for (const call of calls) {
    const ids: string[] = []
    let conflict: CeleriacError | undefined
    for (const end = next + call.count; next < end; next++) {
      const answer = answers[next]!
      if (answer.type === 'conflict') conflict ??= conflictError(submissions[next]!, answer)
      ids.push(answer.type === 'created' ? submissions[next]!.graph.id : answer.collectionId)
    }
    if (conflict) call.reject(conflict)
    else call.resolve(ids)
  }
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
  const advice = `wait until that is over, cancel it, or choose onConflict 'existing' or 'replace'`
  return new CeleriacError('UNIQUE_CONFLICT', `${problem}: ${advice}.`)
}

function halves({ submissions, calls }: Batch): readonly [Batch, Batch] {
  const middle = calls.length >> 1
  const count = calls.slice(0, middle).reduce((sum, call) => sum + call.count, 0)
  return [
    { submissions: submissions.slice(0, count), calls: calls.slice(0, middle) },
    { submissions: submissions.slice(count), calls: calls.slice(middle) },
  ]
}
