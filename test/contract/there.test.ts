import { expect, test } from 'vitest'
import { alone, submission } from '../fixtures/graphs.ts'
import { onEveryEngine } from '../fixtures/store.ts'

onEveryEngine((open) => {
  test('a store is there once it was made, and asking does not make it', async () => {
    const { engine, second } = await open()
    expect(await engine.isThere()).toBe(false)
    const other = second()
    expect(await other.isThere()).toBe(false)
    expect((await engine.migrate()).from).toBe(0)
    expect(await engine.isThere()).toBe(true)
    expect(await other.isThere()).toBe(true)
    expect(await second().isThere()).toBe(true)
  })

  test('it is made by what is first stored in it', async () => {
    const { engine, second } = await open()
    expect(await engine.isThere()).toBe(false)
    await engine.submit([submission(alone())])
    expect(await second().isThere()).toBe(true)
  })
})
