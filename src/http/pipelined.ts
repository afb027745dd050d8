import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** How many requests may wait on a connection for the answers before theirs. Usual clients send none ahead, others a few. */
const mostAhead = 100

const waitingOn = new WeakMap<Socket, number>()

/**
 * Begins with an answer when it is the next on its connection. A client may send thousands of requests at once and read nothing:
 * each answer would be made, and kept whole behind the first. One that sends too many is disconnected.
 */
export function whenNext(response: ServerResponse, begin: () => void): void {
  // Node gives a response its socket when the one before has gone out.
  if (response.socket !== null) return begin()
  const { socket } = response.req
  const waiting = waitingOn.get(socket) ?? 0
  if (waiting >= mostAhead) return void socket.destroy()
  waitingOn.set(socket, waiting + 1)
  response.once('socket', () => {
    waitingOn.set(socket, (waitingOn.get(socket) as number) - 1)
    begin()
  })
}
