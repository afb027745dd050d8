import type { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Runtime } from '../core/runtime.ts'

/** What Node's server calls with a request that offers another protocol. */
export type Upgrade = (message: IncomingMessage, socket: Duplex, head: Buffer) => boolean

/** How long a listener of somebody else's may take over what we have left to it, in milliseconds. */
const patience = 60_000

/** Of every API in this process: one server may have several. */
const own = new WeakSet<object>()
const taken = new WeakSet<IncomingMessage>()

/**
 * Makes a listener that is safe as the only one, and beside those of others. Once anybody listens, Node leaves every request with
 * an offer to the listeners: without its own handler of errors, so that a reset connection ends the process, and without an answer.
 * So a request that nobody else can want is given back to the server, which answers it by HTTP/1.1.
 *
 * @param open takes what it knows
 * @param isOurs whether there is something of ours at a path
 */
export function upgradeListener(
  open: (...given: Parameters<Upgrade>) => boolean,
  isOurs: (url: string) => boolean,
  runtime: Runtime,
): Upgrade {
  const upgrade: Upgrade = (message, socket, head) => {
    const { url = '', headers } = message
    if (open(message, socket, head)) taken.add(message)
    if (taken.has(message)) return true
    // Another handler may be behind this one, which knows what it is.
    const isWanted = isOurs(url) && !/\bwebsocket\b/i.test(headers.upgrade ?? '')
    const server = serverOf(message)
    if (server && !socket.destroyed && (isWanted || isLastOfOwn(server, upgrade))) {
      taken.add(message)
      giveBack(server, message, socket, head)
      return true
    }
    leave(socket, runtime)
    return false
  }
  own.add(upgrade)
  return upgrade
}

/** Node notes on each connection which server it came to; its types do not tell. */
const serverOf = ({ socket }: IncomingMessage): EventEmitter | undefined =>
  (socket as Socket & { readonly server?: EventEmitter }).server

function isLastOfOwn(server: EventEmitter, upgrade: Upgrade): boolean {
  const listeners = server.listeners('upgrade')
  return listeners.at(-1) === upgrade && listeners.every((one) => own.has(one))
}

/**
 * Has the server read the request anew, without the offer: so it comes to whatever routes and guards there are, with its body.
 * `connection` stays, by which it shows that it came through a proxy.
 */
function giveBack(server: EventEmitter, message: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { method, url, httpVersion, rawHeaders } = message
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (!/^upgrade$/i.test(rawHeaders[at]!)) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`)
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]))
  server.emit('encrypted' in socket ? 'secureConnection' : 'connection', socket)
}

/** Others may take it. One that nobody has written to or reads from after a long while nobody will. */
function leave(socket: Duplex, runtime: Runtime): void {
  // A server may have several of ours.
  if (!socket.listeners('error').includes(destroy)) socket.on('error', destroy)
  const { bytesWritten } = socket as Socket
  const clock = runtime.after(
    patience,
    () => {
      const isRead = socket.listenerCount('data') + socket.listenerCount('readable') > 0
      if (!isRead && (socket as Socket).bytesWritten === bytesWritten) socket.destroy()
    },
    { unref: true },
  )
  socket.once('close', () => clock.cancel())
}

function destroy(this: Duplex): void {
  this.destroy()
}
