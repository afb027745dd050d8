import type { ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import type { Runtime, Timer } from '../core/runtime.ts'
import type { Reply } from './reply.ts'

/** A larger answer goes out in pieces of this size, in bytes: so it is seen whether the client takes them. */
const piece = 65_536
/** How long a client may take nothing of an answer, in milliseconds. */
const patience = 15_000

/**
 * Writes an answer, and calls its `done` when it has gone out or the client has. A client that takes nothing of a large one for
 * too long is disconnected. Node leaves out the body itself where there is to be none.
 */
export function write({ status, headers, text, done }: Reply, outgoing: ServerResponse, runtime: Runtime): void {
  const length = Buffer.byteLength(text)
  outgoing.writeHead(status, { ...headers, 'content-length': length })
  if (length <= piece) {
    outgoing.end(text)
    return done?.()
  }
  let clock: Timer | undefined
  const restart = (): void => {
    clock?.cancel()
    clock = runtime.after(patience, () => outgoing.destroy(), { unref: true })
  }
  pipeline(Readable.from(piecesOf(text, restart), { objectMode: true, highWaterMark: 1 }), outgoing, () => {
    clock?.cancel()
    done?.()
  })
}

function* piecesOf(text: string, onPiece: () => void): Generator<Buffer> {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += piece) {
    onPiece()
    yield bytes.subarray(at, at + piece)
  }
}
