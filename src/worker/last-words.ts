import { failureFrom } from '../core/failure.ts'
import type { Attempt } from './attempt.ts'
import type { Dying, LoopState } from './blocked-answer.ts'
import type { Blocked } from './blocked.ts'
import { lastWordsName } from '../engine/recovery.ts'

export interface LastWordsParts {
  readonly blocked: Pick<Blocked, 'die' | 'current'>
  /** The attempt that runs while no other does. */
  readonly sole: () => Attempt | null
  readonly now: () => number
  readonly elapsed: () => number
  /** Hands it to the heartbeat thread, which lives until this process is gone. */
  readonly send: (dying: Dying) => void
  readonly state: LoopState
}

/** How long an exit waits for the thread to store what is said, in milliseconds. */
const patience = 2_000
/** An error that was caught after all is taken for the reason of an exit for so long, in milliseconds. */
const memory = 10_000

/**
 * Has the heartbeat thread store why this process dies, when it dies of an error that nobody caught or of `process.exit`. The
 * job to blame is the one in whose context that happened or, if there is no such context, the only one that runs.
 */
export class LastWords {
  readonly #parts: LastWordsParts
  #uncaught: { readonly error: unknown; readonly attempt: Attempt | null; readonly at: number } | null = null

  constructor(parts: LastWordsParts) {
    this.#parts = parts
  }

  listen(): void {
    process.on('uncaughtExceptionMonitor', this.#onUncaught)
    process.on('exit', this.#onExit)
  }

  stop(): void {
    process.off('uncaughtExceptionMonitor', this.#onUncaught)
    process.off('exit', this.#onExit)
  }

  readonly #onUncaught = (error: unknown): void => {
    this.#uncaught = { error, attempt: this.#parts.blocked.current(), at: this.#parts.elapsed() }
  }

  /** The event loop is over: nothing can be awaited here. */
  readonly #onExit = (code: number): void => {
    const { blocked, sole, elapsed, now, send, state } = this.#parts
    const uncaught = this.#uncaught !== null && elapsed() - this.#uncaught.at < memory ? this.#uncaught : null
    const blamed = uncaught?.attempt ?? blocked.current() ?? sole()
    const dying = blocked.die(blamed)
    if (blamed !== null) {
      const { job } = blamed
      const failure = failureFrom(uncaught ? uncaught.error : exitOf(code), { attempt: job.attempt, at: now() })
      const note = { name: lastWordsName(job.attempt), value: JSON.stringify(failure) }
      dying.news.notes.push({ ref: job.ref, token: job.token, note })
    }
    if (dying.settlements.length + dying.news.notes.length === 0) return
    send(dying)
    state.waitUntilTold(patience)
  }
}

/** Its stack shows who called `process.exit`. */
function exitOf(code: number): Error {
  const exit = new Error(`The process ended with exit code ${code}.`)
  exit.name = 'ProcessExit'
  return exit
}
