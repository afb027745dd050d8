// Bytes on their way through streams: looked at, told to people, compared.
import { type FileHandle, open } from 'node:fs/promises'
import { currentJob } from 'celeriac'

/** Stands in a pipeline and passes on what comes. */
export type Pass = (chunks: AsyncIterable<Buffer>) => AsyncGenerator<Buffer>

export const lookAt = (look: (chunk: Buffer) => void): Pass =>
  async function* (chunks) {
    for await (const chunk of chunks) {
      look(chunk)
      yield chunk
    }
  }

/** Tells the job how many bytes of `total` have gone by, through all pipelines that it stands in. */
export function tellProgress(total: number): Pass {
  const tell = progressOf(total)
  return lookAt((chunk) => tell(chunk.length))
}

/** The function to be told of more bytes that are done. */
export function progressOf(total: number): (bytes: number) => void {
  const job = currentJob()
  let done = 0
  return (bytes) => {
    done += bytes
    job.progress(done, total, `${formatBytes(done)} of ${formatBytes(total)}`)
  }
}

export function formatBytes(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`
  return bytes < 1_000_000 ? `${(bytes / 1_000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`
}

/** Are two files the same, byte by byte? */
export async function areSame(one: string, other: string, tell: (bytes: number) => void): Promise<boolean> {
  const files: FileHandle[] = []
  try {
    files.push(await open(one), await open(other))
    return await compare(files[0]!, files[1]!, tell)
  } finally {
    for (const file of files) await file.close()
  }
}

async function compare(one: FileHandle, other: FileHandle, tell: (bytes: number) => void): Promise<boolean> {
  const [left, right] = [Buffer.alloc(65_536), Buffer.alloc(65_536)]
  for (;;) {
    const [a, b] = await Promise.all([one.read(left), other.read(right)])
    const isSame = left.subarray(0, a.bytesRead).equals(right.subarray(0, b.bytesRead))
    if (!isSame || a.bytesRead === 0) return isSame
    tell(a.bytesRead)
  }
}
