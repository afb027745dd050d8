import { isObject, isProblem, isText, parsed, type Problem, textOf } from './received.ts'

export type { Problem } from './received.ts'

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

/** In characters: a problem of the API's has a few thousand. */
const mostOfProblem = 1_000_000

/** What stands between may answer in its own words. */
export async function problemOf(response: Response): Promise<ApiProblem> {
  const { status, statusText } = response
  const told = parsed(await textOf(response, mostOfProblem).catch(() => null))
  const known = isObject(told) ? told : {}
  const problem = { ...known, status }
  if (isOfType(response, 'application/problem+json') && isProblem(problem)) return new ApiProblem(problem as Problem)
  const title = isText(known['title']) ? known['title'] : statusText
  const code = isText(known['code']) ? known['code'] : `HTTP_${status}`
  const detail = isText(known['detail']) ? known['detail'] : `The answer was ${status} ${title}`.trim()
  return new ApiProblem({ title, status, code, detail }, true)
}

/** An answer that says that all is well, and is none of the API's: of a proxy, or of another program at this address. */
export const notUnderstood = ({ status }: Response): ApiProblem =>
  new ApiProblem(
    {
      title: '',
      status,
      code: `HTTP_${status}`,
      detail: `The answer (${status}) is none of this API's. Is the url right, and does anything between answer in its place?`,
    },
    true,
  )

/** Asked again, it would be as large. */
export const tooLarge = (most: number): ApiProblem =>
  new ApiProblem({
    title: '',
    status: 200,
    code: 'TOO_LARGE',
    detail: `The answer has more than ${most} characters, which is not kept. The jobs of a very large collection are there by pages: jobs.list({ collection }).`,
  })

export const isOfType = ({ headers }: Response, type: string): boolean =>
  headers.get('content-type')?.startsWith(type) === true

/** Nothing will change by asking again: who asks is not known, may not, or asked for what is not there. */
export const isLasting = (error: unknown): error is ApiProblem =>
  error instanceof ApiProblem && !error.isForeign && error.status < 500 && error.status !== 408 && error.status !== 429

/** How long what stands between may answer in place of the API, in milliseconds: longer than a server takes to be replaced. */
const patience = 300_000

/** Tells when one who follows is to give up: at once where nothing will change, and after a while of answers that are not the API's. */
export class Patience {
  #since: number | undefined

  /** The API has answered. */
  reset(): void {
    this.#since = undefined
  }

  /** @param now of the clock that only goes on */
  isOver(error: unknown, now: number): error is ApiProblem {
    if (!(error instanceof ApiProblem && error.isForeign && error.status < 500)) return isLasting(error)
    this.#since ??= now
    return now - this.#since >= patience
  }
}
