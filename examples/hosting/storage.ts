// A storage service as small as can be: it takes files over TCP and answers with their checksum.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { basename, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { lookAt, type Pass } from './bytes.ts'

const host = '127.0.0.1'

/** Sends one file. Answers with the checksum of what the storage received. */
export async function sendFile(
  port: number,
  file: string,
  { pass = lookAt(() => {}), signal }: { readonly pass?: Pass; readonly signal: AbortSignal },
): Promise<string> {
  const socket = connect({ port, host })
  try {
    await once(socket, 'connect', { signal })
  } catch (cause) {
    socket.destroy()
    throw new Error(`The storage on port ${port} does not answer: is it up?`, { cause })
  }
  const answer = text(socket)
  socket.write(`${basename(file)}\n`)
  await pipeline(createReadStream(file), pass, socket, { signal })
  return (await answer).trim()
}

/** Starts the service. Returns the way to stop it. */
export async function startStorage(port: number, folder: string): Promise<() => Promise<void>> {
  await mkdir(folder, { recursive: true })
  // Half open: the sender ends its side, and the answer is still to come.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    receive(socket, folder).catch((error: Error) => socket.destroy(error))
  })
  server.listen(port, host)
  await once(server, 'listening')
  return async () => {
    server.close()
    await once(server, 'close')
  }
}

/** A port that nobody listens on. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function receive(socket: Socket, folder: string): Promise<void> {
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  const [name, rest] = await readLine(chunks)
  const hash = createHash('sha256')
  const content = async function* () {
    yield rest
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value
  }
  await pipeline(
    content,
    lookAt((chunk) => hash.update(chunk)),
    createWriteStream(join(folder, basename(name))),
  )
  socket.end(`${hash.digest('hex')}\n`)
}

/** The first line, and what came with it of the rest. */
async function readLine(chunks: AsyncIterator<Buffer>): Promise<[string, Buffer]> {
  let read = Buffer.alloc(0)
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
    read = Buffer.concat([read, next.value])
    const end = read.indexOf('\n')
    if (end !== -1) return [read.toString('utf8', 0, end), read.subarray(end + 1)]
  }
  throw new Error('The connection ended before the name of the file.')
}
