import { credentialOf, type Identity } from './identity.ts'
import { RequestError } from './problem.ts'

/** Ends a turn; calling it again does nothing. */
export type EndTurn = () => void

/** How many a credential may have waiting; beyond that it asks faster than it takes what it is answered. */
const mostWaiting = 1_000

/**
 * Bounds what is read and not yet taken, for each credential: a request of a hundred bytes may be answered by megabytes, which
 * stay in memory until the client has read them. A turn lasts from before the store is read until the answer has gone out.
 */
export class Turns {
  readonly #most: number
  readonly #queues = new Map<string, { under: number; readonly waiting: (() => void)[] }>()

  /** @param most how many turns a credential has at once */
  constructor(most: number) {
    this.#most = most
  }

  /**
   * Waits for a turn.
   *
   * @param request whose client may go away while it waits
   * @param room how many may wait
   * @throws RequestError TOO_MANY_REQUESTS
   */
  async take(identity: Identity, request?: Request, room = mostWaiting): Promise<EndTurn> {
    const credential = credentialOf(identity)
    let queue = this.#queues.get(credential)
    if (queue === undefined) this.#queues.set(credential, (queue = { under: 0, waiting: [] }))
    const { waiting } = queue
    if (queue.under < this.#most) queue.under++
    else await untilCalled(waiting, room, request?.signal)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      const next = waiting.shift()
      if (next) next()
      else if (--queue.under === 0) this.#queues.delete(credential)
    }
  }
}

/** @throws RequestError where too many wait, or the client has gone */
function untilCalled(waiting: (() => void)[], room: number, signal: AbortSignal | undefined): Promise<void> {
  if (waiting.length >= room) throw tooMany()
  return new Promise((resolve, reject) => {
    const call = (): void => {
      signal?.removeEventListener('abort', leave)
      resolve()
    }
    const leave = (): void => {
      waiting.splice(waiting.indexOf(call), 1)
      reject(new RequestError('BAD_REQUEST', 'The client went away.'))
    }
    waiting.push(call)
    signal?.addEventListener('abort', leave, { once: true })
  })
}

const tooMany = (): RequestError =>
  new RequestError(
    'TOO_MANY_REQUESTS',
    `${mostWaiting} requests of this key or token wait already: read the answers first.`,
    { headers: { 'retry-after': '1' } },
  )
