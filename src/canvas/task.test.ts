import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { CallTerms } from '../core/call-options.ts'
import type { CeleriacError } from '../core/errors.ts'
import type { JobHandle } from '../core/handle.ts'
import type { TaskOptions } from '../core/options.ts'
import { declareTask, defineTask, type TaskDefinition } from './definition.ts'
import type { Handler } from './handler.ts'
import { createTask, type Call, type Sender } from './task.ts'

interface Sent extends Call {
  readonly task: string
}

/** Keeps what is sent; the handle it answers with is the call. */
function outbox(): Sender & { readonly requests: (readonly Sent[])[] } {
  const requests: (readonly Sent[])[] = []
  const keep = (definition: TaskDefinition, calls: readonly Call[]): JobHandle<any>[] => {
    const sent = calls.map((call) => ({ task: definition.name, ...call }))
    requests.push(sent)
    return sent as unknown as JobHandle<any>[]
  }
  return {
    requests,
    send: (definition, args: string, terms: CallTerms) => Promise.resolve(keep(definition, [{ args, terms }])[0]!),
    sendMany: (definition, calls) => Promise.resolve(keep(definition, calls)),
  }
}

function taskOf(handler: Handler, options: TaskOptions & { input?: unknown } = {}, sender: Sender = outbox()): any {
  return createTask(defineTask('math.add', options, handler), sender)
}

const add = (x: number, y: number): number => x + y

describe('a task', () => {
  test('is still the function, under its own name, and leaves that function as it was', () => {
    const task = taskOf(add)
    expect(task(2, 3)).toBe(5)
    expect([task.name, task.length, add.name]).toEqual(['math.add', 2, 'add'])
    expect(Reflect.ownKeys(add)).toEqual(['length', 'name'])
    const counter = {
      count: 3,
      bump: taskOf(function (this: { count: number }) {
        return this.count
      }),
    }
    expect(counter.bump()).toBe(3)
  })

  test('sends its arguments as text, and the options given to the call', async () => {
    const sender = outbox()
    const task = taskOf(add, { queue: 'shop' }, sender)
    await task.delay(1, 2)
    await task
      .with({ priority: 5, startIn: '5m' })
      .with({ priority: 6, startAt: 9, description: 'why' })
      .delay(3, undefined)
    expect(sender.requests).toEqual([
      [{ task: 'math.add', args: '[1,2]', terms: { job: {} } }],
      [{ task: 'math.add', args: '[3]', terms: { job: { priority: 6, startAt: 9 }, description: 'why' } }],
    ])
  })

  test('sends many in one request, and none of them where one is refused', async () => {
    const sender = outbox()
    const task = taskOf(add, {}, sender)
    const handles = await task.delayMany([
      [1, 2],
      [3, 4],
    ])
    expect(handles.map(({ args }: Sent) => args)).toEqual(['[1,2]', '[3,4]'])
    await expect(
      task.delayMany([
        [1, 2],
        [new Date(), 4],
      ]),
    ).rejects.toMatchObject({ code: 'NOT_JSON' })
    await expect(task.delayMany([1, 2])).rejects.toMatchObject({ code: 'BAD_ARGUMENT' })
    await expect(
      task.with({ idempotencyKey: 'k' }).delayMany([
        [1, 2],
        [3, 4],
      ]),
    ).rejects.toMatchObject({ code: 'BAD_OPTION' })
    expect(sender.requests.length).toBe(1)
  })

  test('refuses what JSON cannot carry by a promise, never by throwing', async () => {
    const task = taskOf(add)
    await expect(task.delay(1, 2n)).rejects.toMatchObject({
      code: 'NOT_JSON',
      message: expect.stringContaining('args[1]'),
    })
    await expect(task.delay('x'.repeat(300_000))).rejects.toMatchObject({ code: 'TOO_LARGE' })
  })

  test('its methods stand alone, and with(…) gives what is not callable', async () => {
    const { delay, s } = taskOf(add)
    expect(s(1, 2).task).toBe('math.add')
    expect(await delay(1, 2)).toMatchObject({ args: '[1,2]' })
    expect(typeof taskOf(add).with({})).toBe('object')
  })

  test('its options reach what is described from them, but not those that name one call', () => {
    const task = taskOf(add).with({ queue: 'x' })
    expect(task.s(1).toJSON()).toEqual({ type: 'signature', task: 'math.add', args: [1], options: { queue: 'x' } })
    for (const one of [
      { idempotencyKey: 'k' },
      { unique: { key: 'k' } },
      { description: 'd' },
      { actor: { id: 'u' } },
      { within: { query() {} } as never },
    ]) {
      expect(codeOf(() => task.with(one).s(1))).toBe('BAD_OPTION')
      expect(codeOf(() => task.with(one).si(1, 2))).toBe('BAD_OPTION')
    }
  })

  test('computes its unique key from the arguments, unless the call has its own', async () => {
    const sender = outbox()
    const task = taskOf(add, { unique: { key: (x: number) => `k${x}` } }, sender)
    await task.delay(1, 2)
    await task.with({ unique: { key: 'own' } }).delay(1, 2)
    expect(sender.requests.flat().map(({ terms }) => terms.unique?.key)).toEqual(['k1', 'own'])
  })

  test('checks arguments by its schema before anything is sent, at once or later', async () => {
    const sender = outbox()
    const input = [z.string(), z.coerce.number()]
    const task = taskOf((text: string, count: number) => text + count, { input }, sender)
    await expect(task.delay(7, '5')).rejects.toMatchObject({ code: 'INVALID_ARGUMENTS' })
    const slow = taskOf((text: string) => text, { input: z.string().refine(async (text) => text === 'right') }, sender)
    await expect(slow.delay('wrong')).rejects.toMatchObject({ code: 'INVALID_ARGUMENTS' })
    await expect(slow.delayMany([['right'], ['wrong']])).rejects.toMatchObject({ code: 'INVALID_ARGUMENTS' })
    expect(sender.requests).toEqual([])
    await task.delay('a', '5')
    await slow.delay('right')
    expect(sender.requests.flat().map(({ args }) => args)).toEqual(['["a","5"]', '["right"]'])
  })
})

describe('a definition', () => {
  test.each([
    ['', 'empty'],
    ['x'.repeat(201), '200'],
    ['a\nb', 'control'],
    ['a\u0000', 'control'],
    ['\ud800', 'surrogate'],
    ['celeriac.each', "package's own"],
    [7, 'text'],
    [undefined, 'text'],
  ])('may not be called %j', (name, problem) => {
    expect(() => defineTask(name as string, {}, add)).toThrow(problem)
    expect(codeOf(() => declareTask(name as string))).toBe('BAD_ARGUMENT')
  })

  test.each(['constructor', '__proto__', 'hasOwnProperty', 'tables.buy', 'größe 1', 'x'.repeat(200)])(
    'may be called %s',
    (name) => {
      expect(createTask(defineTask(name, {}, add), outbox()).name).toBe(name)
    },
  )

  test('needs a function, a schema that is one, and options that exist', () => {
    expect(codeOf(() => defineTask('x', {}, undefined as never))).toBe('BAD_ARGUMENT')
    expect(codeOf(() => defineTask('x', { input: { type: 'string' } }, add))).toBe('BAD_OPTION')
    expect(codeOf(() => defineTask('x', { input: [z.string(), 7] }, add))).toBe('BAD_OPTION')
    expect(codeOf(() => defineTask('x', { retries: 5 } as never, add))).toBe('BAD_OPTION')
  })

  test('of another service can be sent and described, but not run here', async () => {
    const task = createTask(declareTask('images.crop'), outbox()) as any
    expect(await task.delay(1)).toMatchObject({ task: 'images.crop' })
    expect(task.s(1).task).toBe('images.crop')
    expect(codeOf(() => task(1))).toBe('UNSUPPORTED')
  })
})

function codeOf(act: () => unknown): string | undefined {
  try {
    act()
  } catch (error) {
    return (error as CeleriacError).code
  }
  return undefined
}
