import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { serve } from 'celeriac/http'
import { appByHand } from '../fixtures/app-by-hand.ts'

/** What a request is answered, on a connection that ends with it. */
async function asked(head: readonly string[], body = ''): Promise<string> {
  const { app } = appByHand({})
  app.task('add', { expose: true }, (x: number, y: number) => x + y)
  const { url, close } = await serve(app, { port: 0, auth: 'none' })
  onTestFinished(() => close())
  const { host, port } = new URL(url)
  const socket = connect(Number(port), '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.write([...head, `host: ${host}`, '', body].join('\r\n'))
  let text = ''
  for await (const chunk of socket) {
    text += String(chunk)
    if (text.includes('\r\n\r\n')) break
  }
  return text.split('\r\n', 1)[0] as string
}

const offer = ['connection: Upgrade, HTTP2-Settings', 'upgrade: h2c', 'http2-settings: AAMAAABkAARAAAAAAAIAAAAA']

test('who offers another protocol is answered by the one it asks with', async () => {
  expect(await asked(['GET /api/jobs HTTP/1.1', ...offer])).toBe('HTTP/1.1 200 OK')
})

test('and so is one who sends something', async () => {
  const about = ['content-type: application/json', 'content-length: 14']
  expect(await asked(['POST /api/tasks/add HTTP/1.1', ...offer, ...about], '{"args":[1,2]}')).toBe(
    'HTTP/1.1 202 Accepted',
  )
})

test('a WebSocket elsewhere is not opened', async () => {
  const webSocket = ['connection: Upgrade', 'upgrade: websocket', 'sec-websocket-version: 13', 'sec-websocket-key: x']
  expect(await asked(['GET /api/jobs HTTP/1.1', ...webSocket])).toBe('')
})
