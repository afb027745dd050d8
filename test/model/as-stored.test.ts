import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type CanvasValue, nodeOf } from '../../src/canvas/canvas.ts'
import { partsOf } from '../../src/app/parts.ts'
import { submitTerms } from '../../src/core/call-options.ts'
import type { JobOptions, SubmitOptions } from '../../src/core/options.ts'
import { chain, group, named } from '../fixtures/drawing.ts'
import { describeEngines } from '../fixtures/store.ts'
import { arbitraryCanvas } from './arbitrary-canvas.ts'
import { checkAlways } from './random-test.ts'
import { createWorld } from './world.ts'

const start: fc.Arbitrary<JobOptions> = fc.constantFrom(
  {},
  { startIn: 0 },
  { startIn: 5_000 },
  { startAt: new Date(Date.UTC(2025, 0, 1)) },
  { startAt: new Date(Date.UTC(2100, 0, 1)) },
)
const others: fc.Arbitrary<JobOptions> = fc.record(
  {
    queue: fc.constantFrom('default', 'shop'),
    priority: fc.integer({ min: -3, max: 3 }),
    tags: fc.subarray(['a', 'b', 'c']),
  },
  { requiredKeys: [] },
)
const jobOptions = fc.tuple(start, others).map(([one, other]) => ({ ...one, ...other }))
const ofSubmission: fc.Arbitrary<SubmitOptions> = fc.record(
  {
    description: fc.constantFrom('Furnish an office'),
    actor: fc.constantFrom({ id: 'ann' }),
    callback: fc.record({
      url: fc.constantFrom('https://example.org/called'),
      results: fc.constantFrom('none' as const, 'exit' as const, 'all' as const),
    }),
  },
  { requiredKeys: [] },
)
const options = fc.tuple(jobOptions, ofSubmission).map(([one, other]) => ({ ...one, ...other }))

/** Any canvas, alone or before and behind a job that has options of its own. */
const canvas = fc
  .tuple(arbitraryCanvas(), jobOptions, fc.constantFrom('alone', 'before', 'behind'))
  .map(([one, own, where]) => {
    const other = named('id', own)
    if (where === 'alone') return one
    return (where === 'before' ? chain(one, other.s()) : chain(other.s(1), one)) as CanvasValue
  })

describeEngines(({ place, pace }) => {
  test('a collection that was just stored is told as the store tells it', { timeout: 120_000 }, async () => {
    const { app, engine, close } = createWorld(await place())
    let [told, left] = [0, 0]
    await checkAlways(fc.tuple(canvas, options), 300 * pace, async ([{ node }, given]) => {
      const submitted = await partsOf(app).submit(node, submitTerms(given, 'submit'))
      const { cursor: _, shape: __, ...found } = (await engine.collection(submitted.id))!
      const asStored = await submitted.asStored()
      if (asStored) expect(asStored).toEqual(found)
      if (asStored) told++
      else left++
      await engine.remove(submitted.id)
    })
    // Where an empty group is decided at once, only the store can tell.
    expect(told).toBeGreaterThan(left)
    await close()
  })

  test('one of very many jobs is told as the store tells it, within the same bounds', { timeout: 60_000 }, async () => {
    const { app, engine, close } = createWorld(await place())
    const any = app.task('any', (...values: readonly unknown[]) => values.length)
    const calls = (count: number, text: string) => group(...Array.from({ length: count }, () => any.s(text)))
    const tags = Array.from({ length: 32 }, (_, n) => String(n).padEnd(60, 'x'))
    const large = [
      chain(calls(300, ''), calls(300, ''), calls(300, '')),
      chain(calls(1_100, ''), calls(50, '')),
      group(calls(50, 'x'.repeat(100_000)), calls(50, 'short')),
    ].map((one) => [one as CanvasValue, {}] as const)
    for (const [one, given] of [...large, [calls(5_000, '') as CanvasValue, { tags }] as const]) {
      const submitted = await partsOf(app).submit(nodeOf(one, 'test'), submitTerms(given, 'submit'))
      const { cursor: _, shape: __, ...found } = (await engine.collection(submitted.id))!
      const asStored = (await submitted.asStored())!
      // What is stored by several requests is let go after the last.
      const fixed = (job: (typeof found.jobs)[number]) => ({ ...job, state: null, version: null })
      expect(asStored.jobs.length).toBe(found.jobs.length)
      // The first that differs: all of them are megabytes, and take minutes to print.
      const differing = found.jobs.findIndex((job, n) => !isDeepStrictEqual(fixed(job), fixed(asStored.jobs[n]!)))
      expect([asStored.jobs[differing], differing]).toEqual([found.jobs[differing], -1])
      // 40 characters for each id.
      const size = asStored.jobs.reduce(
        (sum, job) => sum + 40 * job.after.length + job.args.length + job.tags.join().length,
        0,
      )
      expect(size).toBeLessThan(7 * 1024 * 1024)
    }
    await close()
  })

  test('what was there before is not told as if it were new', async () => {
    const { app, close } = createWorld(await place())
    const add = app.task('one.add', (x: number, y: number) => x + y)
    const terms = submitTerms({ idempotencyKey: 'k' }, 'submit')
    const first = await partsOf(app).submit(nodeOf(add.s(1, 2), 'test'), terms)
    const again = await partsOf(app).submit(nodeOf(add.s(1, 2), 'test'), terms)
    expect(again.id).toBe(first.id)
    expect([(await first.asStored())?.id, await again.asStored()]).toEqual([first.id, null])
    await close()
  })
})
