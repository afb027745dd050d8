import { expect, it } from 'vitest'
import { publicUrl } from './public-url.ts'

it.each([
  ['sqlite:celeriac.db?mode=fast', 'sqlite:celeriac.db?mode=fast'],
  ['postgres://shop:secret@db:5432/shop', 'postgres://shop@db:5432/shop'],
  ['postgres://shop:se%2Fcr@et@db/shop?schema=jobs&size=3', 'postgres://shop@db/shop?schema=jobs'],
  ['postgres://db/shop?user=a&password=secret&sslkey=secret', 'postgres://db/shop'],
  ['redis://:secret@host:6379/0?namespace=a&timeout=5000ms', 'redis://host:6379/0?namespace=a'],
  ['rediss://user:secret@[::1]/0#secret', 'rediss://user@[::1]/0'],
  ['postgres://user:sec/ret@db:5432/shop', 'postgres:…'],
  ['postgres://user:secret@db:notaport/shop', 'postgres:…'],
  ['secret', '…'],
])('%s is shown as %s', (url, shown) => expect(publicUrl(url)).toBe(shown))
