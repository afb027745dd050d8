import { Buffer } from 'node:buffer'
import { crc32, deflateSync } from 'node:zlib'
import { type Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { decodePng, encodePng } from '../../examples/studio/png.ts'
import { resize } from '../../examples/studio/resize.ts'
import { seededRandom } from '../fixtures/clock.ts'
import { inBrowser } from './browser.ts'

const [width, height] = [23, 17]
const random = seededRandom(5)
const drawn = (length: number): Buffer => Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)))

/** What the browser sees in a PNG. */
async function seenIn(page: Page, png: Buffer): Promise<Buffer> {
  const seen = await page.evaluate<number[]>(`(async () => {
    const bytes = Uint8Array.fromBase64('${png.toString('base64')}')
    const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }))
    const pen = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d')
    pen.drawImage(bitmap, 0, 0)
    return [...pen.getImageData(0, 0, bitmap.width, bitmap.height).data]
  })()`)
  return Buffer.from(seen)
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data])
  const ends = Buffer.alloc(8)
  ends.writeUInt32BE(data.length, 0)
  ends.writeUInt32BE(crc32(body), 4)
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)])
}

/** A PNG of any kind, of pixels drawn by chance, with rows filtered in all ways. */
function pngOf(kind: number, depth: number, samples: number): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([depth, kind, 0, 0, 0], 8)
  const stride = Math.ceil((width * samples * depth) / 8)
  const rows = Array.from({ length: height }, (_, y) => {
    const row = drawn(stride)
    const hasOpacity = kind >= 4
    // A browser multiplies by opacity, and back with losses: all of it can be seen, or nothing.
    if (hasOpacity) {
      const size = (samples * depth) / 8
      for (let x = 0; x < width; x++) row.fill(x % 3 === 0 ? 0 : 255, (x + 1) * size - depth / 8, (x + 1) * size)
    }
    return Buffer.concat([Buffer.from([hasOpacity ? 0 : y % 5]), row])
  })
  const palette = kind === 3 ? [chunk('PLTE', drawn(3 * 2 ** depth))] : []
  const data = chunk('IDAT', deflateSync(Buffer.concat(rows)))
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([signature, chunk('IHDR', header), ...palette, data, chunk('IEND', Buffer.alloc(0))])
}

/** Of what cannot be seen, the colour is nobody's concern. */
const visible = (pixels: Buffer): number[] => Array.from(pixels, (one, n) => (pixels[n - (n % 4) + 3] === 0 ? 0 : one))

inBrowser(({ open }) => {
  describe('the studio’s PNGs', () => {
    it.each([
      ...[1, 2, 4, 8, 16].map((depth) => [0, depth, 1] as const),
      [2, 8, 3],
      [2, 16, 3],
      ...[1, 2, 4, 8].map((depth) => [3, depth, 1] as const),
      [4, 8, 2],
      [6, 8, 4],
      [6, 16, 4],
    ] as const)('kind %i, %i bits: are read as a browser reads them', async (kind, depth, samples) => {
      const page = await open('about:blank')
      const png = pngOf(kind, depth, samples)
      const { pixels } = await decodePng(png, () => {})
      const [own, seen] = [visible(pixels), visible(await seenIn(page, png))]
      expect(own.length).toBe(seen.length)
      // Of 16 bits a browser may round what is cut off here.
      const farthest = Math.max(...own.map((one, n) => Math.abs(one - seen[n]!)))
      expect(farthest).toBeLessThanOrEqual(depth === 16 ? 1 : 0)
    })

    it('are written so that a browser reads what was meant', async () => {
      const page = await open('about:blank')
      const pixels = drawn(width * height * 4).map((one, n) => (n % 4 === 3 ? 255 : one)) as Buffer
      expect(await seenIn(page, await encodePng({ width, height, pixels }))).toEqual(Buffer.from(pixels))
    })
  })
})

it('a picture that is made smaller keeps its mean, and one that is small is left as it is', async () => {
  const pixels = Buffer.from(
    [
      [0, 0, 0, 255],
      [100, 100, 100, 255],
      [200, 0, 0, 255],
      [255, 255, 255, 0],
    ].flat(),
  )
  const smaller = await resize({ width: 4, height: 1, pixels }, 2, () => {})
  // What is clear has no colour to give.
  expect({ ...smaller, pixels: [...smaller.pixels] }).toEqual({
    width: 2,
    height: 1,
    pixels: [50, 50, 50, 255, 200, 0, 0, 128],
  })
  expect((await resize({ width: 4, height: 1, pixels }, 100, () => {})).pixels.subarray(0, 12)).toEqual(
    pixels.subarray(0, 12),
  )
})

it.each([
  ['is no PNG', Buffer.from('GIF89a')],
  ['is cut off', pngOf(2, 8, 3).subarray(0, 200)],
  ['is damaged', pngOf(2, 8, 3).map((one, n) => (n === 60 ? one ^ 1 : one)) as Buffer],
])('what %s is refused in words', async (words, bytes) => {
  await expect(decodePng(bytes, () => {})).rejects.toThrow(words.replace('is ', ''))
})
