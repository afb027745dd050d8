import { expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { alone, graphOf, submission } from '../fixtures/graphs.ts'
import { failed, hand, retried, succeeded } from '../fixtures/hand.ts'
import { onEveryEngine, type Store } from '../fixtures/store.ts'

const long = JSON.stringify(['x'.repeat(5_000), 'The needle, far behind'])

onEveryEngine((open) => {
  const furnished = async (): Promise<Store> => {
    const store = await open()
    const chain = graphOf(
      {
        'files.Copy': { feeds: 0, args: '["C:\\\\temp","50% off_now"]', options: { tags: ['Big "one"', 'ümlaut'] } },
        'files.move': { behind: 0, feeds: 1, args: '[{"path":"/srv/été"}]' },
      },
      [{}, {}],
    )
    const labelled = graphOf({ label: { args: '["*","a.b","%d+"]' } })
    const broken = alone('breaks')
    await store.engine.submit([
      submission(chain),
      submission(labelled, {
        description: 'Two\nlines, "quoted" \\ Été',
        tags: ['from-submission'],
        actor: { id: 'ann' },
      }),
      submission(graphOf({ long: { args: long } })),
      submission(broken, { actor: { id: 'bob' } }),
      submission(alone('mended', { retry: { limit: 1, base: 1, factor: 1, max: 1, jitter: false } })),
    ])
    const worker = await hand(store.engine)
    await worker.drain((job) =>
      job.task === 'breaks'
        ? failed('ECONNREFUSED\n"shop"')
        : job.task === 'mended'
          ? retried(1, 'Mended Later')
          : succeeded(1),
    )
    return store
  }
  const found = async (engine: Engine, text: string, more = {}): Promise<string[]> => {
    const { items } = await engine.jobs({ text, limit: 50, ...more })
    return items.map(({ task }) => task).toSorted()
  }

  test('finds what stands in the task, description, tags, arguments or failure', async () => {
    const { engine } = await furnished()
    for (const [text, tasks] of [
      ['files.', ['files.Copy', 'files.move']],
      ['quoted', ['label']],
      ['from-sub', ['label']],
      ['ümlaut', ['files.Copy']],
      ['/srv/', ['files.move']],
      ['far behind', ['long']],
      ['econnref', ['breaks']],
      ['nowhere', []],
    ] as const)
      expect([text, await found(engine, text)]).toEqual([text, tasks])
  })

  test('tells no small letters of ASCII from capital ones, and all others', async () => {
    const { engine } = await furnished()
    expect(await found(engine, 'FILES.cOPY')).toEqual(['files.Copy'])
    expect(await found(engine, 'NEEDLE')).toEqual(['long'])
    expect(await found(engine, 'été')).toEqual(['files.move'])
    expect(await found(engine, 'ÉTÉ')).toEqual([])
    expect(await found(engine, 'Été')).toEqual(['label'])
    expect(await found(engine, 'ÜMLAUT')).toEqual([])
  })

  test('nothing in it stands for anything else', async () => {
    const { engine } = await furnished()
    for (const [text, tasks] of [
      ['%', ['files.Copy', 'label']],
      ['50% off_now', ['files.Copy']],
      ['5_%', []],
      ['off.now', []],
      ['f*copy', []],
      ['"*"', ['label']],
      ['a.b', ['label']],
      ['%d+', ['label']],
      ['%d', ['label']],
      ['[a-z]', []],
      ['^files', []],
      ['files.copy$', []],
      ["'", []],
      ['a\0b', []],
    ] as const)
      expect([text, await found(engine, text)]).toEqual([text, tasks])
  })

  test('arguments, tags and failures are looked at as JSON text, a description as it is', async () => {
    const { engine } = await furnished()
    for (const [text, tasks] of [
      ['["C:\\\\temp","50', ['files.Copy']],
      ['C:\\temp', []],
      ['big \\"one\\"', ['files.Copy']],
      ['big "one"', []],
      ['\\"shop\\"', ['breaks']],
      ['two\nlines, "quoted" \\', ['label']],
      ['two\\nlines', []],
      ['econnrefused\\n', ['breaks']],
      ['lines\\', []],
    ] as const)
      expect([text, await found(engine, text)]).toEqual([text, tasks])
  })

  test('what is not told of a job is not found', async () => {
    const { engine, clock } = await furnished()
    // Names of what is kept, and how.
    const [one] = (await engine.jobs({ task: 'label', limit: 1 })).items
    for (const text of ['default', one!.id, 'retry', 'jitter', String(one!.createdAt), 'ann'])
      expect([text, await found(engine, text)]).toEqual([text, []])
    expect(await found(engine, 'mended later')).toEqual(['mended'])
    clock.pass(1)
    await (await hand(engine)).drain()
    expect(await found(engine, 'mended later')).toEqual([])
  })

  test('fits together with other filters, and with pages', async () => {
    const { engine } = await furnished()
    expect(await found(engine, 'e', { actor: 'bob' })).toEqual(['breaks'])
    expect(await found(engine, 'label', { states: ['failed'] })).toEqual([])
    expect(await found(engine, 'files', { task: '*move' })).toEqual(['files.move'])
    expect(await found(engine, '')).toHaveLength(6)
    const tasks: string[] = []
    for (let cursor: string | null | undefined; cursor !== null;) {
      const page = await engine.jobs({ text: 'FILES', limit: 1, ...(cursor !== undefined && { cursor }) })
      tasks.push(...page.items.map(({ task }) => task))
      cursor = page.next
    }
    expect(tasks).toEqual(['files.move', 'files.Copy'])
  })
})
