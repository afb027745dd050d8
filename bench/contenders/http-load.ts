import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { quantiles } from '../statistics.ts'
import type { Figures } from '../case.ts'

export interface Asked {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: unknown
  /** The status of every answer; any other is an error. */
  readonly status: number
}

export interface Load {
  /** Kept open; each asks again when it was answered. */
  readonly connections: number
  readonly count: number
}

/**
 * Asks the same so many times: requests a second, and milliseconds from the first byte written to the last byte read. Written on
 * bare sockets, so that the side that asks takes as little as possible of a machine that it shares with the server.
 */
export async function ask(url: string, asked: Asked, { connections, count }: Load): Promise<Figures> {
  const request = requestOf(url, asked)
  const times: number[] = []
  let left = count
  const startedAt = performance.now()
  const one = async (): Promise<void> => {
    const line = await Line.open(url)
    while (left-- > 0) {
      const askedAt = performance.now()
      await line.ask(request, asked.status)
      times.push(performance.now() - askedAt)
    }
    line.close()
  }
  await Promise.all(Array.from({ length: connections }, one))
  return { rate: (count / (performance.now() - startedAt)) * 1000, ...quantiles(times) }
}

function requestOf(url: string, { method, path, body }: Asked): Buffer {
  const text = body === undefined ? '' : JSON.stringify(body)
  const type =
    body === undefined ? '' : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n`
  return Buffer.from(`${method} ${path} HTTP/1.1\r\nhost: ${new URL(url).host}\r\n${type}\r\n${text}`)
}

class Line {
  readonly #socket: Socket
  #parts: Buffer[] = []
  #missing = Number.NaN
  #answered: PromiseWithResolvers<void> | undefined
  #status = 0

  static async open(url: string): Promise<Line> {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    await once(socket, 'connect')
    return new Line(socket)
  }

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (data) => this.#hear(data))
    socket.on('close', () => this.#answered?.reject(new Error('the server closed the connection')))
  }

  async ask(request: Buffer, status: number): Promise<void> {
    this.#answered = Promise.withResolvers<void>()
    this.#socket.write(request)
    await this.#answered.promise
    if (this.#status !== status) throw new Error(`answered with ${this.#status}`)
  }

  close(): void {
    this.#answered = undefined
    this.#socket.destroy()
  }

  /** Of the body no more is looked at than how long it is. */
  #hear(data: Buffer): void {
    if (Number.isNaN(this.#missing)) {
      this.#parts.push(data)
      const all = this.#parts.length === 1 ? data : Buffer.concat(this.#parts)
      const end = all.indexOf('\r\n\r\n')
      if (end === -1) return
      const head = all.toString('latin1', 0, end)
      const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1]
      if (length === undefined) throw new Error(`an answer without its length: ${head}`)
      this.#status = Number(head.slice(9, 12))
      this.#missing = end + 4 + Number(length) - all.length
      this.#parts = []
    } else {
      this.#missing -= data.length
    }
    if (this.#missing > 0) return
    this.#missing = Number.NaN
    this.#answered?.resolve()
  }
}
