import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { packageVersion } from './version.ts'

test('is that of package.json', () => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  expect(JSON.parse(text)).toMatchObject({ version: packageVersion })
})
