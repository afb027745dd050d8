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

  constructor({ status, code, detail, errors }: Problem) {
    super(detail)
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
  return new ApiProblem({
    ...known,
    title,
    status,
    code: known?.code ?? `HTTP_${status}`,
    detail: known?.detail ?? `The answer was ${status} ${title}`.trim(),
  })
}

/** Nothing will change by asking again: who asks is not known, may not, or asked for what is not there. */
export const isLasting = (error: unknown): error is ApiProblem =>
  error instanceof ApiProblem && error.status < 500 && error.status !== 408 && error.status !== 429
