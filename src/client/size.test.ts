import { gzipSync } from 'node:zlib'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { bundle } from '../../test/fixtures/bundle.ts'

it.each([
  { name: 'client.ts', most: 5_376 },
  // With the client.
  { name: 'element/element.ts', most: 14_592 },
])('$name stands alone in a page, in at most $most bytes compressed', async ({ name, most }) => {
  const code = await bundle(fileURLToPath(new URL(name, import.meta.url)))
  expect(code).not.toMatch(/\bimport\b|\brequire\b|\bprocess\b|\bBuffer\b|node:|ZodType/)
  expect(gzipSync(code).length).toBeLessThan(most)
})
