import type { Duration } from '../core/time.ts'

/**
 * What `throw currentJob().retry(…)` and `throw currentJob().snooze(…)` throw: orders to the worker, not failures. They
 * are errors all the same, so that a handler run as a plain function shows where it gave up.
 */
export class RetryDirective extends Error {
  override name = 'RetryDirective'
  /** How long to wait; undefined leaves it to the task's retry policy. */
  readonly in: Duration | undefined
  constructor(options: { readonly in?: Duration | undefined; readonly cause?: unknown } = {}) {
    super('The handler asked for its job to be tried again.', 'cause' in options ? { cause: options.cause } : undefined)
    this.in = options.in
  }
}

export class SnoozeDirective extends Error {
  override name = 'SnoozeDirective'
  readonly delay: Duration
  constructor(delay: Duration) {
    super('The handler asked for its job to be put off.')
    this.delay = delay
  }
}
