import { expect, test } from 'vitest'
import type { GraphJob } from '../../src/core/graph.ts'
import type { CollectionsQuery, JobsQuery } from '../../src/engine/inspect.ts'
import { alone, graphOf, groupOf, plainJob, submission } from '../fixtures/graphs.ts'
import { continued, failed, hand, succeeded } from '../fixtures/hand.ts'
import { countRequests, readAnswers } from '../fixtures/requests.ts'
import { onEveryEngine, type Store } from '../fixtures/store.ts'

/** A store looks through its rows where they are: what a filter leaves out is not carried to the client. */

const retry = { limit: 1, base: 1, factor: 1, max: 1, jitter: false } as const

/** 3,000 jobs of Bob, alone and in collections, that failed, succeeded or were never begun. */
async function fill({ engine }: Store): Promise<void> {
  const labels = { actor: { id: 'bob' }, description: 'bobs', tags: ['bobs', 'a,b'] }
  const options = { tags: ['bobs', 'a,b'], queue: 'bobs', retry }
  const job = (): GraphJob => ({ ...plainJob('bobs'), options })
  const ones = Array.from({ length: 1_000 }, () => submission(alone('bobs', options), labels))
  const groups = Array.from({ length: 10 }, () =>
    submission(
      {
        ...groupOf(),
        jobs: Array.from({ length: 200 }, () => ({ ...job(), feeds: 0 })),
        barriers: [{ inputs: 200, feeds: null, gate: null }],
        exit: 0,
      },
      labels,
    ),
  )
  await engine.submit(ones)
  await engine.submit(groups)
  const worker = await hand(engine, { queues: ['bobs'] })
  for (const [at, taken] of (await worker.claim(100)).entries())
    await worker.settle(taken, at % 2 === 0 ? failed('bobs') : succeeded('bobs'))
}

/** None of these is so. */
const filters: Readonly<Record<string, Omit<JobsQuery, 'limit'>>> = {
  state: { states: ['cancelled'] },
  task: { task: 'ann*' },
  queue: { queue: 'ann' },
  actor: { actor: 'ann' },
  tag: { tag: 'ann' },
  'a tag that stands in others': { tag: ',' },
  'a tag that is an actor': { tag: 'bob' },
  text: { text: 'ann' },
  'a text that is the name of an option': { text: 'jitter' },
  'a text that is an actor': { text: 'bob"' },
  instant: { createdBefore: 1 },
}

onEveryEngine((open) => {
  test('of the jobs and collections that a filter leaves out none is carried', async () => {
    const store = await open()
    const { engine } = store
    await fill(store)
    const answers = readAnswers()
    const carried = (): number => answers().filter((answer) => answer.includes('bobs')).length
    const carriedBy = async (ask: () => Promise<unknown>): Promise<number> => {
      const before = carried()
      await ask()
      return carried() - before
    }
    const look = async (which: string, ask: () => Promise<{ readonly items: readonly unknown[] }>): Promise<void> => {
      expect([which, await carriedBy(ask)]).toEqual([which, 0])
      expect([which, (await ask()).items]).toEqual([which, []])
    }
    for (const [which, filter] of Object.entries(filters)) await look(which, () => engine.jobs({ limit: 1, ...filter }))
    const ofCollections: readonly Omit<CollectionsQuery, 'limit'>[] = [
      { state: 'cancelled' },
      { actor: 'ann' },
      { tag: 'ann' },
      { tag: ',' },
      { tag: 'bob' },
      { createdBefore: 1 },
    ]
    for (const filter of ofCollections)
      await look(`collections ${JSON.stringify(filter)}`, () => engine.collections({ limit: 1, ...filter }))
    await look('nobody', () => engine.jobs({ limit: 1, actor: 'ann', tag: 'bobs', text: 'bobs' }))
    // What is found is.
    expect(await carriedBy(() => engine.jobs({ limit: 1, actor: 'bob' }))).toBeGreaterThan(0)
    expect(await carriedBy(() => engine.collections({ limit: 1, actor: 'bob' }))).toBeGreaterThan(0)
  })

  test('whoever and whatever is looked for, it is found by all of its name and by nothing else', async () => {
    const { engine } = await open()
    const odd = ['a', 'a,b', 'a"],["b', '[a]', '\\', '"', 'a\\', '"tags":["x"]', '☃', '\u007f/', 'null', '}']
    const named = odd.map((name, at) => ({ name, actor: `${name} of ${odd[odd.length - 1 - at]!}` }))
    await engine.submit(
      named.flatMap(({ name, actor }) => [
        submission(alone('alone'), { actor: { id: actor }, description: name, tags: [name, 'all'] }),
        submission(graphOf({ member: { feeds: 0, options: { retry, tags: ['all', name] } } }, [{}]), {
          actor: { id: actor },
          description: name,
          tags: ['all', name],
          callback: { url: 'https://x.test/?"tags":["none"]', results: 'exit' },
        }),
        // Its tags are those of its options.
        submission(alone('own', { tags: [name], retry })),
        submission(alone('bare'), { description: name }),
      ]),
    )
    const tasksOf = async (query: Omit<JobsQuery, 'limit'>): Promise<string[]> =>
      (await engine.jobs({ limit: 200, ...query })).items.map(({ task }) => task).toSorted()
    for (const { name, actor } of named) {
      expect([name, await tasksOf({ tag: name })]).toEqual([name, ['alone', 'member', 'own']])
      expect([name, await tasksOf({ actor })]).toEqual([name, ['alone', 'member']])
      expect([name, await tasksOf({ actor, tag: name })]).toEqual([name, ['alone', 'member']])
      expect([name, await tasksOf({ actor: name })]).toEqual([name, []])
      const { items } = await engine.collections({ limit: 200, tag: name })
      expect([name, items.map(({ tags }) => tags.includes(name))]).toEqual([name, [true, true, true]])
      expect((await engine.collections({ limit: 200, actor })).items).toHaveLength(2)
    }
    expect(await tasksOf({ tag: 'all' })).toHaveLength(2 * odd.length)
    expect((await engine.collections({ limit: 200, tag: 'all' })).items).toHaveLength(2 * odd.length)
    for (const tag of ['none', 'x', 'b', 'al', 'all"', '"all"', 'member', 'tags'])
      expect([tag, await tasksOf({ tag })]).toEqual([tag, []])
  })

  test('what a job alone continued as is of whoever asked for that job', async () => {
    const { engine } = await open()
    await engine.submit([submission(alone('outer'), { actor: { id: 'ann' }, tags: ['outer'] })])
    const worker = await hand(engine)
    await worker.settle(await worker.take(), continued(groupOf('inner')))
    const { items } = await engine.jobs({ limit: 10, actor: 'ann' })
    expect(items.map(({ task }) => task)).toEqual(['inner', 'outer'])
    expect((await engine.jobs({ limit: 10, actor: 'bob' })).items).toEqual([])
    expect((await engine.jobs({ limit: 10, tag: 'outer' })).items.map(({ task }) => task)).toEqual(['outer'])
  })
})

onEveryEngine(
  (open) => {
    test('Redis is asked as often for what a filter leaves out as it takes to go through it', async () => {
      const store = await open()
      await fill(store)
      const { engine } = store
      const requests = countRequests()
      const asked: Record<string, number> = {}
      for (const [which, filter] of Object.entries(filters)) {
        const before = requests()
        await engine.jobs({ limit: 1, ...filter })
        asked[which] = requests() - before
      }
      // The last number; two windows of 2,000, the first time sent twice, for the server does not know the script.
      const most = Math.max(...Object.values(asked))
      expect(most).toBeLessThanOrEqual(5)
      const before = requests()
      await engine.collections({ limit: 1, actor: 'ann' })
      expect(requests() - before).toBeLessThanOrEqual(4)
    })
  },
  ['redis'],
)
