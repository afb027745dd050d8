import { CeleriacError } from '../core/errors.ts'
import type { BarrierRef, StoredResult } from '../core/job.ts'
import type { FailureReport, SettledSummary } from '../core/options.ts'
import { assemble, inputLimit } from '../core/shape.ts'
import type { ClaimedJob, JobInput, Work } from '../engine/work.ts'

/**
 * The list of arguments that a job's handler is called with, before any schema: what comes before it, then its own.
 * At once where everything came along with the claim.
 *
 * @throws CeleriacError INPUT_TOO_LARGE, or what the store answers
 */
export function readArguments(job: ClaimedJob, store: Pick<Work, 'results'>): unknown[] | Promise<unknown[]> {
  const own = job.args === '[]' ? [] : (JSON.parse(job.args) as unknown[])
  const { input } = job
  switch (input.from) {
    case 'nothing':
      return own
    case 'unreadable':
      throw new CeleriacError('STORE_CORRUPT', 'what the store keeps of the results before this job is damaged')
    case 'results':
      return readResults(input, store, own)
    case 'failure':
      return [input.report satisfies FailureReport, ...own]
    case 'summary':
      return [summaryOf(job.collectionId, input), ...own]
  }
}

function summaryOf(collection: string, input: Extract<JobInput, { from: 'summary' }>): SettledSummary {
  const { state, counts, failure } = input
  return { collection, state, counts, ...(failure === null ? {} : { failure }) }
}

function readResults(
  { shape, barrier, results }: Extract<JobInput, { from: 'results' }>,
  store: Pick<Work, 'results'>,
  own: unknown[],
): unknown[] | Promise<unknown[]> {
  if (results !== null && results.every(isWhole)) return [JSON.parse(assemble(shape, results)), ...own]
  const pages = new Pages(store)
  const whole = results === null ? pages.load(barrier) : pages.complete(results)
  return whole.then((loaded) => [JSON.parse(assemble(shape, loaded)), ...own])
}

/** Did everything that this result refers to come along? */
function isWhole(result: StoredResult): boolean {
  return 'json' in result || (result.results !== null && result.results.every(isWhole))
}

/** Reads what was too large to come with the claim, page by page, and stops where it is too large altogether. */
class Pages {
  readonly #store: Pick<Work, 'results'>
  #left = inputLimit

  constructor(store: Pick<Work, 'results'>) {
    this.#store = store
  }

  async load(barrier: BarrierRef): Promise<StoredResult[]> {
    const all: StoredResult[] = []
    for (let after: string | null = null; ;) {
      const page = await this.#store.results(barrier, after)
      all.push(...(await this.complete(page.results)))
      if (page.next === null) return all
      after = page.next
    }
  }

  async complete(results: readonly StoredResult[]): Promise<StoredResult[]> {
    const whole: StoredResult[] = []
    for (const result of results) whole.push('json' in result ? this.#count(result) : await this.#follow(result))
    return whole
  }

  async #follow(result: Extract<StoredResult, { shape: string }>): Promise<StoredResult> {
    const results = result.results === null ? await this.load(result.barrier) : await this.complete(result.results)
    return { ...result, results }
  }

  #count(result: Extract<StoredResult, { json: unknown }>): StoredResult {
    this.#left -= result.json?.length ?? 4
    if (this.#left >= 0) return result
    const most = `${inputLimit / 1024 / 1024} MiB`
    const advice = 'store them elsewhere and hand on where they are'
    throw new CeleriacError('INPUT_TOO_LARGE', `the results before this job are more than ${most}: ${advice}`)
  }
}
