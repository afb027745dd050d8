/** What came of sending a callback that did not arrive, in words for whoever looks at its job. Never with a query in it. */
export class CallbackFailed extends Error {
  override name = 'CallbackFailed'
  /** The receiver wants no more of it. */
  readonly isFinal: boolean

  constructor(message: string, { isFinal = false } = {}) {
    super(message)
    this.isFinal = isFinal
  }
}

/** What an error of the network says: with several addresses Node leaves that to the first of its errors. */
export function reasonIn(error: unknown): string {
  const { message, code, errors } = error as { message?: string; code?: string; errors?: readonly unknown[] }
  return message || (errors?.[0] ? reasonIn(errors[0]) : (code ?? 'the connection was closed'))
}
