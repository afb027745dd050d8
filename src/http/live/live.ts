import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Authenticator } from '../authenticate.ts'
import { demand } from '../identity.ts'
import { problemReply, RequestError } from '../problem.ts'
import type { Reply } from '../reply.ts'
import type { Service } from '../route.ts'
import { Outlets } from './outlets.ts'
import { LiveSocket } from './socket.ts'

/** What a browser may send at once: it only says what to follow. */
const mostHeard = 16_384

/** Opens WebSockets at `/api/live`, for those who may. */
export class Live {
  readonly #authenticator: Authenticator
  readonly #service: Service
  readonly #path: string
  readonly #server = new WebSocketServer({ noServer: true, maxPayload: mostHeard, clientTracking: false })
  readonly #sockets = new Set<LiveSocket>()
  readonly #outlets: Outlets
  #isClosed = false

  constructor(authenticator: Authenticator, service: Service, base: string) {
    this.#authenticator = authenticator
    this.#service = service
    this.#outlets = new Outlets(service.parts.runtime)
    this.#path = `${base}/api/live`
  }

  /** Takes what Node's server tells as `upgrade`. False where it is for somebody else. */
  upgrade(message: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    if (message.url?.split('?', 1)[0] !== this.#path) return false
    void this.#open(message, socket, head)
    return true
  }

  close(): void {
    this.#isClosed = true
    for (const socket of this.#sockets) socket.close()
  }

  async #open(message: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy())
    try {
      const request = new Request(urlOf(message), { headers: headersOf(message) })
      const identity = await this.#authenticator.identify(request, message, true)
      demand(identity, 'read')
      // Where the store is away it is better said now: who is refused comes back by itself.
      await this.#service.connect()
      // Its end would not be told any more.
      if (socket.destroyed) return
      socket.on('close', this.#service.held.line(identity))
      this.#server.handleUpgrade(message, socket, head, (opened: WebSocket) => {
        const live = new LiveSocket(opened, () => this.#outlets.hold(socket), identity, this.#service)
        this.#sockets.add(live)
        opened.on('close', () => this.#sockets.delete(live))
        // It was let in while the server went away.
        if (this.#isClosed) live.close()
      })
    } catch (error) {
      const problem = this.#service.explain(error, { method: 'GET', path: this.#path })
      refuse(socket, problemReply(problem, error instanceof RequestError ? error.headers : {}))
    }
  }
}

/** @throws RequestError BAD_REQUEST where the header host is more or less than a host */
function urlOf({ headers: { host = 'localhost' }, url = '' }: IncomingMessage): URL {
  const read = /^([\w.-]+|\[[\da-f:.]+\])(:\d+)?$/i.test(host) ? URL.parse(`http://${host}${url}`) : null
  if (read) return read
  throw new RequestError('BAD_REQUEST', 'The header host is not valid.')
}

function headersOf({ headers }: IncomingMessage): Headers {
  const known = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    for (const one of Array.isArray(value) ? value : [value ?? '']) known.append(name, one)
  }
  return known
}

/**
 * The answer to a handshake that is not taken: an ordinary one, with the problem. Then the socket is done with: Node would wait for
 * the end of the client's half, which need not come.
 */
function refuse(socket: Duplex, { status, headers, text }: Reply): void {
  const fields = { ...headers, 'content-length': Buffer.byteLength(text), connection: 'close' }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}`)
  socket.once('finish', () => socket.destroy())
  socket.end([`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, '', text].join('\r\n'))
}
