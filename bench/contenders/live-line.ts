import { once } from 'node:events'
import { WebSocket } from 'ws'
import { now } from './worker-process.ts'

/** An event as a browser is told it. */
export interface LiveEvent {
  readonly type: string
  readonly at?: string
  readonly message?: string
  readonly state?: string
}

/** A browser's line to the HTTP API, which follows one thing. */
export class LiveLine {
  readonly #socket: WebSocket
  #count = 0
  #wake: (() => void) | undefined

  /**
   * Resolves when it was told the snapshot.
   *
   * @param hear told each event and when it came, by the clock that all processes share; without it they are counted only
   */
  static async follow(
    url: string,
    subject: { readonly collection: string } | { readonly job: string },
    hear?: (event: LiveEvent, at: number) => void,
  ): Promise<LiveLine> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/api/live`)
    await once(socket, 'open')
    const line = new LiveLine(socket, hear)
    const snapshot = line.told(1)
    socket.send(JSON.stringify({ type: 'follow', ...subject }))
    await snapshot
    return line
  }

  private constructor(socket: WebSocket, hear: ((event: LiveEvent, at: number) => void) | undefined) {
    this.#socket = socket
    socket.on('message', (data: Buffer) => {
      const at = now()
      this.#count++
      this.#wake?.()
      if (hear) hear((JSON.parse(String(data)) as { event: LiveEvent }).event, at)
    })
  }

  /** Resolves when it was told so many messages in all. */
  async told(count: number): Promise<void> {
    while (this.#count < count) await new Promise<void>((resolve) => (this.#wake = resolve))
  }

  get count(): number {
    return this.#count
  }

  close(): void {
    this.#socket.terminate()
  }
}
