import { expect, it, test } from 'vitest'
import { chain, each, group } from 'celeriac'
import { appByHand } from '../../test/fixtures/app-by-hand.ts'
import { groupOf, plainJob } from '../../test/fixtures/graphs.ts'
import { hand } from '../../test/fixtures/hand.ts'
import { defineTask } from '../canvas/definition.ts'
import { jobsPerTurn } from '../core/by-pages.ts'
import { systemRuntime } from '../core/runtime.ts'
import { createRegistry } from './registry.ts'
import { checkArguments } from './submission.ts'

const callbackUrl = 'https://a.example/hook?token=1'

it('stores the address to call back with the collection, and a job that calls it', async () => {
  const { app } = appByHand()
  const greet = app.task('greet', { description: 'Greet', queue: 'polite', tags: ['x'] }, (name: string) => name)
  const canvases = [greet.s('you'), chain(greet.s('you'), greet.s()), group()]
  for (const canvas of canvases) {
    const collection = await app.submit(canvas, { callbackUrl })
    const { callbackUrl: stored, jobs } = await collection.snapshot()
    expect(stored).toBe(callbackUrl)
    expect(jobs.at(-1)).toMatchObject({ task: 'celeriac.callback', role: 'callback', args: [] })
  }
  expect((await app.jobs.list({ task: 'celeriac.callback' })).items.map(({ queue }) => queue)).toEqual([
    'default',
    'polite',
    'polite',
  ])
})

it('takes one for each of many, and nowhere is one where there was none', async () => {
  const { app } = appByHand()
  const greet = app.task('greet', (name: string) => name)
  for (const collection of await app.submitMany([greet.s('a'), greet.s('b')], { callbackUrl }))
    expect(await collection.snapshot()).toMatchObject({ callbackUrl, jobs: [{}, { role: 'callback' }] })
  expect((await (await app.submit(greet.s('you'))).snapshot()).jobs).toHaveLength(1)
})

it('calls back where all that is left of a canvas is an each', async () => {
  const { app } = appByHand()
  const greet = app.task('greet', (name: string) => name)
  const collection = await app.submit(chain(group(), each(greet.s())), { callbackUrl })
  expect((await collection.snapshot()).jobs.map(({ role }) => role)).toEqual(['main', 'callback'])
})

it('takes what a single call has from its task, with a callback as without', async () => {
  const { app } = appByHand()
  const unique = { key: (name: string) => name }
  const greet = app.task('greet', { description: 'Greet', tags: ['x'], unique }, (name: string) => name)
  const one = await app.submit(greet.s('you'), { callbackUrl })
  expect(await one.snapshot()).toMatchObject({ description: 'Greet', tags: ['x'] })
  expect((await app.submit(greet.s('you'), { callbackUrl })).id).toBe(one.id)
  expect((await app.submit(greet.s('you'))).id).toBe(one.id)
})

it('takes another address under the same idempotency key for something else', async () => {
  const { app } = appByHand()
  const greet = app.task('greet', (name: string) => name)
  const [key, other] = [{ idempotencyKey: 'k' }, { idempotencyKey: 'other' }]
  const one = await app.submit(greet.s('you'), { ...key, callbackUrl })
  expect((await app.submit(greet.s('you'), { ...key, callbackUrl })).id).toBe(one.id)
  expect((await app.submit(greet.s('you'), { ...key, callback: { url: callbackUrl, results: 'exit' } })).id).toBe(
    one.id,
  )
  const more = { ...key, callback: { url: callbackUrl, results: 'all' } } as const
  for (const options of [key, { ...key, callbackUrl: `${callbackUrl}2` }, more]) {
    await expect(app.submit(greet.s('you'), options)).rejects.toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
  }
  await app.submit(greet.s('you'), other)
  await expect(app.submit(greet.s('you'), { ...other, callbackUrl })).rejects.toMatchObject({
    code: 'IDEMPOTENCY_MISMATCH',
  })
})

test.each([
  'http://127.0.0.1/',
  'http://[::1]/',
  'http://2130706433/',
  'http://localhost:80/',
  'http://169.254.169.254/',
])('nothing is stored of what asks for %s to be called back', async (local) => {
  const { app } = appByHand()
  const greet = app.task('greet', (name: string) => name)
  const refusal = { code: 'BAD_OPTION', message: expect.stringContaining('is no public address') as string }
  await expect(app.submit(greet.s('you'), { callbackUrl: local })).rejects.toMatchObject(refusal)
  await expect(app.submitMany([greet.s('you')], { callbackUrl: local })).rejects.toMatchObject(refusal)
  expect((await app.collections.list()).items).toEqual([])
})

it('takes a host that is allowed by name', async () => {
  const { app, engine } = appByHand({}, { callbacks: { allow: ['localhost:4000'] } })
  const greet = app.task('greet', (name: string) => name)
  await app.submit(greet.s('you'), { callbackUrl: 'http://localhost:4000/' })
  await expect(app.submit(greet.s('you'), { callbackUrl: 'http://localhost:4001/' })).rejects.toThrow(
    'no public address',
  )
  const worker = await hand(engine)
  await worker.succeed(await worker.take('greet'))
  expect(await worker.take('celeriac.callback')).toMatchObject({ role: 'callback', input: { from: 'nothing' } })
})

test('the arguments of many calls are checked in several turns of the event loop', async () => {
  const registry = createRegistry()
  registry.add(defineTask('member', { expose: true }, () => undefined))
  let turns = 0
  const soon = (call: () => void): void => {
    turns++
    systemRuntime.soon(call)
  }
  const graph = (count: number) => ({
    ...groupOf('member'),
    jobs: Array.from({ length: count }, () => plainJob('member')),
  })
  const context = { registry, runtime: { ...systemRuntime, soon } }
  await checkArguments(context, graph(jobsPerTurn))
  expect(turns).toBe(0)
  await checkArguments(context, graph(3 * jobsPerTurn))
  expect(turns).toBe(2)
})
