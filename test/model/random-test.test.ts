import { existsSync, readFileSync, rmSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { checkAlways, fileOf, reached } from './random-test.ts'

const ownFile = (): string => fileOf(expect.getState().currentTestName as string)
const kept = (): string => readFileSync(ownFile(), 'utf8')

test('what repeats a play is in a file before it begins, and is gone when all went well', async () => {
  const seen: string[] = []
  await checkAlways(fc.nat(), 3, async () => void seen.push(kept()))
  const repeats = seen.map((text) => /CELERIAC_SEED=\d+ CELERIAC_PATH=(\d+)/.exec(text)?.[1])
  expect(repeats).toEqual(['0', '1', '2'])
  expect(existsSync(ownFile())).toBe(false)
})

test('a failure is printed before it is made smaller, and kept with the smallest', async () => {
  const printed = vi.spyOn(console, 'error').mockImplementation(() => {})
  let failures = 0
  const failing = checkAlways(fc.array(fc.nat(), { minLength: 5 }), 100, async (list) => {
    reached(`number ${list.length}`)
    if (list.length <= 6) return
    if (++failures > 1) expect(printed).toHaveBeenCalledOnce()
    throw new Error('too long')
  })
  await expect(failing).rejects.toThrow('Property failed')
  const [text] = printed.mock.calls[0] as [string]
  printed.mockRestore()
  expect(text).toMatch(/CELERIAC_SEED=\d+ CELERIAC_PATH=\d+ failed at number \d+: Error: too long\n\[/)
  expect(kept()).toContain(text.split('\n')[1])
  expect(kept()).toContain('failed at number 7: ')
  rmSync(ownFile())
})
