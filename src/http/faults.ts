import { inspect } from 'node:util'
import type { Runtime } from '../core/runtime.ts'
import type { AskedOf } from './route.ts'

/** The request that failed, and how many like it failed without a report of their own. */
export interface FailedRequest extends AskedOf {
  /** Further failures of this kind in the minute before; 0 where this is the first. */
  readonly repeats: number
}

/** Called with what went wrong inside. */
export type OnError = (error: unknown, request: FailedRequest) => void

/** Each kind of failure is reported once in this time, in milliseconds. */
const reportEvery = 60_000
/** Maximum kinds of failure told apart at a time: all further ones count as one kind. */
const maxKinds = 20
/** Maximum length of a reported path, and of one report to the log, in characters. */
const maxPath = 200
const maxReport = 8_000

interface Kind {
  error: unknown
  asked: AskedOf
  repeats: number
}

/**
 * Reports what went wrong inside. Anybody can repeat a request that fails, often without a credential, so a kind of failure is
 * reported at once and then once a minute with the number of repeats.
 */
export class Faults {
  readonly #onError: OnError
  readonly #runtime: Runtime
  readonly #kinds = new Map<string, Kind>()

  constructor(onError: OnError, runtime: Runtime) {
    this.#onError = onError
    this.#runtime = runtime
  }

  report(error: unknown, { method, path }: AskedOf): void {
    const asked = { method, path: path.slice(0, maxPath) }
    const own = kindOf(error)
    const name = this.#kinds.has(own) || this.#kinds.size < maxKinds ? own : 'others'
    const known = this.#kinds.get(name)
    if (known) {
      Object.assign(known, { error, asked, repeats: known.repeats + 1 })
      return
    }
    this.#kinds.set(name, { error, asked, repeats: 0 })
    this.#wait(name)
    this.#tell(error, { ...asked, repeats: 0 })
  }

  #wait(name: string): void {
    this.#runtime.after(reportEvery, () => this.#endMinute(name), { unref: true })
  }

  #endMinute(name: string): void {
    const { error, asked, repeats } = this.#kinds.get(name)!
    if (repeats === 0) return void this.#kinds.delete(name)
    this.#kinds.set(name, { error, asked, repeats: 0 })
    this.#wait(name)
    this.#tell(error, { ...asked, repeats })
  }

  /** A report that fails must not take the server with it, neither at once nor later. */
  #tell(error: unknown, request: FailedRequest): void {
    new Promise((resolve) => resolve(this.#onError(error, request))).catch(() => undefined)
  }
}

/** Failures are of one kind if they differ only in what was asked, as far as that can be seen. */
function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return `thrown: ${typeof error}`
  const { name, message, cause } = error
  const code = 'code' in error ? String(error.code) : ''
  const why = cause instanceof Error ? `${cause.name} ${'code' in cause ? String(cause.code) : ''}` : ''
  return [name, code, message.slice(0, maxPath), why].join('\n')
}

/** The default of `onError`. */
export function logFault(error: unknown, { method, path, repeats }: FailedRequest): void {
  const often = repeats > 0 ? ` (and ${repeats} more like it within the last minute)` : ''
  const text = inspect(error)
  const shown = text.length > maxReport ? `${text.slice(0, maxReport)}…` : text
  // eslint-disable-next-line no-console -- A server that reports none of its faults cannot be mended.
  console.error(`celeriac: ${method} ${path}${often}: ${shown.replace(/[^\P{Cc}\n\t]/gu, '�')}`)
}
