import { describe, expect, test } from 'vitest'
import { chain, compiled, counter, group, named } from '../../test/fixtures/drawing.ts'
import type { StoredOptions } from '../core/job.ts'
import type { JobOptions } from '../core/options.ts'
import { noOptions, storedOptions } from '../core/stored-options.ts'
import { compileContinuation, type CompileContext } from './compile.ts'

const [a, b, c] = ['a', 'b', 'c'].map((name) => named(name)) as [any, any, any]

const stored = (options: JobOptions): StoredOptions => storedOptions(options, 'test')

function optionsOf(canvas: unknown, context: Partial<CompileContext> = {}): readonly StoredOptions[] {
  return compiled(canvas, context).jobs.map(({ options }) => options)
}

describe('options', () => {
  test('of one call come before the nearest canvas, outer canvases, the submission and the task', () => {
    const everywhere = { queue: 'task', priority: 1, timeout: 1, expires: 1, retention: 1 }
    const context = {
      options: stored({ queue: 'submission', priority: 2, timeout: 2, expires: 2 }),
      defaultsOf: () => stored(everywhere),
    }
    const call = named('a', { queue: 'call' }).s()
    const inner = chain(call).with({ queue: 'inner', priority: 4 })
    const [options] = optionsOf(group(inner).with({ queue: 'outer', priority: 3, timeout: 3 }), context)
    expect(options).toEqual({ queue: 'call', priority: 4, timeout: 3, expires: 2, retention: 1 })
  })

  test('given to a canvas reach its jobs, except where one has its own', () => {
    const canvas = chain(a.s(), b.s().with({ queue: 'y' })).with({ queue: 'x', priority: 3 })
    expect(optionsOf(canvas)).toEqual([
      { queue: 'x', priority: 3 },
      { queue: 'y', priority: 3 },
    ])
  })

  test('given twice to one canvas fill in what the first left open', () => {
    expect(optionsOf(a.s().with({ queue: 'x' }).with({ queue: 'y', priority: 1 }))).toEqual([
      { queue: 'x', priority: 1 },
    ])
  })

  test('startIn and startAt hold back the entries of their canvas alone', () => {
    const inner = chain(b.s(), c.s()).with({ startIn: 7 })
    const canvas = chain(group(a.s(), chain(b.s(), c.s())), inner).with({ startIn: 300, queue: 'x' })
    expect(compiled(canvas).jobs.map(({ task, options }) => [task, options.startIn, options.queue])).toEqual([
      ['a', 300, 'x'],
      ['b', 300, 'x'],
      ['c', undefined, 'x'],
      ['b', 7, 'x'],
      ['c', undefined, 'x'],
    ])
    expect(optionsOf(chain(group(), a.s()).with({ startIn: 300 }))).toEqual([{ startIn: 300 }])
    expect(optionsOf(a.s().with({ startAt: 5 }), { options: stored({ startIn: 300 }) })).toEqual([{ startAt: 5 }])
  })

  test('side branches take over what says where and how long, not how the canvas is tried or timed', () => {
    const all: JobOptions = { queue: 'x', priority: 3, tags: ['t'], retention: '1d' }
    const canvas = a.s().onError(chain(b.s(), c.s().with({ queue: 'y' })))
    const jobs = optionsOf(canvas.with({ ...all, expires: 1, timeout: 1, startIn: 1, retry: { limit: 5 } }))
    expect(jobs.slice(1)).toEqual([stored(all), { ...stored(all), queue: 'y' }])
  })

  test('a returned canvas takes them over only where neither it nor the task says anything', () => {
    const parent = stored({
      queue: 'p',
      priority: 9,
      tags: ['t'],
      retention: 5,
      timeout: 1,
      expires: 1,
      retry: { limit: 1 },
    })
    const context = {
      newId: counter(),
      defaultsOf: (task: string) => (task === 'a' ? stored({ queue: 'of the task' }) : noOptions),
    }
    const canvas = chain(a.s(), b.s().with({ priority: 1 }))
    const { jobs } = compileContinuation(canvas.node, { role: 'main', options: parent }, context)
    expect(jobs.map(({ options }) => options)).toEqual([
      { queue: 'of the task', priority: 9, tags: ['t'], retention: 5 },
      { queue: 'p', priority: 1, tags: ['t'], retention: 5 },
    ])
  })
})
