import { createServer } from 'node:net'

/**
 * A free port on loopback. Not one of those that the system hands out by itself: a client that looks for a stopped server
 * on such a port is at times given that very port to call from, and then speaks with itself.
 */
export async function findPort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = 15_000 + Math.floor(Math.random() * 15_000)
    if (await isFree(port)) return port
  }
  throw new Error('No free port was found on 127.0.0.1.')
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
