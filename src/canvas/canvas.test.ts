import { describe, expect, test } from 'vitest'
import { chain, chord, each, group, named } from '../../test/fixtures/drawing.ts'
import type { CeleriacError } from '../core/errors.ts'
import { jsonText, resultLimits } from '../core/json.ts'
import { kind } from '../core/kind.ts'
import { isCanvas, isTask, nodeOf } from './canvas.ts'
import { defineTask } from './definition.ts'
import { words } from './fit.ts'
import { createTask, type Sender } from './task.ts'

const [a, b] = ['a', 'b'].map((name) => named(name)) as [any, any]
const nobody: Sender = { send: () => Promise.reject(new Error()), sendMany: () => Promise.reject(new Error()) }
const task = createTask(
  defineTask('task', {}, (x: number) => x),
  nobody,
) as any

describe('a canvas', () => {
  test('never changes: every method gives another one', () => {
    const members = [a.s(1)]
    const canvas = group(...members)
    const before = JSON.stringify(canvas)
    const others = [
      canvas.with({ queue: 'x' }),
      canvas.failFast(),
      canvas.onSuccess(b.s()),
      canvas.onError(b.s()),
      canvas.finally(b.s()),
      chain(canvas, b.s()),
    ]
    members.push(b.s())
    expect(JSON.stringify(canvas)).toBe(before)
    expect(new Set([before, ...others.map((other) => JSON.stringify(other))]).size).toBe(7)
  })

  test('keeps the arguments as they were when it was described', () => {
    const list = [1]
    const canvas = task.s(list)
    list.push(2)
    expect(canvas.toJSON().args).toEqual([[1]])
  })

  test('of a call knows its task; groups alone can fail fast, whatever was put on them', () => {
    expect(task.s(1).task).toBe('task')
    expect(task.s(1).with({}).onError(a.s()).task).toBe('task')
    expect(group(a.s()).onError(b.s()).with({}).failFast().toJSON().failFast).toBe(true)
    expect([a.s().failFast, chain(a.s()).failFast, chord([a.s()], b.s()).failFast]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })

  test('is told from everything else, and cannot be an argument or part of a result', () => {
    expect([isCanvas(a.s()), isCanvas(task), isCanvas({}), isCanvas(null)]).toEqual([true, false, false, false])
    expect([isTask(task), isTask(task.with({})), isTask(a.s()), isTask(() => 1)]).toEqual([true, true, false, false])
    expect(() => a.s(b.s())).toThrow('JSON cannot carry args[0]: it is a canvas')
    expect(() => jsonText([b.s()], 'result', resultLimits)).toThrow('JSON cannot carry result[0]: it is a canvas')
    expect(() => a.s({ then: task })).toThrow('JSON cannot carry args[0].then: it is a task')
  })

  test('made by another copy of the package is one too', () => {
    const foreign = { [kind]: 'canvas', toJSON: () => a.s(1).toJSON() }
    expect(nodeOf(foreign, 'here')).toEqual(a.s(1).node)
  })
})

describe('chord', () => {
  test('is a chain of a group and a body, and keeps what was put on the group', () => {
    expect(chord([a.s(1), b.s(2)], a.s())).toEqual(chain(group(a.s(1), b.s(2)), a.s()))
    expect(chord(group(a.s(1)).failFast(), a.s())).toEqual(chain(group(a.s(1)).failFast(), a.s()))
    expect(chord([], a.s())).toEqual(chain(group(), a.s()))
  })
})

describe('what is no canvas is refused in the words of the compiler', () => {
  const promise = Promise.resolve()
  const cases: [string, () => unknown, string][] = [
    ['a task', () => chain(a.s(), task), `argument 2 of chain: ${words.taskNotCalled}`],
    ['a task with options', () => group(task.with({})), `argument 1 of group: ${words.taskNotCalled}`],
    ['a plain function', () => chain(() => 1), `argument 1 of chain: ${words.plainFunction}`],
    ['a list', () => group([a.s()]), `argument 1 of group: ${words.notSpread}`],
    ['a promise', () => chain(a.s(), promise), `argument 2 of chain: ${words.alreadySent}`],
    ['a result', () => chain(task(1), b.s()), `argument 1 of chain: ${words.notACanvas}`],
    ['nothing', () => each(undefined), `each: ${words.notACanvas}`],
    ['a task for a branch', () => a.s().onError(task), `onError: ${words.taskNotCalled}`],
    ['another', () => a.s().onSuccess({}), `onSuccess: ${words.notACanvas}`],
    ['and another', () => a.s().finally(null), `finally: ${words.notACanvas}`],
    ['a call for a header', () => chord(a.s(), b.s()), `chord: ${words.notAHeader}`],
    ['a task in a header', () => chord([a.s(), task], b.s()), `header[1] of chord: ${words.taskNotCalled}`],
    ['a task for a body', () => chord([], task), `the body of chord: ${words.taskNotCalled}`],
  ]
  test.each(cases)('%s', (_, act, message) => {
    expect(errorOf(act)).toMatchObject({ code: 'NOT_A_CANVAS', message })
  })

  test('an empty chain', () => {
    expect(errorOf(() => chain(...[]))).toMatchObject({ code: 'EMPTY_CHAIN' })
  })

  test('options that name one submission, or nothing', () => {
    expect(errorOf(() => a.s().with({ idempotencyKey: 'k' }))).toMatchObject({ code: 'BAD_OPTION' })
    expect(errorOf(() => a.s().with({ priorty: 1 }))).toMatchObject({ code: 'BAD_OPTION' })
    expect(errorOf(() => a.s().with({ startIn: '5 minutes' }))).toMatchObject({ code: 'BAD_DURATION' })
  })
})

test('each reads a task as its s(), with its options', () => {
  expect(each(task)).toEqual(each(task.s()))
  expect(each(task.with({ queue: 'x' }), { chunk: 2 })).toEqual(each(task.with({ queue: 'x' }).s(), { chunk: 2 }))
})

function errorOf(act: () => unknown): Pick<CeleriacError, 'code' | 'message'> {
  try {
    act()
  } catch (error) {
    const { code, message } = error as CeleriacError
    return { code, message }
  }
  throw new Error('it did not throw')
}
