import { CeleriacError, StoreUnavailable } from '../core/errors.ts'

/** What a worker has to say about itself. Never holds arguments, results or other payload. */
export interface WorkerNotice {
  readonly level: 'info' | 'warn' | 'error'
  readonly message: string
}

export type WorkerLog = (notice: WorkerNotice) => void

/** Says each kind of thing once, however often it happens, until it is over. */
export interface Reporter {
  info(message: string): void
  /** Says it unless this kind was said already. */
  warn(kind: string, message: string): void
  /** Something failed that will be tried again. Of a store that is away it is said once, whatever it was asked. */
  trouble(kind: string, what: string, error: unknown): void
  /** It works again: says so, and the next time it fails is news again. */
  over(kind: string, message: string): void
}

/** One line on stderr for each warning; what is merely good to know is left out. */
export function logToStderr(notice: WorkerNotice): void {
  if (notice.level !== 'info') process.stderr.write(`celeriac: ${notice.message}\n`)
}

// A name from the store may be part of a kind, so there could be any number of them.
const mostKinds = 1000

export function createReporter(log: WorkerLog): Reporter {
  const said = new Set<string>()
  /** What has been asked of a store that is away, and not answered since. */
  const away = new Set<string>()
  const sayOnce = (kind: string, level: WorkerNotice['level'], message: string): void => {
    if (said.has(kind) || said.size >= mostKinds) return
    said.add(kind)
    sayTo(log, { level, message })
  }
  return {
    info: (message) => sayTo(log, { level: 'info', message }),
    warn: (kind, message) => sayOnce(kind, 'warn', message),
    trouble(kind, what, error) {
      // It stays closed: there is nothing to be tried, and each thing that fails now says the same.
      if (error instanceof CeleriacError && error.code === 'CLOSED')
        return sayOnce(
          'closed',
          'error',
          `${describe(error)}. This worker can do no more: stop workers before their app.`,
        )
      if (!(error instanceof StoreUnavailable))
        return sayOnce(kind, 'error', `${what}: ${describe(error)}. Trying again.`)
      away.add(kind)
      sayOnce('away', 'error', `${describe(error)}. Jobs that run go on, and what they come to is kept. Trying again.`)
    },
    over(kind, message) {
      if (away.delete(kind) && away.size === 0 && said.delete('away')) {
        sayTo(log, { level: 'info', message: 'The store answers again.' })
      }
      if (said.size > 0 && said.delete(kind)) sayTo(log, { level: 'info', message })
    },
  }
}

/** A log that throws must not take the worker with it. */
function sayTo(log: WorkerLog, notice: WorkerNotice): void {
  try {
    log(notice)
  } catch {
    // There is nobody left to tell.
  }
}

function describe(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.replace(/\.$/, '')
}
