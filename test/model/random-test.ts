import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { expect, onTestFailed } from 'vitest'

/** Where random tests keep what they are playing and what failed, one file a test. Git ignores it. */
const folder = 'random-tests'

/** How long a failure is made smaller, in milliseconds: each try plays on a new store, and there may be thousands. */
const shrinkTime = 30_000

let progress = ''

/** Records how far the play at work has come, for the case that it never ends. */
export const reached = (where: string): void => void (progress = where)

/**
 * Plays `count` drawn values, as `fc.assert` does. A play that is broken off or times out leaves behind what repeats it: the seed
 * and the path of the play at work are in a file before it begins. A failure is printed and kept there at once, before it
 * is made smaller.
 *
 * `CELERIAC_SEED=… CELERIAC_PATH=… npx vitest run --project contract test/model` repeats a play on a new store, and goes
 * on from there. A failure that needs the plays before it on the same store is repeated by the seed alone. `CELERIAC_PLAYS=…`
 * plays another number of values.
 *
 * @example
 * await checkAlways(arbitrarySteps, 1_000, async (steps) => expect(await play(steps)).toEqual([]))
 */
export async function checkAlways<T>(
  arbitrary: fc.Arbitrary<T>,
  count: number,
  body: (value: T) => Promise<void>,
): Promise<void> {
  const { CELERIAC_SEED, CELERIAC_PATH: path, CELERIAC_PLAYS } = process.env
  const seed = Number(CELERIAC_SEED ?? Math.floor(Math.random() * 2 ** 31))
  const first = Number.parseInt(path ?? '0', 10)
  const record = recordOf(expect.getState().currentTestName ?? 'a test')
  let plays = 0
  let value: T | null = null
  let shrinkUntil: number | null = null
  const repeat = (): string => `CELERIAC_SEED=${seed} CELERIAC_PATH=${path ?? first + plays - 1}`

  // A test that times out fails while its play is still at work.
  onTestFailed(() => {
    if (shrinkUntil === null) record.keep(`${repeat()} did not end. It had reached: ${progress}`, value)
  })
  await fc.assert(
    fc.asyncProperty(arbitrary, async (drawn) => {
      if (shrinkUntil !== null && performance.now() > shrinkUntil) return
      value = drawn
      if (shrinkUntil === null) plays++
      reached('its beginning')
      if (shrinkUntil === null) record.begin(`${repeat()} is at work, or was broken off.`)
      try {
        await body(drawn)
      } catch (error) {
        record.keep(`${repeat()} failed at ${progress}: ${String(error)}`, drawn)
        shrinkUntil ??= performance.now() + shrinkTime
        throw error
      }
    }),
    { numRuns: Number(CELERIAC_PLAYS ?? count), seed, ...(path !== undefined && { path }) },
  )
  record.remove()
}

/** The file of a test. */
function recordOf(name: string) {
  const file = fileOf(name)
  let first: string | null = null
  const write = (...texts: readonly string[]): void => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(file, `${[name, ...texts].join('\n\n')}\n`)
  }
  return {
    begin: write,
    /** The first is printed as well. The smallest so far stands below it. */
    keep(what: string, value: unknown): void {
      const text = `${what}\n${inspect(value, { depth: null, breakLength: 120, maxArrayLength: null })}`
      write(...(first === null ? [] : [first]), text)
      if (first === null) console.error(`${name}\n${text}\nThis is kept in ${file}.`)
      first ??= text
    },
    remove: () => rmSync(file, { force: true }),
  }
}

/** The file that a test of this name keeps its play in. */
export const fileOf = (name: string): string => join(folder, `${name.replace(/[^\w-]+/g, '-').slice(0, 120)}.txt`)
