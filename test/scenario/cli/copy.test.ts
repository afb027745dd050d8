import { rowKinds } from '../../../src/engine/transfer.ts'
import { Celeriac, chain, group } from 'celeriac'
import { Worker } from 'celeriac/worker'
import { afterEach, describe, expect, it } from 'vitest'
import { displayWidth } from '../../../src/cli/text.ts'
import { engines, type Place } from '../../engines.ts'
import { type Ran, runHere, type RunOptions } from '../../fixtures/command-line.ts'
import { startCommand } from '../../fixtures/command-process.ts'
import { describeEngines } from '../../fixtures/store.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const celeriac = (args: readonly string[], options: RunOptions = {}): Promise<Ran> => runHere(args, options)

async function keep(place: Place): Promise<Place> {
  closing.push(() => place.remove())
  return place
}

/** An app with tasks, on the store at this url. */
function shop(url: string) {
  const app = new Celeriac({ url })
  closing.push(() => app.close())
  const add = app.task('math.add', (x: number, y: number) => x + y)
  const sum = app.task('math.sum', (all: number[]) => all.reduce((one, other) => one + other, 0))
  return { app, add, sum }
}

/** 10,000 jobs: 500 groups of 18 with a sum behind them, and 500 alone. */
async function fill(url: string): Promise<readonly string[]> {
  const { app, add, sum } = shop(url)
  const ids: string[] = []
  for (let n = 0; n < 500; n += 50) {
    const canvases = Array.from({ length: 50 }, (_, k) =>
      chain(group(...Array.from({ length: 18 }, (_, at) => add.s(n + k, at))), sum.s()),
    )
    ids.push(...(await app.submitMany(canvases)).map(({ id }) => id))
    await add.delayMany(Array.from({ length: 50 }, () => [1, 1]))
  }
  await app.close()
  return ids
}

describeEngines((from) => {
  for (const to of engines) {
    describe.skipIf(to.missing !== null)(`to ${to.name}`, () => {
      it('copies 10,000 jobs though it is killed again and again, and they run at the target', async () => {
        const [source, target] = [await keep(await from.place()), await keep(await to.place())]
        const ids = await fill(source.url)
        const args = ['copy', '--from', source.url, '--to', target.url]
        for (const percent of [/\((1|2)\d%\)/, /\((4|5)\d%\)/, /\((7|8)\d%\)/]) {
          const command = startCommand(args)
          await command.says(percent)
          command.process.kill('SIGKILL')
          expect(await command.ended).toBe(null)
          expect((await celeriac(['jobs', '--url', source.url])).err).toMatch(/\(STORE_MOVED\)/)
          expect((await celeriac(['jobs', '--url', target.url])).err).toMatch(/\(STORE_UNSUITABLE\)/)
        }
        const { code, out } = await celeriac(args)
        expect(code).toBe(0)
        expect(out).toMatch(/\njobs +10,000 +10,000 +✓\njobs waiting +500 +500 +✓\njobs queued +9,500 +9,500 +✓\n/)
        const { app } = shop(target.url)
        const worker = new Worker(app, { concurrency: 200 })
        await worker.start()
        const results = await Promise.all(ids.map(async (id) => (await app.collection(id)).result()))
        await worker.stop()
        expect(results).toEqual(ids.map((_, n) => 18 * n + 153))
        expect((await app.jobs.list({ state: 'queued' })).items).toEqual([])
      }, 120_000)
    })
  }

  it('tells what it counted, on 80 columns, and how far it is', async () => {
    const [source, target] = [await keep(await from.place()), await keep(await from.place())]
    await shop(source.url).add.delay(1, 2)
    const output = { isTTY: true, columns: 80, rows: 24 }
    const args = ['copy', '--from', source.url, '--to', target.url]
    const { code, out, err } = await celeriac(args, { output, environment: { NO_COLOR: '1' } })
    expect(code).toBe(0)
    expect(out).toMatch(/█{24} {2}[\d,]+ of [\d,]+ rows {2}API keys and secrets +100%/)
    const table = out.slice(out.indexOf('counted')).trimEnd().split('\n')
    expect(table[0]).toMatch(/^counted +source +target$/)
    // Its heading, and the one state that jobs are in.
    expect(table).toHaveLength(rowKinds.length + 2)
    for (const line of table) expect(displayWidth(line)).toBeLessThanOrEqual(80)
    expect(err).toMatch(/^Copied\. The source is closed from now on: start everything with the new url\.\n$/)
    expect((await celeriac(args)).err).toMatch(/^This was copied before/)
  })

  it('answers with JSON', async () => {
    const [source, target] = [await keep(await from.place()), await keep(await from.place())]
    await shop(source.url).add.delay(1, 2)
    const { out, err } = await celeriac(['copy', '--from', source.url, '--to', target.url, '--json'])
    expect(JSON.parse(out)).toMatchObject({ state: 'copied' })
    expect(JSON.parse(out).rows).toContainEqual({ what: 'jobs', source: 1, target: 1 })
    expect(err).toBe('')
  })

  it('stops at ctrl-C and goes on, or is given up', async () => {
    const [source, target] = [await keep(await from.place()), await keep(await from.place())]
    await shop(source.url).add.delay(1, 2)
    const args = ['copy', '--from', source.url, '--to', target.url]
    const output = { isTTY: true }
    const ran = await celeriac(args, { output, onInterrupt: (press) => press() })
    expect(ran).toMatchObject({ code: 130, err: expect.stringMatching(/^Stopped\. The same command goes on/) })
    expect((await celeriac(['jobs', '--url', source.url])).code).toBe(1)
    expect(await celeriac([...args, '--undo'])).toMatchObject({ code: 0, out: '' })
    expect((await celeriac(['jobs', '--url', source.url])).code).toBe(0)
    expect((await celeriac(args)).code).toBe(0)
    expect(await celeriac([...args, '--undo'])).toMatchObject({ code: 1, err: expect.stringMatching(/add --force/) })
    expect((await celeriac(['copy', '--from', source.url, '--undo', '--force'])).code).toBe(0)
    expect((await celeriac(['jobs', '--url', source.url])).code).toBe(0)
  })

  it('refuses while a worker lives', async () => {
    const [source, target] = [await keep(await from.place()), await keep(await from.place())]
    const { app, add } = shop(source.url)
    await add.delay(1, 2)
    const worker = new Worker(app, { name: 'wanda' })
    await worker.start()
    const ran = await celeriac(['copy', '--from', source.url, '--to', target.url])
    await worker.stop()
    expect(ran).toMatchObject({ code: 1, err: expect.stringMatching(/worker wanda .* stop all workers/) })
    expect((await celeriac(['copy', '--from', source.url, '--to', target.url])).code).toBe(0)
  })

  it('refuses to copy nothing, and closes nothing', async () => {
    const [source, target] = [await keep(await from.place()), await keep(await from.place())]
    expect((await celeriac(['migrate', '--url', source.url])).code).toBe(0)
    const ran = await celeriac(['copy', '--from', source.url, '--to', target.url])
    expect(ran).toMatchObject({ code: 1, err: expect.stringMatching(/There is nothing in .* check what --from names/) })
    expect((await celeriac(['jobs', '--url', source.url])).code).toBe(0)
  })

  it('is told of by doctor while a store is closed', async () => {
    const [source, target] = [await keep(await from.place()), await keep(await from.place())]
    await shop(source.url).add.delay(1, 2)
    await celeriac(['copy', '--from', source.url, '--to', target.url])
    const { code, out } = await celeriac(['doctor', '--url', source.url])
    expect(code).toBe(1)
    expect(out.replaceAll(/\n +/g, ' ')).toMatch(
      /✗ store +it cannot be opened → What was in this store has been copied to /,
    )
  })
})

describe('what is written wrongly', () => {
  it.each([
    [[], /^error: Say what is to be copied/],
    [['--from', 'sqlite:a.db'], /^error: Say where it is to be copied/],
    [['--from', 'sqlite:a.db', '--to', 'sqlite:b.db', '--force'], /^error: --force goes with --undo/],
    [['--from', 'sqlite::memory:', '--to', 'sqlite:b.db'], /^error: --from: what is in memory ends with this process/],
    [['--from', 'mysql://a', '--to', 'sqlite:b.db'], /^error: .* \(BAD_URL\)\n$/],
  ])('copy %j', async (args, message) => {
    const ran = await celeriac(['copy', ...args])
    expect(ran).toMatchObject({ code: 2, out: '' })
    expect(ran.err).toMatch(message)
  })

  it('tells of a source that is not there', async () => {
    const ran = await celeriac(['copy', '--from', 'sqlite:/nowhere/a.db', '--to', 'sqlite:/nowhere/b.db'])
    expect(ran).toMatchObject({ code: 1, err: expect.stringMatching(/There is no store at \/nowhere\/a\.db, so/) })
  })
})
