import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Celeriac } from '../app/celeriac.ts'
import { partsOf } from '../app/parts.ts'
import { badOption } from '../core/option.ts'
import type { HandlerOptions } from './api.ts'
import { createHandler } from './handler.ts'

export interface ServeOptions extends HandlerOptions {
  /** Default 8080; 0 takes any that is free. */
  readonly port?: number | undefined
  /** Default 127.0.0.1: this machine alone. Any other needs keys or `auth` first. */
  readonly host?: string | undefined
}

export interface Serving {
  readonly url: string
  /** Takes no more, lets those under way end within two seconds, and sends all others away. */
  close(): Promise<void>
}

/** How long requests under way may take when it is closed, in milliseconds. */
const grace = 2_000
const localHosts = ['127.0.0.1', '::1', 'localhost']

/**
 * Serves the HTTP API by itself.
 *
 * @throws CeleriacError BAD_OPTION where it would let in anybody from anywhere
 * @example
 * const { url } = await serve(app, { port: 8080 })
 */
export async function serve(
  app: Celeriac,
  { port = 8080, host = '127.0.0.1', ...options }: ServeOptions = {},
): Promise<Serving> {
  const handler = createHandler(app, options)
  if (!localHosts.includes(host) && !(await handler.isGuarded())) {
    throw badOption(
      `serve: host ${host}`,
      'nobody has said who may come in, and this lets in other machines: make a key with celeriac keys create, or configure auth',
    )
  }
  // What takes its time to ask is sent away by Node itself: headers within 60 s, all of it within 300 s.
  const server = createServer(handler.node)
  server.on('upgrade', (message, socket, head: Buffer) => {
    if (!handler.upgrade(message, socket, head)) socket.destroy()
  })
  server.listen(port, host)
  await once(server, 'listening')
  const { port: taken } = server.address() as AddressInfo
  const { runtime } = partsOf(app)
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${taken}`,
    async close() {
      handler.close()
      const clock = runtime.after(grace, () => server.closeAllConnections())
      await closed(server)
      clock.cancel()
    },
  }
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
}
