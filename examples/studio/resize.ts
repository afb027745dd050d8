// Makes pictures smaller: each new pixel is the mean of those that it covers.
import type { Picture, Rows } from './png.ts'

/** A picture is never made larger than it is. */
export async function resize(picture: Picture, width: number, rows: Rows): Promise<Picture> {
  const scale = Math.max(1, picture.width / width)
  const size = { width: Math.round(picture.width / scale), height: Math.max(1, Math.round(picture.height / scale)) }
  const pixels = Buffer.alloc(size.width * size.height * 4)
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      const [left, right] = spanOf(x, size.width, picture.width)
      const [top, bottom] = spanOf(y, size.height, picture.height)
      mean(picture, { left, right, top, bottom }, pixels, (y * size.width + x) * 4)
    }
    await rows(y + 1, size.height)
  }
  return { ...size, pixels }
}

/** What the n-th of `count` parts of a length covers: at least one. */
function spanOf(n: number, count: number, length: number): [from: number, to: number] {
  const from = Math.floor((n * length) / count)
  return [from, Math.max(from + 1, Math.floor(((n + 1) * length) / count))]
}

interface Box {
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
}

/** What cannot be seen through counts; of what is clear, the colour does not. */
function mean({ width, pixels }: Picture, { left, right, top, bottom }: Box, into: Buffer, at: number): void {
  let [red, green, blue, opacity] = [0, 0, 0, 0]
  for (let y = top; y < bottom; y++) {
    for (let from = (y * width + left) * 4; from < (y * width + right) * 4; from += 4) {
      const weight = pixels[from + 3]!
      red += pixels[from]! * weight
      green += pixels[from + 1]! * weight
      blue += pixels[from + 2]! * weight
      opacity += weight
    }
  }
  if (opacity === 0) return
  into[at] = Math.round(red / opacity)
  into[at + 1] = Math.round(green / opacity)
  into[at + 2] = Math.round(blue / opacity)
  into[at + 3] = Math.round(opacity / ((right - left) * (bottom - top)))
}
