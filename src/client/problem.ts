import type { Runtime } from '../core/runtime.ts'

/** What the API answers where it does not do what was asked: RFC 9457. */
export interface Problem {
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly errors?: readonly { readonly path: string; readonly message: string }[]
}

/** Thrown where the API does not do what was asked. */
export class ApiProblem extends Error {
  override name = 'ApiProblem'
  readonly status: number
  /** For programs: it never changes its meaning. docs/errors.md lists them. */
  readonly code: string
  /** For people: what is wrong and what to do. */
  readonly detail: string
  /** Which parts of the request are meant. */
  readonly errors: Problem['errors']
  /** It is not the API that answered, but something between: a proxy, while a server is replaced. */
  readonly isForeign: boolean

  constructor({ status, code, detail, errors }: Problem, isForeign = false) {
    super(detail)
    this.isForeign = isForeign
    this.status = status
    this.code = code
    this.detail = detail
    this.errors = errors
  }
}

/** What stands between may answer in its own words. */
export async function problemOf(response: Response): Promise<ApiProblem> {
  const { status, statusText } = response
  const known = (await response.json().catch(() => null)) as Partial<Problem> | null
  const title = known?.title ?? statusText
  const isForeign = !/^application\/problem\+json\b/.test(response.headers.get('content-type') ?? '') || !known?.code
  const problem = {
    ...known,
    title,
    status,
    code: known?.code ?? `HTTP_${status}`,
    detail: known?.detail ?? `The answer was ${status} ${title}`.trim(),
  }
  return new ApiProblem(problem, isForeign)
}

/** Nothing will change by asking again: who asks is not known, may not, or asked for what is not there. */
export const isLasting = (error: unknown): error is ApiProblem =>
  error instanceof ApiProblem && !error.isForeign && error.status < 500 && error.status !== 408 && error.status !== 429

/** How long what stands between may answer in place of the API, in milliseconds: longer than a server takes to be replaced. */
const patience = 300_000

/** Tells when one who follows is to give up: at once where nothing will change, and after a while of answers that are not the API's. */
export class Patience {
  readonly #runtime: Pick<Runtime, 'elapsed'>
  #since: number | undefined

  constructor(runtime: Pick<Runtime, 'elapsed'>) {
    this.#runtime = runtime
  }

  /** The API has answered. */
  reset(): void {
    this.#since = undefined
  }

  isOver(error: unknown): error is ApiProblem {
    if (!(error instanceof ApiProblem && error.isForeign && error.status < 500)) return isLasting(error)
    this.#since ??= this.#runtime.elapsed()
    return this.#runtime.elapsed() - this.#since >= patience
  }
}
