import type { IncomingMessage } from 'node:http'
import { isOfSameUser } from './same-user.ts'

/** What Node knows of a request: where it came from, and what it said word for word. */
export type Incoming = Pick<IncomingMessage, 'headers' | 'httpVersion' | 'url' | 'socket'>

/** Headers that only something between a client and this server adds. */
const ofProxies =
  /^(forwarded|via|x-forwarded.*|x-real-ip|x-original-.*|(x-|true-|x-cluster-)?client-ip|x-remote-.*|x-proxy.*|proxy-.*|max-forwards|cdn-loop|cf-.*|fastly-.*|fly-.*|x-varnish|x-envoy-.*|x-amzn?-.*|x-azure-.*|x-arr-.*|x-appengine-.*|x-vercel-.*|x-nf-.*|front-end-https|x-(url-)?scheme)$/

/**
 * Why a request does not count as sent by a program of this machine straight to this server; null: it does. A proxy on this
 * machine connects from the same address, and many proxies add no header, so the request itself must show no sign of one.
 * nginx asks by HTTP/1.0 and closes the connection; its setting for WebSockets writes `Connection: upgrade`. One that is set
 * to leave no sign is known by the user that it runs as, where the system tells.
 */
export async function foreignSign(incoming: Incoming | undefined): Promise<string | null> {
  if (incoming === undefined) return 'its server does not say where it came from'
  const { headers, httpVersion, socket, url = '' } = incoming
  if (!isLoopback(socket.remoteAddress)) return 'it came from another address'
  const added = Object.keys(headers).find((name) => ofProxies.test(name))
  if (added !== undefined) return `the header ${added} says that it came through a proxy`
  if (httpVersion !== '1.1') return `HTTP/${httpVersion} is what proxies speak`
  if (!url.startsWith('/')) return 'it was written for a proxy'
  if (!isOfClient(headers)) return `"connection: ${headers.connection}" is what proxies send`
  if (!hostsOf(socket).includes(headers.host ?? '')) return `the header host is not ${hostsOf(socket)[0]}`
  if (!(await isOfSameUser(socket))) return 'it came from a program of another user'
  return null
}

const isLoopback = (address: string | undefined): boolean =>
  address !== undefined && /^(127\.|::1$|::ffff:127\.)/.test(address)

/** Browsers and command-line clients keep connections, or say nothing of them; they write `Upgrade` with a capital. */
function isOfClient({ connection, upgrade }: Incoming['headers']): boolean {
  if (connection === undefined || /^keep-alive$/i.test(connection)) return true
  return upgrade !== undefined && /^(keep-alive, ?)?Upgrade$/.test(connection)
}

/** The names by which this machine asks at the port listened on. Another name may have been pointed here by a page of its site. */
function hostsOf({ localAddress = '', localPort }: Incoming['socket']): readonly string[] {
  const address = localAddress.replace(/^::ffff:/, '')
  const names = ['localhost', address.includes(':') ? `[${address}]` : address]
  const withPort = names.map((name) => `${name}:${localPort}`)
  return localPort === 80 ? [...withPort, ...names] : withPort
}
