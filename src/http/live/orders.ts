import type { WebSocket } from 'ws'
import type { Runtime, Timer } from '../../core/runtime.ts'

/** How many messages may wait to be carried out before no more is read. */
const mostWaiting = 100
/** How many may come at once, as when a page resumes all that it follows, and how many a second after that. */
const atOnce = 2_000
const perSecond = 100

/** The messages of one socket, carried out in turn: who sends faster than they are is not read meanwhile. */
export class Orders {
  readonly #socket: Pick<WebSocket, 'pause' | 'resume'>
  readonly #runtime: Runtime
  readonly #carryOut: (text: string) => Promise<void>
  readonly #waiting: string[] = []
  #isBusy = false
  #hasEnded = false
  #left = atOnce
  #countedAt: number
  #clock: Timer | undefined
  #wake: (() => void) | undefined

  constructor(
    socket: Pick<WebSocket, 'pause' | 'resume'>,
    runtime: Runtime,
    carryOut: (text: string) => Promise<void>,
  ) {
    this.#socket = socket
    this.#runtime = runtime
    this.#carryOut = carryOut
    this.#countedAt = runtime.elapsed()
  }

  add(text: string): void {
    if (this.#hasEnded) return
    this.#waiting.push(text)
    if (this.#waiting.length >= mostWaiting) this.#socket.pause()
    if (!this.#isBusy) void this.#carryOutAll()
  }

  /** Forgets all that waits. */
  end(): void {
    this.#hasEnded = true
    this.#waiting.length = 0
    this.#clock?.cancel()
    this.#wake?.()
  }

  async #carryOutAll(): Promise<void> {
    this.#isBusy = true
    for (let text = this.#waiting.shift(); text !== undefined; text = this.#waiting.shift()) {
      if (this.#left < 1) await this.#untilAllowed()
      if (this.#hasEnded) break
      this.#left--
      await this.#carryOut(text)
      if (this.#waiting.length < mostWaiting) this.#socket.resume()
    }
    this.#isBusy = false
  }

  /** Waits for a tenth of a second's worth. */
  async #untilAllowed(): Promise<void> {
    const since = this.#runtime.elapsed() - this.#countedAt
    this.#left = Math.min(atOnce, this.#left + (since * perSecond) / 1000)
    this.#countedAt += since
    if (this.#left >= 1) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      this.#clock = this.#runtime.after(100, resolve, { unref: true })
    })
    if (!this.#hasEnded) await this.#untilAllowed()
  }
}
