import { CeleriacError, type ErrorCode } from '../core/errors.ts'

/** A command written wrongly: reported with exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** An error that has more to show than a sentence: the place in a file, say. Lines as they are to be printed. */
export class DetailedError extends CeleriacError {
  readonly details: readonly string[]

  constructor(code: ErrorCode, message: string, details: readonly string[], options?: ErrorOptions) {
    super(code, message, options)
    this.details = details
  }
}
