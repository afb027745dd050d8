import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import axe from 'axe-core'
import { type Locator, type Page } from 'playwright-core'
import { expect, it, onTestFinished } from 'vitest'
import { ApiProblem, createClient } from 'celeriac/client'
import { encodePng } from '../../examples/studio/png.ts'
import { start, type Started } from '../fixtures/command-process.ts'
import { inBrowser } from './browser.ts'

const program = fileURLToPath(new URL('../../examples/studio/main.ts', import.meta.url))

/** The studio as one command starts it; it is stopped when the test is over. */
async function studio(slow = 0): Promise<Started & { readonly url: string; readonly workers: readonly number[] }> {
  const started = start([program], { env: { STUDIO_SLOW: String(slow) } })
  onTestFinished(async () => {
    started.process.kill('SIGINT')
    expect(await started.ended, started.said.err).toBe(0)
  })
  const url = (await started.says(/open: (\S+)/))[1]!
  const workers = [1, 2].map(async (n) => Number((await started.says(new RegExp(`Worker ${n} is process (\\d+)`)))[1]))
  return { ...started, url, workers: await Promise.all(workers) }
}

async function enter(page: Page, name: string): Promise<void> {
  await page.getByLabel('Name').fill(name)
  await page.getByRole('button', { name: 'Log in' }).click()
  // Asked from here: what waits inside the page is evaluated there, and the page's policy forbids that.
  await expect.poll(() => page.evaluate(`sessionStorage.getItem('token') !== null`), { timeout: 10_000 }).toBe(true)
}

const sendSample = (page: Page): Promise<void> => page.getByRole('button', { name: 'Use a sample' }).click()
const row = (page: Page, text: string | RegExp): Locator => page.getByRole('treeitem').filter({ hasText: text })
const chosen = (page: Page): string => new URL(page.url()).hash.slice(1)

inBrowser(({ open }) => {
  it('makes a picture in four sizes, shows how, also to one who comes back half-way, and gives them away', async () => {
    const { url } = await studio(20)
    const page = await open(url)
    await enter(page, 'Ann')
    await sendSample(page)
    await row(page, 'studio.decode')
      .getByText(/\d+ % · row/)
      .waitFor()
    const seen: number[] = []
    const bar = row(page, 'studio.decode').getByRole('progressbar')
    while (new Set(seen).size < 3) seen.push(Number(await bar.getAttribute('aria-valuenow')))
    expect(seen).toEqual(seen.toSorted((one, other) => one - other))
    await page.reload()
    await row(page, 'studio.resize')
      .nth(1)
      .getByText(/\d+ % · row/)
      .waitFor()
    await page.getByText('6 succeeded').waitFor()
    await page.locator('figure').nth(3).waitFor()
    expect(await page.locator('figcaption').allInnerTexts()).toEqual([
      expect.stringMatching(/^1200 × 800, \d+ kB$/),
      expect.stringMatching(/^800 × 533, \d+ kB$/),
      expect.stringMatching(/^400 × 267, \d+ kB$/),
      expect.stringMatching(/^200 × 133, \d+ kB$/),
    ])
    const widths = `[...document.querySelectorAll('#results img')].map((image) => image.decode().then(() => image.naturalWidth))`
    expect(await page.evaluate(`Promise.all(${widths})`)).toEqual([1200, 800, 400, 200])
    const downloading = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Download' }).click()
    const packed = await readFile(await (await downloading).path())
    for (const name of ['1200.png', '800.png', '400.png', '200.png']) expect(packed.includes(name)).toBe(true)
  })

  it('shows the second attempt when the process of a worker is killed half-way', async () => {
    const { url, says, said } = await studio(40)
    /** The processes that were worker `n`, one after the other. */
    const processes = (n: number): number[] =>
      [...said.out.matchAll(new RegExp(`Worker ${n} is process (\\d+)`, 'g'))].map(([, pid]) => Number(pid))
    const page = await open(url)
    await enter(page, 'Ann')
    await sendSample(page)
    await row(page, /studio.resize.*1200/)
      .getByText(/\d+ % · row/)
      .waitFor()
    await row(page, /studio.resize.*\b200\)/)
      .getByText(/\d+ % · row/)
      .waitFor()
    const [before, killed] = [processes(1).length, processes(1).at(-1)!]
    process.kill(killed, 'SIGKILL')
    await says(new RegExp(`(Worker 1 is process[^]*){${before + 1}}`))
    await row(page, 'studio.resize').getByText('attempt 2').first().waitFor()
    await page.getByText('6 succeeded').waitFor()
    const { jobs } = await page.evaluate<{ jobs: { attempt: number; task: string }[] }>(
      `fetch('/api/collections/${chosen(page)}', { headers: { authorization: 'Bearer ' + sessionStorage.getItem('token') } }).then((answer) => answer.json())`,
    )
    expect(jobs.filter(({ attempt }) => attempt === 2).length).toBeGreaterThan(0)
    // Whatever else may have ended a process is told by what it said.
    const deaths = processes(1).length + processes(2).length - 2
    expect(deaths, said.err).toBe(1)
    expect(jobs.every(({ attempt }) => attempt <= 1 + deaths)).toBe(true)
  })

  it('keeps two people apart: lists, events, pictures', async () => {
    const { url } = await studio()
    const [ann, bob] = [await open(url), await open(url)]
    await enter(ann, 'Ann')
    await enter(bob, 'Bob')
    const token = await bob.evaluate<string>(`sessionStorage.getItem('token')`)
    const client = createClient({ url, token })
    const events = client.followAll()[Symbol.asyncIterator]()
    expect((await events.next()).value).toMatchObject({ type: 'start' })
    await sendSample(ann)
    await ann.locator('figure').nth(3).waitFor()
    const id = chosen(ann)

    await expect(client.collection(id).read()).rejects.toMatchObject({ status: 404 } satisfies Partial<ApiProblem>)
    await expect(client.collection(id).cancel()).rejects.toMatchObject({ status: 404 })
    await expect(client.job((await ownJobs(ann, id))[0]!).read()).rejects.toMatchObject({ status: 404 })
    const headers = { authorization: `Bearer ${token}` }
    expect((await fetch(`${url}/pictures/${id}/pictures.zip`, { headers })).status).toBe(404)
    expect((await fetch(`${url}/pictures/${id}/pictures.zip`)).status).toBe(404)
    expect((await client.collections.list()).items).toEqual([])
    expect(await bob.getByText('None yet.').isVisible()).toBe(true)

    // Of all that has happened, the first that Bob is told of is his own.
    await sendSample(bob)
    await bob.locator('figure').nth(3).waitFor()
    expect((await events.next()).value).toMatchObject({ collection_id: chosen(bob) })
    await events.return?.()
    expect(await bob.locator('#list button').count()).toBe(1)
    await bob.goto(`${url}/#${id}`)
    await bob.reload()
    await bob.getByRole('alert').getByText('There is no collection').waitFor()
  })

  it('lists what there is with its time, its state and a small picture, and says why four are alike', async () => {
    const { url } = await studio()
    const page = await open(url)
    await enter(page, 'Ann')
    const small = await encodePng({ width: 300, height: 200, pixels: Buffer.alloc(300 * 200 * 4, 200) })
    await page.setInputFiles('#file', { name: 'small.png', mimeType: 'image/png', buffer: Buffer.from(small) })
    await page.locator('figure').nth(3).waitFor()
    expect(await page.locator('figcaption').allInnerTexts()).toEqual([
      ...[1200, 800, 400].map((width) =>
        expect.stringMatching(new RegExp(`^300 × 200, \\d+ kB\\s+not ${width}: the picture is no wider$`)),
      ),
      expect.stringMatching(/^200 × 133, \d+ kB$/),
    ])
    const item = page.locator('#list button').filter({ hasText: 'small.png' })
    await item.getByText('✓succeeded').waitFor()
    expect(await item.locator('time').getAttribute('datetime')).toMatch(/^\d{4}-/)
    expect(await item.locator('time').innerText()).toMatch(/\d/)
    await expect
      .poll(() => page.evaluate(`document.querySelector('#list img').naturalWidth`), { timeout: 10_000 })
      .toBe(200)
    const cut = Buffer.from('89504e470d0a1a0a0000000d4948445200000001', 'hex')
    await page.setInputFiles('#file', { name: 'cut.png', mimeType: 'image/png', buffer: cut })
    await page.locator('#list').getByText('✗failed').waitFor()
    const icon = await page.evaluate<string>(`document.querySelector('link[rel=icon]').href`)
    expect((await fetch(icon)).headers.get('content-type')).toContain('image/svg')
    await page.evaluate(axe.source)
    const { violations } = await page.evaluate<axe.AxeResults>(`axe.run()`)
    expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([])
  })

  it('shows why something that is no picture was refused', async () => {
    const { url } = await studio()
    const page = await open(url)
    await enter(page, 'Ann')
    await page.setInputFiles('#file', { name: 'a.png', mimeType: 'image/png', buffer: Buffer.from('GIF89a') })
    await page.getByRole('alert').getByText('This is no PNG.').waitFor()
    const cut = Buffer.from('89504e470d0a1a0a0000000d4948445200000001', 'hex')
    await page.setInputFiles('#file', { name: 'cut.png', mimeType: 'image/png', buffer: cut })
    await row(page, 'studio.decode').getByText('BadPicture: The PNG is cut off.').waitFor()
    await page.getByRole('button', { name: 'Try again' }).waitFor()
  })
})

const ownJobs = (page: Page, id: string): Promise<string[]> =>
  page.evaluate<string[]>(
    `fetch('/api/jobs?collection=${id}', { headers: { authorization: 'Bearer ' + sessionStorage.getItem('token') } })
      .then((answer) => answer.json()).then(({ items }) => items.map(({ id }) => id))`,
  )
