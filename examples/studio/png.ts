// PNG, read and written with what Node brings: https://www.w3.org/TR/png-3/
import { promisify } from 'node:util'
import { crc32, deflate, inflate } from 'node:zlib'

/** Four bytes for each pixel: red, green, blue, opacity. */
export interface Picture {
  readonly width: number
  readonly height: number
  readonly pixels: Buffer
}

/** Called now and then with how many rows are done; may take its time. */
export type Rows = (done: number, total: number) => Promise<void> | void

/** What was uploaded will not do, however often it is tried. */
export class BadPicture extends Error {
  override name = 'BadPicture'
}

interface Header {
  readonly width: number
  readonly height: number
  readonly depth: number
  readonly kind: number
}

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
/** How many samples a pixel has, by kind: grey, RGB, palette, grey with opacity, RGB with opacity. */
const samplesOf: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }
const mostPixels = 50_000_000

export const isPng = (bytes: Uint8Array): boolean => signature.equals(bytes.subarray(0, 8))

/** @throws BadPicture where it is no PNG, or one that is not read here */
export async function decodePng(bytes: Buffer, rows: Rows): Promise<Picture> {
  if (!isPng(bytes)) throw new BadPicture('This is no PNG.')
  const chunks = [...chunksOf(bytes)]
  const header = headerOf(chunks.find(({ type }) => type === 'IHDR')?.data)
  const { width, height, depth, kind } = header
  const bits = depth * samplesOf[kind]!
  const stride = Math.ceil((width * bits) / 8)
  const packed = Buffer.concat(chunks.filter(({ type }) => type === 'IDAT').map(({ data }) => data))
  const raw = await promisify(inflate)(packed, { maxOutputLength: (stride + 1) * height })
  if (raw.length < (stride + 1) * height) throw new BadPicture('The PNG is cut off: rows are missing.')
  const colour = colourReader(header, chunks)
  const pixels = Buffer.alloc(width * height * 4)
  let above: Uint8Array = new Uint8Array(stride)
  for (let y = 0; y < height; y++) {
    const start = y * (stride + 1)
    const row = raw.subarray(start + 1, start + 1 + stride)
    unfilter(raw[start]!, row, above, Math.max(1, bits >> 3))
    for (let x = 0; x < width; x++) colour(row, x, pixels, (y * width + x) * 4)
    above = row
    await rows(y + 1, height)
  }
  return { width, height, pixels }
}

export async function encodePng({ width, height, pixels }: Picture): Promise<Buffer> {
  const stride = width * 4
  const raw = Buffer.alloc((stride + 1) * height)
  let above: Uint8Array = new Uint8Array(stride)
  for (let y = 0; y < height; y++) {
    const row = pixels.subarray(y * stride, (y + 1) * stride)
    const { filter, filtered } = bestFilter(row, above)
    raw[y * (stride + 1)] = filter
    raw.set(filtered, y * (stride + 1) + 1)
    above = row
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 6, 0, 0, 0], 8)
  const packed = await promisify(deflate)(raw)
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', packed), chunk('IEND', Buffer.alloc(0))])
}

interface Chunk {
  readonly type: string
  readonly data: Buffer
}

function* chunksOf(bytes: Buffer): Generator<Chunk> {
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = bytes.readUInt32BE(at)
    const end = at + 8 + length
    if (end + 4 > bytes.length) throw new BadPicture('The PNG is cut off.')
    if (crc32(bytes.subarray(at + 4, end)) !== bytes.readUInt32BE(end)) throw new BadPicture('The PNG is damaged.')
    yield { type: bytes.toString('latin1', at + 4, at + 8), data: bytes.subarray(at + 8, end) }
    at = end + 4
  }
}

function chunk(type: string, data: Buffer): Buffer {
  const made = Buffer.alloc(data.length + 12)
  made.writeUInt32BE(data.length, 0)
  made.write(type, 4, 'latin1')
  data.copy(made, 8)
  made.writeUInt32BE(crc32(made.subarray(4, data.length + 8)), data.length + 8)
  return made
}

function headerOf(data: Buffer | undefined): Header {
  if (data?.length !== 13) throw new BadPicture('The PNG has no header.')
  const [width, height] = [data.readUInt32BE(0), data.readUInt32BE(4)]
  const [depth, kind, , , interlaced] = data.subarray(8) as unknown as readonly [number, number, number, number, number]
  if (samplesOf[kind] === undefined || ![1, 2, 4, 8, 16].includes(depth))
    throw new BadPicture('The PNG is of no kind known.')
  if (interlaced !== 0) throw new BadPicture('The PNG is interlaced, which this studio does not read: save it without.')
  if (width === 0 || height === 0) throw new BadPicture('The PNG is empty.')
  if (width * height > mostPixels) throw new BadPicture(`The PNG is too large: ${width} × ${height} pixels.`)
  return { width, height, depth, kind }
}

/** Reads the colour of the n-th pixel of a row. */
function colourReader({ depth, kind }: Header, chunks: readonly Chunk[]) {
  const palette = chunks.find(({ type }) => type === 'PLTE')?.data
  const opacities = chunks.find(({ type }) => type === 'tRNS')?.data
  if (kind === 3 && !palette) throw new BadPicture('The PNG has no palette.')
  const samples = samplesOf[kind]!
  const greatest = 2 ** Math.min(8, depth) - 1
  // Of 16 bits the upper 8 are kept.
  const sample = (row: Uint8Array, index: number): number =>
    depth >= 8
      ? row[(index * depth) >> 3]!
      : (row[(index * depth) >> 3]! >> (8 - depth - ((index * depth) & 7))) & greatest
  return (row: Uint8Array, x: number, into: Buffer, at: number): void => {
    const first = sample(row, x * samples)
    if (kind === 3) {
      for (let n = 0; n < 3; n++) into[at + n] = palette![first * 3 + n] ?? 0
      into[at + 3] = opacities?.[first] ?? 255
      return
    }
    const isGrey = kind === 0 || kind === 4
    for (let n = 0; n < 3; n++) {
      into[at + n] = ((isGrey ? first : sample(row, x * samples + n)) * 255) / greatest
    }
    into[at + 3] = kind >= 4 ? (sample(row, x * samples + samples - 1) * 255) / greatest : 255
  }
}

/** Puts back what was taken away from each byte: what stands left of it, above it, or between. */
function unfilter(filter: number, row: Uint8Array, above: Uint8Array, size: number): void {
  if (filter > 4) throw new BadPicture('The PNG is damaged.')
  for (let n = 0; n < row.length; n++) row[n] = row[n]! + predict(filter, row, above, n, size)
}

/** The filter that leaves the smallest numbers, which deflate to the least. */
function bestFilter(row: Uint8Array, above: Uint8Array): { readonly filter: number; readonly filtered: Uint8Array } {
  let best = { filter: 0, filtered: row, cost: Infinity }
  for (let filter = 0; filter <= 4; filter++) {
    const filtered = new Uint8Array(row.length)
    let cost = 0
    for (let n = 0; n < row.length; n++) {
      filtered[n] = row[n]! - predict(filter, row, above, n, 4)
      cost += filtered[n]! < 128 ? filtered[n]! : 256 - filtered[n]!
    }
    if (cost < best.cost) best = { filter, filtered, cost }
  }
  return best
}

function predict(filter: number, row: Uint8Array, above: Uint8Array, n: number, size: number): number {
  const left = n < size ? 0 : row[n - size]!
  const up = above[n]!
  if (filter === 0) return 0
  if (filter === 1) return left
  if (filter === 2) return up
  if (filter === 3) return (left + up) >> 1
  const corner = n < size ? 0 : above[n - size]!
  const toLeft = Math.abs(up - corner)
  const toUp = Math.abs(left - corner)
  const toCorner = Math.abs(left + up - 2 * corner)
  return toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner
}
