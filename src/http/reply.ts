/**
 * An answer whose text is there whole. It becomes a `Response` only where one is asked for: making one around a text takes longer
 * than most of what is done for a request, and on Node the text can be written as it is.
 */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
  /** Called once the client has taken it, or has gone. */
  readonly done?: (() => void) | undefined
}

/** Told by what it is, not by its class: there may be two of the other. */
export const isReply = (answer: Reply | Response): answer is Reply => typeof answer.text === 'string'

export const json = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Reply =>
  jsonText(status, JSON.stringify(body), headers)

/** The same, of what is JSON already. */
export const jsonText = (status: number, text: string, headers: Readonly<Record<string, string>> = {}): Reply => ({
  status,
  headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers },
  text,
})

export function responseOf({ status, headers, text, done }: Reply): Response {
  // Whatever takes it from here bounds it, or does not.
  done?.()
  return new Response(text, { status, headers })
}
