import { Celeriac, CeleriacError, chain, chord, each, group } from 'celeriac'
import { accepted, createHandler, serve } from 'celeriac/http'
import { postgres } from 'celeriac/postgres'
import { redis } from 'celeriac/redis'
import { sqlite } from 'celeriac/sqlite'
import { Worker } from 'celeriac/worker'
import { expect, onTestFinished, test } from 'vitest'

const traps = Reflect.ownKeys(Reflect).filter((name) => typeof Reflect[name as 'get'] === 'function')

/** An object that throws a number whatever is done with it. */
const hostile = (target: object = {}): never =>
  new Proxy(
    target,
    Object.fromEntries(
      traps.map((trap) => [
        trap,
        () => {
          throw 8 as unknown as Error
        },
      ]),
    ),
  ) as never

function revoked(): never {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy as never
}

async function open() {
  const app = new Celeriac({ url: 'sqlite::memory:' })
  onTestFinished(async () => app.close())
  const add = app.task('add', (x: number, y: number) => x + y)
  const job = await add.delay(1, 2)
  const collection = await app.submit(group(add.s(1, 2), add.s(3, 4)))
  return { app, add, job, collection }
}

type Opened = Awaited<ReturnType<typeof open>>

/** Every place that takes an object of the user's. */
const places: Readonly<Record<string, (given: never, opened: Opened) => unknown>> = {
  'new Celeriac': (given) => new Celeriac(given),
  'new Celeriac: callbacks': (given) => new Celeriac({ callbacks: given }),
  'new Celeriac: engine': (given) => new Celeriac({ engine: given }),
  'app.task': (given, { app }) => app.task('other', given, () => 1),
  'app.task: retry': (given, { app }) => app.task('other', { retry: given }, () => 1),
  'app.task: unique': (given, { app }) => app.task('other', { unique: given }, () => 1),
  'app.task: tags': (given, { app }) => app.task('other', { tags: given }, () => 1),
  'app.task: accepts': (given, { app }) => app.task('other', { accepts: given }, () => 1),
  'app.task: input': (given, { app }) => app.task('other', { input: given }, (() => 1) as never),
  'task.with': (given, { add }) => add.with(given).delay(1, 2),
  'task.with: actor': (given, { add }) => add.with({ actor: given }).delay(1, 2),
  'task.with: within': (given, { add }) => add.with({ within: given }).delay(1, 2),
  'task.s().with': (given, { app, add }) => app.submit(add.s(1, 2).with(given)),
  'task.s': (given, { app, add }) => app.submit(add.s(given, 2)),
  'task.delay': (given, { add }) => add.delay(given, 2),
  'task.delayMany': (given, { add }) => add.delayMany(given),
  'task.delayMany: one': (given, { add }) => add.delayMany([given]),
  'app.submit': (given, { app }) => app.submit(given),
  'app.submit: options': (given, { app, add }) => app.submit(add.s(1, 2), given),
  'app.submit: callback': (given, { app, add }) => app.submit(add.s(1, 2), { callback: given }),
  'app.submit: callbackUrl': (given, { app, add }) => app.submit(add.s(1, 2), { callbackUrl: given }),
  'app.submit: unique': (given, { app, add }) => app.submit(add.s(1, 2), { unique: given }),
  'app.submitMany': (given, { app }) => app.submitMany(given),
  'app.submitMany: one': (given, { app }) => app.submitMany([given] as never),
  'app.submitMany: options': (given, { app, add }) => app.submitMany([add.s(1, 2)], given),
  'app.jobs.list': (given, { app }) => app.jobs.list(given),
  'app.jobs.list: tag': (given, { app }) => app.jobs.list({ tag: given }),
  'app.collections.list': (given, { app }) => app.collections.list(given),
  'job.retry': (given, { job }) => job.retry(given),
  'job.result': (given, { job }) => job.result(given),
  'job.events': async (given, { job }) => job.events(given)[Symbol.asyncIterator]().next(),
  'collection.retry': (given, { collection }) => collection.retry(given),
  'collection.result': (given, { collection }) => collection.result(given),
  'collection.token': (given, { collection }) => collection.token(given),
  'collection.events': async (given, { collection }) => collection.events(given)[Symbol.asyncIterator]().next(),
  chain: (given, { app, add }) => app.submit(chain(add.s(1, 2), given) as never),
  group: (given, { app }) => app.submit(group(given) as never),
  'chord: body': (given, { app, add }) => app.submit(chord([add.s(1, 2)], given)),
  'chord: list': (given, { app, add }) => app.submit(chord(given, add.s(1) as never) as never),
  each: (given, { app, add }) => app.submit(each(add.s(1) as never, given) as never),
  onError: (given, { app, add }) => app.submit(add.s(1, 2).onError(given)),
  sqlite: (given) => sqlite(given),
  postgres: (given) => postgres(given),
  redis: (given) => redis(given),
  'new Worker': (given, { app }) => new Worker(app, given),
  'new Worker: app': (given) => new Worker(given),
  'new Worker: queues': (given, { app }) => new Worker(app, { queues: given }),
  'worker.stop': (given, { app }) => new Worker(app).stop(given),
  createHandler: (given, { app }) => createHandler(app, given),
  'createHandler: app': (given) => createHandler(given),
  'createHandler: auth': (given, { app }) => createHandler(app, { auth: given }),
  'createHandler: jwt': (given, { app }) => createHandler(app, { auth: { jwt: given } }),
  'createHandler: origins': (given, { app }) => createHandler(app, { origins: given }),
  serve: (given, { app }) => serve(app, given),
  accepted: (given, { collection }) => accepted(collection, given),
}

const objects: Readonly<Record<string, () => never>> = {
  'a proxy whose traps throw': () => hostile(),
  'a list whose traps throw': () => hostile([]),
  'a function whose traps throw': () => hostile(() => 1),
  'a proxy that was revoked': revoked,
}

test.each(Object.entries(places))('%s refuses in words what throws when it is looked at', async (place, give) => {
  const opened = await open()
  for (const [sort, make] of Object.entries(objects)) {
    const thrown = await (async () => give(make(), opened))().then(
      () => 'nothing',
      (error: unknown) => error,
    )
    if (thrown === 'nothing' && takesAnything.has(`${place}, ${sort}`)) continue
    expect(thrown, `${place}, ${sort}`).toBeInstanceOf(CeleriacError)
    expect((thrown as Error).message).not.toMatch(/undefined|\[object/)
  }
})
/** A function makes the engine, and runs when the store is opened. */
const takesAnything = new Set(['new Celeriac: engine, a function whose traps throw'])
