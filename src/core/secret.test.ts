import { expect, test } from 'vitest'
import { keyOf, newSecret, readSecrets } from './secret.ts'

const secretOf = (bytes: number): string => `whsec_${btoa('k'.repeat(bytes))}`

test('a new secret is 32 random bytes', () => {
  const secret = newSecret({ randomBytes: (into) => into.forEach((_, n) => (into[n] = 255 - n)) })
  expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
  expect(keyOf(secret)).toEqual(Uint8Array.from({ length: 32 }, (_, n) => 255 - n))
})

test.each([24, 25, 26, 32, 64])('a key may have %i bytes', (bytes) => {
  expect(keyOf(secretOf(bytes))).toEqual(new Uint8Array(bytes).fill(107))
})

test.each([
  ['too short', secretOf(23)],
  ['too long', secretOf(65)],
  ['empty', ''],
  ['only a prefix', 'whsec_'],
  ['no prefix', secretOf(32).slice(6)],
  ['another prefix', `whsk_${secretOf(32).slice(6)}`],
  ['spaces', `whsec_ ${secretOf(32).slice(6)}`],
  ['a line break', `${secretOf(32)}\n`],
  ['no padding', secretOf(32).replace('=', '')],
  ['the alphabet of urls', `whsec_${btoa('\xff'.repeat(32)).replaceAll('/', '_')}`],
  ['not even a text', 5],
])('a secret is refused that is: %s', (_, secret) => {
  expect(keyOf(secret)).toBeNull()
  expect(() => readSecrets([secretOf(32), secret], 'secrets')).toThrow(
    expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringContaining('secrets[1]: a secret is whsec_') }),
  )
})

test('a list of secrets is wanted, each named once, and an error never repeats one', () => {
  const [one, two] = [secretOf(32), secretOf(33)]
  expect(readSecrets([one, two, one], 'secrets')).toEqual([one, two])
  const refusals = [one, [], Array.from({ length: 11 }, () => one), [`${one}!`]]
  for (const given of refusals) {
    expect(() => readSecrets(given, 'secrets')).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION', message: expect.not.stringContaining(one) as string }),
    )
  }
})
