import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Celeriac } from '../app/celeriac.ts'
import { partsOf } from '../app/parts.ts'
import { CeleriacError } from '../core/errors.ts'
import { badOption, readable } from '../core/option.ts'
import type { HandlerOptions } from './api.ts'
import { howToConfigure } from './authenticate.ts'
import { createHandler, type Handler } from './handler.ts'

export interface ServeOptions extends HandlerOptions {
  /** Default 8080; 0 takes any that is free. */
  readonly port?: number | undefined
  /** Default 127.0.0.1: this machine alone. Any other needs keys or `auth` first. */
  readonly host?: string | undefined
}

export interface Serving {
  readonly url: string
  /** Programs of this machine may do everything: there is no key and no `auth`. */
  readonly isOpenLocally: boolean
  /** Takes no more, lets those under way end within two seconds, and sends all others away. */
  close(): Promise<void>
}

/** How long requests under way may take when it is closed, in milliseconds. */
const grace = 2_000
const localHosts = ['127.0.0.1', '::1', 'localhost']

/**
 * Serves the HTTP API by itself.
 *
 * @throws CeleriacError BAD_OPTION where it would let in anybody from anywhere, or cannot listen there
 * @example
 * const { url } = await serve(app, { port: 8080 })
 */
export async function serve(app: Celeriac, given: ServeOptions = {}): Promise<Serving> {
  const { port = 8080, host = '127.0.0.1', ...options } = readable('serve', () => ({ ...given }))
  const handler = createHandler(app, options)
  const isOpenLocally = await handler.isOpenLocally()
  await checkAccess(handler, host, isOpenLocally)
  // What takes its time to ask is sent away by Node itself: headers within 60 s, all of it within 300 s.
  const server = createServer(handler.node).on('upgrade', handler.upgrade)
  server.listen(port, host)
  await once(server, 'listening').catch((cause: unknown) => {
    throw cannotListen(host, port, cause)
  })
  const { port: taken } = server.address() as AddressInfo
  const { runtime } = partsOf(app)
  return {
    isOpenLocally,
    url: `http://${host.includes(':') ? `[${host}]` : host}:${taken}`,
    async close() {
      handler.close()
      const clock = runtime.after(grace, () => server.closeAllConnections())
      await closed(server)
      clock.cancel()
    },
  }
}

const whyNot: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there: name another port, or 0 for any that is free',
  EACCES: 'this user may not listen there: name a port from 1024 on',
  EADDRNOTAVAIL: 'this machine does not have that address: name one of its own as host',
  ENOTFOUND: 'there is no such host: name an address of this machine as host',
}

function cannotListen(host: string, port: number, cause: unknown): Error {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const why = whyNot[code] ?? (cause instanceof Error ? cause.message : String(cause))
  return new CeleriacError('BAD_OPTION', `serve: port ${port} of ${host}: ${why}`, { cause })
}

/** @throws CeleriacError BAD_OPTION where nobody could use it, or other machines could reach it unguarded */
async function checkAccess(handler: Handler, host: string, isOpenLocally: boolean): Promise<void> {
  if (isOpenLocally ? localHosts.includes(host) : await handler.isGuarded()) return
  const why = isOpenLocally
    ? `access is not configured, and other machines reach ${host}`
    : 'access is not configured, so it would answer nobody'
  const local = isOpenLocally
    ? ''
    : '; for programs of this machine alone, behind no proxy: openLocally (--open-locally)'
  throw badOption('serve', `${why}: ${howToConfigure}${local}`)
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
}
