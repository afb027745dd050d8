import { nodeOf } from '../canvas/canvas.ts'
import { declareTask, defineTask } from '../canvas/definition.ts'
import type { Checked, OutOf, Ready } from '../canvas/fit.ts'
import type { Carried, CarriedResult, Handler } from '../canvas/handler.ts'
import type { CanvasNode } from '../canvas/node.ts'
import { createTask, type Task } from '../canvas/task.ts'
import { submitTerms, type SubmitTerms } from '../core/call-options.ts'
import { CeleriacError } from '../core/errors.ts'
import type { CollectionHandle, CollectionSummary, JobHandle, JobSummary } from '../core/handle.ts'
import { createIds } from '../core/id.ts'
import { readable } from '../core/option.ts'
import type { SubmitOptions, TaskOptions } from '../core/options.ts'
import { collectionAsStored } from './as-stored.ts'
import { type CeleriacOptions, readConfig } from './config.ts'
import { createConnector } from './connector.ts'
import { collectionHandle, findCollection, findJob } from './handles.ts'
import { type CollectionQuery, type JobQuery, pageOf, type Page, readCollectionQuery, readJobQuery } from './listing.ts'
import { type AppParts, parts, type Submitted } from './parts.ts'
import { listQueues, type QueueSummary, setPaused } from './queues.ts'
import { createRegistry } from './registry.ts'
import { summaryOfCollection, summaryOfJob } from './snapshots.ts'
import { submissionOfCanvas } from './submission.ts'
import { Submitter } from './submit.ts'
import type { CheckedWire, Parsed, Schemas, TaskOf } from './wire.ts'
import { listWorkers, type WorkerSummary } from './workers.ts'

/**
 * An app: the tasks it knows and the store that keeps their jobs. The store is opened when it is first needed.
 *
 * @example
 * const app = new Celeriac({ url: 'sqlite:jobs.db' })
 * const add = app.task('math.add', (x: number, y: number) => x + y)
 * const job = await add.delay(2, 2)
 * await job.result() // 4, once a worker has run it
 */
export class Celeriac {
  /** @internal */
  readonly [parts]: AppParts
  readonly #submitter: Submitter
  readonly #connector: ReturnType<typeof createConnector>

  /** @throws CeleriacError BAD_OPTION, BAD_URL, BAD_DURATION, UNSUPPORTED */
  constructor(options: CeleriacOptions = {}) {
    const { runtime, retention, maxJobs, sendTimeout, callbacks, openEngine } = readConfig(options, process.env)
    this.#connector = createConnector(openEngine, runtime)
    const { connect } = this.#connector
    const registry = createRegistry()
    const submit: AppParts['submit'] = (node, terms) => this.#submit(node, terms)
    this[parts] = { runtime, retention, maxJobs, callbacks, registry, newId: createIds(runtime), connect, submit }
    this.#submitter = new Submitter(this[parts], this[parts], sendTimeout)
  }

  /**
   * Defines a task: the same function, with ways to send calls of it. Without `options.input`, a Standard Schema or a list
   * of them, arguments are taken as they come.
   *
   * @throws CeleriacError DUPLICATE_TASK, BAD_ARGUMENT, BAD_OPTION, BAD_DURATION
   * @example
   * const buy = app.task('tables.buy', { retry: { limit: 5 }, queue: 'shop' }, async (shop: string) => order(shop))
   */
  task<F extends (...args: never) => Carried<F>>(name: string, handler: F): Task<F>
  task<
    F extends (...args: Parsed<S>) => [S] extends [undefined] ? Carried<F> : CarriedResult<F>,
    const S extends Schemas | undefined = undefined,
  >(name: string, options: TaskOptions & { readonly input?: Checked<S, CheckedWire<S>> }, handler: F): TaskOf<F, S>
  // `never`: the compiler tries this signature too when it explains a wrong call, and would speak of its parameters.
  task(...given: never[]): unknown {
    const [name, ...rest] = given as unknown as [string, ...([Handler] | [TaskOptions, Handler])]
    const [options, handler] = rest.length === 1 ? [{}, rest[0]] : rest
    return this.#define(defineTask(name, options, handler))
  }

  /**
   * Names a task that another service defines, so that it can be sent from here.
   *
   * @throws CeleriacError BAD_ARGUMENT
   * @example
   * const crop = app.declare<(input: CropInput) => Promise<Crop>>('images.crop')
   */
  declare<F extends (...args: never) => Carried<F>>(name: string): Task<F> {
    return this.#define(declareTask(name)) as Task<F>
  }

  /**
   * Sends a canvas. Resolves once all of it is stored.
   *
   * @throws CeleriacError UNKNOWN_TASK, INVALID_ARGUMENTS, TOO_MANY_JOBS, BAD_OPTION, UNIQUE_CONFLICT, IDEMPOTENCY_MISMATCH …
   * @example
   * const collection = await app.submit(chain(buy.s('ikea'), clean.s()), { description: 'Buy and clean a table' })
   */
  async submit<C>(canvas: Checked<C, Ready<C>>, options: SubmitOptions = {}): Promise<CollectionHandle<OutOf<C>>> {
    const { id } = await this[parts].submit(nodeOf(canvas, 'submit'), submitTerms(options, 'submit'))
    return collectionHandle(this[parts], id)
  }

  /** Sends canvases in one request: all of them or, where it throws, none. The options count for each. */
  async submitMany<const T extends readonly unknown[]>(
    canvases: Checked<T, { readonly [K in keyof T]: Ready<T[K]> }>,
    options: SubmitOptions = {},
  ): Promise<{ -readonly [K in keyof T]: CollectionHandle<OutOf<T[K]>> }> {
    const list: unknown = canvases
    const terms = submitTerms(options, 'submitMany')
    const nodes = readable('submitMany', () => nodesOf(list), 'BAD_ARGUMENT')
    if (terms.idempotencyKey !== undefined && nodes.length > 1) {
      throw new CeleriacError(
        'BAD_OPTION',
        'submitMany: an idempotencyKey names one submission, so send each with submit',
      )
    }
    const submissions = await Promise.all(nodes.map((node) => submissionOfCanvas(this[parts], node, terms)))
    const stored = await this.#submitter.store(submissions, terms.within)
    return stored.map(({ id }) => collectionHandle(this[parts], id)) as never
  }

  /** A job that was sent before. @throws NotFound */
  async job(id: string): Promise<JobHandle<unknown>> {
    return findJob(this[parts], id)
  }

  /** A collection that was sent before; of a job alone, its id is the job's. @throws NotFound */
  async collection(id: string): Promise<CollectionHandle<unknown>> {
    return findCollection(this[parts], id)
  }

  readonly jobs = {
    /**
     * The jobs that fit all filters given, newest first.
     *
     * @throws CeleriacError BAD_OPTION, BAD_CURSOR, BAD_DURATION, BAD_INSTANT
     * @example
     * const { items, next } = await app.jobs.list({ state: 'failed', task: 'tables.*', after: '-1h' })
     */
    list: async (query: JobQuery = {}): Promise<Page<JobSummary>> => {
      const read = readJobQuery(query, this[parts].runtime.now())
      return pageOf(await (await this.#engine()).jobs(read), summaryOfJob)
    },
  }

  readonly collections = {
    /**
     * The collections that fit all filters given, newest first. A job alone is a collection of one.
     *
     * @throws CeleriacError BAD_OPTION, BAD_CURSOR, BAD_DURATION, BAD_INSTANT
     */
    list: async (query: CollectionQuery = {}): Promise<Page<CollectionSummary>> => {
      const read = readCollectionQuery(query, this[parts].runtime.now())
      return pageOf(await (await this.#engine()).collections(read), summaryOfCollection)
    },
  }

  readonly queues = {
    list: async (): Promise<readonly QueueSummary[]> => listQueues(await this.#engine()),
    /** Its jobs stay where they are; those that run go on. */
    pause: async (name: string): Promise<void> => setPaused(await this.#engine(), name, true),
    resume: async (name: string): Promise<void> => setPaused(await this.#engine(), name, false),
  }

  readonly workers = {
    /** Those that live, and those that ended or were lost within the last day. */
    list: async (): Promise<readonly WorkerSummary[]> => listWorkers(await this.#engine()),
  }

  /** Stores what was sent, ends what is followed and closes the store. Workers of this app are to be stopped before. */
  async close(): Promise<void> {
    await this.#submitter.close()
    await this.#connector.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #engine() {
    return (await this[parts].connect()).engine
  }

  async #submit(node: CanvasNode, terms: SubmitTerms): Promise<Submitted> {
    const submission = await submissionOfCanvas(this[parts], node, terms)
    const [stored] = await this.#submitter.store([submission], terms.within)
    const { id, createdAt } = stored!
    const { looks, runtime } = await this[parts].connect()
    if (createdAt !== null) looks.note(id, submission.graph.jobs.length)
    return {
      id,
      asStored: async () => (createdAt === null ? null : collectionAsStored(runtime, submission, createdAt)),
    }
  }

  #define(definition: ReturnType<typeof defineTask>): unknown {
    this[parts].registry.add(definition)
    return createTask(definition, this.#submitter)
  }
}

function nodesOf(list: unknown): readonly CanvasNode[] {
  if (!Array.isArray(list)) throw new CeleriacError('BAD_ARGUMENT', 'submitMany takes a list of canvases')
  return list.map((canvas, n) => nodeOf(canvas, `canvas ${n + 1} of submitMany`))
}
