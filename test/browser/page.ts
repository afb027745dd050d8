import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { createHandler, type HandlerOptions } from 'celeriac/http'
import type { Runtime } from '../../src/core/runtime.ts'
import { bundle } from '../fixtures/bundle.ts'
import { served, type Served } from '../fixtures/serving.ts'

let element: Promise<string> | undefined

/** An app with a page of its own, on which `<celeriac-progress>` shows what the test says. */
export interface Shown extends Served {
  /** The address of the page, with these attributes on its one element. */
  page(attributes: Readonly<Record<string, string>>): string
  /** What serves the page and the API. */
  readonly server: Server
}

export async function shown(options: HandlerOptions = {}, runtime?: Runtime): Promise<Shown> {
  const serving = await served(options, runtime)
  element ??= bundle(fileURLToPath(new URL('../../src/client/element/element.ts', import.meta.url)))
  const code = await element
  const handler = createHandler(serving.app, options)
  const server = createServer((request, response) =>
    handler.node(request, response, () => {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://page')
      const isPage = pathname === '/'
      response.setHeader('content-type', isPage ? 'text/html; charset=utf-8' : 'text/javascript')
      response.end(isPage ? html(searchParams) : code)
    }),
  )
  server.on('upgrade', (request, socket, head: Buffer) => void handler.upgrade(request, socket, head))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    handler.close()
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { ...serving, server, page: (attributes) => `http://127.0.0.1:${port}/?${new URLSearchParams(attributes)}` }
}

/** No style or script that stands in the page is let through: what the element needs, it brings in ways that are. */
const policy = "default-src 'self'; connect-src 'self' ws:"

const html = (attributes: URLSearchParams): string => `<!doctype html>
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<meta http-equiv="content-security-policy" content="${policy}">
<title>Progress</title>
<script type="module" src="/element.js"></script>
<main><celeriac-progress ${[...attributes].map(([name, value]) => `${name}="${value}"`).join(' ')}></celeriac-progress></main>`
