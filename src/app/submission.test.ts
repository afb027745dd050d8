import { expect, it } from 'vitest'
import { Celeriac } from './celeriac.ts'

it('refuses an address to call back, and stores nothing', async () => {
  await using app = new Celeriac({ url: 'sqlite::memory:' })
  const greet = app.task('greet', (name: string) => `Hello ${name}`)
  await expect(app.submit(greet.s('you'), { callbackUrl: 'https://a.example/' })).rejects.toMatchObject({
    code: 'UNSUPPORTED',
  })
  expect((await app.collections.list()).items).toEqual([])
})
