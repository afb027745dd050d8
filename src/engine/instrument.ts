import { CeleriacError } from '../core/errors.ts'
import type { Runtime } from '../core/runtime.ts'
import type { Engine } from './engine.ts'
import type { Transfer } from './transfer.ts'

/** The methods of an engine that answer from the store; those of its `transfer` go by one name. */
export type EngineMethod =
  | { [K in keyof Engine]: Engine[K] extends (...args: never) => Promise<unknown> ? K : never }[Exclude<
      keyof Engine,
      'transfer'
    >]
  | 'transfer'

export interface Instruments {
  readonly runtime: Pick<Runtime, 'elapsed'>
  /** Told of every call once it is over: for telemetry. */
  readonly observe?: ((call: ObservedCall) => void) | undefined
  /**
   * Stands around every call: it may fail before it, after it (applied, answer lost), or end the process. For tests
   * that enumerate the points at which a system can break.
   */
  readonly intercept?: Intercept | undefined
}

export type Intercept = <T>(method: EngineMethod, call: () => Promise<T>) => Promise<T>

export interface ObservedCall {
  readonly method: EngineMethod
  /** In milliseconds. */
  readonly duration: number
  readonly error: CeleriacError | null
}

/**
 * The only caller of engines: everything else holds what this returns. Refuses calls after `close`, and turns whatever
 * an engine throws into a CeleriacError.
 */
export function instrument(engine: Engine, { runtime, observe, intercept }: Instruments): Engine {
  let closing: Promise<void> | undefined

  const call = <T>(method: EngineMethod, run: () => Promise<T>): Promise<T> =>
    closing ? Promise.reject(closedError()) : measured(method, run)

  async function measured<T>(method: EngineMethod, run: () => Promise<T>): Promise<T> {
    const startedAt = observe ? runtime.elapsed() : 0
    try {
      const answer = await (intercept ? intercept(method, run) : run())
      observe?.({ method, duration: runtime.elapsed() - startedAt, error: null })
      return answer
    } catch (thrown) {
      const error = asStoreError(engine.name, method, thrown)
      observe?.({ method, duration: runtime.elapsed() - startedAt, error })
      throw error
    }
  }

  return {
    name: engine.name,
    url: engine.url,
    partSize: engine.partSize,
    isThere: () => call('isThere', () => engine.isThere()),
    migrate: () => call('migrate', () => engine.migrate()),
    diagnose: () => call('diagnose', () => engine.diagnose()),
    submit: (submissions, transaction, calls) => call('submit', () => engine.submit(submissions, transaction, calls)),
    upload: (graph, part, within, transaction) => call('upload', () => engine.upload(graph, part, within, transaction)),
    claim: (request) => call('claim', () => engine.claim(request)),
    settle: (settlements) => call('settle', () => engine.settle(settlements)),
    settleWithin: (job, write) => call('settleWithin', () => engine.settleWithin(job, write)),
    heartbeat: (beat) => call('heartbeat', () => engine.heartbeat(beat)),
    sweep: () => call('sweep', () => engine.sweep()),
    notes: (job) => call('notes', () => engine.notes(job)),
    results: (barrier, after) => call('results', () => engine.results(barrier, after)),
    cancel: (selection) => call('cancel', () => engine.cancel(selection)),
    retry: (request) => call('retry', () => engine.retry(request)),
    remove: (collectionId) => call('remove', () => engine.remove(collectionId)),
    putQueues: (settings) => call('putQueues', () => engine.putQueues(settings)),
    jobs: (query) => call('jobs', () => engine.jobs(query)),
    job: (id, options) => call('job', () => engine.job(id, options)),
    collections: (query) => call('collections', () => engine.collections(query)),
    collection: (id, options) => call('collection', () => engine.collection(id, options)),
    queues: () => call('queues', () => engine.queues()),
    workers: () => call('workers', () => engine.workers()),
    counts: (query) => call('counts', () => engine.counts(query)),
    actorsOf: (ids) => call('actorsOf', () => engine.actorsOf(ids)),
    statistics: (query) => call('statistics', () => engine.statistics(query)),
    value: (kind, id) => call('value', () => engine.value(kind, id)),
    values: (kind, after) => call('values', () => engine.values(kind, after)),
    putValue: (value, conflict) => call('putValue', () => engine.putValue(value, conflict)),
    takeValue: (kind, id) => call('takeValue', () => engine.takeValue(kind, id)),
    resolve: (result) => call('resolve', () => engine.resolve(result)),
    events: (query) => call('events', () => engine.events(query)),
    cursor: () => call('cursor', () => engine.cursor()),
    subscribe: (listener) => (closing ? () => {} : engine.subscribe(listener)),
    transfer: instrumentTransfer(engine.transfer, call),
    close: () => (closing ??= measured('close', () => engine.close())),
  }
}

type Call = <T>(method: EngineMethod, run: () => Promise<T>) => Promise<T>

const instrumentTransfer = (transfer: Transfer, call: Call): Transfer => ({
  standing: () => call('transfer', () => transfer.standing()),
  census: () => call('transfer', () => transfer.census()),
  leave: (copy, isFinished) => call('transfer', () => transfer.leave(copy, isFinished)),
  stay: () => call('transfer', () => transfer.stay()),
  exportRows: (kind, after, limit) => call('transfer', () => transfer.exportRows(kind, after, limit)),
  begin: (copy) => call('transfer', () => transfer.begin(copy)),
  importRows: (kind, rows, position) => call('transfer', () => transfer.importRows(kind, rows, position)),
  finish: (next) => call('transfer', () => transfer.finish(next)),
  abandon: () => call('transfer', () => transfer.abandon()),
})

export const closedError = (): CeleriacError =>
  new CeleriacError('CLOSED', 'This app has been closed: make another one to go on.')

function asStoreError(name: string, method: EngineMethod, thrown: unknown): CeleriacError {
  if (thrown instanceof CeleriacError) return thrown
  const said = thrown instanceof Error ? thrown.message : String(thrown)
  return new CeleriacError('STORE_FAILED', `The ${name} store failed at "${method}": ${said}`, { cause: thrown })
}
