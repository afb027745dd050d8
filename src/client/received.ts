// Whatever is received may come from anything: a proxy, another program at this address, a server that is broken. So it is looked
// at here before it is read, as far as this package reads it.

/** As much as is needed to know of an event here. */
export interface AnyEvent {
  readonly type: string
  readonly cursor: string
}

/** What a line says. */
export type Message =
  | { readonly type: 'event'; readonly as?: string; readonly event: AnyEvent }
  | { readonly type: 'end'; readonly as?: string }
  | { readonly type: 'problem'; readonly as?: string; readonly problem: Problem }
  | { readonly type: 'beat'; readonly as?: never }

/** What the API answers where it does not do what was asked: RFC 9457. */
export interface Problem {
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly errors?: readonly { readonly path: string; readonly message: string }[]
}

/** undefined: it is no JSON. A binary message is none either. */
export function parsed(data: unknown): unknown {
  try {
    return JSON.parse(data as string)
  } catch {
    return undefined
  }
}

export const isText = (told: unknown): told is string => typeof told === 'string'
export const isObject = (told: unknown): told is Readonly<Record<string, unknown>> =>
  typeof told === 'object' && told !== null && !Array.isArray(told)
const isList = (told: unknown): boolean => Array.isArray(told) && told.every(isObject)
const isAbsentOr = (is: (told: unknown) => boolean, told: unknown): boolean => told === undefined || is(told)

/** The answer to a submission. */
export const isNamed = (told: unknown): boolean => isObject(told) && isText(told['id'])
export const isTicket = (told: unknown): boolean => isObject(told) && isText(told['ticket'])
export const isPage = (told: unknown): boolean => isObject(told) && isList(told['items'])

/** A job, or a collection: to those who may not read, without its jobs. */
export const isWhole = (told: unknown): boolean =>
  isObject(told) &&
  isNamed(told) &&
  isText(told['state']) &&
  isAbsentOr(isObject, told['failure']) &&
  isAbsentOr(isList, told['jobs'])

export const isProblem = (told: unknown): boolean =>
  isObject(told) &&
  typeof told['status'] === 'number' &&
  isText(told['code']) &&
  isText(told['detail']) &&
  isAbsentOr(isList, told['errors'])

/** A cursor goes into an address or a header again. */
const cursor = /^[!-~]{1,4096}$/

export const isEvent = (told: unknown): told is AnyEvent =>
  isObject(told) &&
  isText(told['type']) &&
  isText(told['cursor']) &&
  cursor.test(told['cursor']) &&
  (told['type'] !== 'snapshot' || isSnapshot(told)) &&
  (told['type'] !== 'jobs' || isList(told['jobs']))

const isSnapshot = ({ job, collection }: Readonly<Record<string, unknown>>): boolean =>
  isWhole(job) || (isWhole(collection) && isList((collection as { jobs: unknown }).jobs))

export const isMessage = (told: unknown): told is Message =>
  isObject(told) &&
  isText(told['type']) &&
  isAbsentOr(isText, told['as']) &&
  (told['type'] !== 'event' || isEvent(told['event'])) &&
  (told['type'] !== 'problem' || isProblem(told['problem']))

/** The text of a body, in pieces as it comes. @param heard called whenever something has come */
export async function* piecesOf({ body }: Response, heard?: () => void): AsyncGenerator<string, undefined> {
  const reader = body?.getReader()
  const decoder = new TextDecoder()
  while (reader) {
    const { done, value } = await reader.read()
    if (done) return
    heard?.()
    yield decoder.decode(value, { stream: true })
  }
}

/** null: it has more characters than that, and is not read on. */
export async function textOf(response: Response, most: number): Promise<string | null> {
  let text = ''
  for await (const piece of piecesOf(response)) {
    text += piece
    if (text.length > most) return null
  }
  return text
}
