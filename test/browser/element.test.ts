import { type Locator, type Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { SignJWT } from 'jose'
import { chain, currentJob, group } from 'celeriac'
import { inBrowser } from './browser.ts'
import { shown } from './page.ts'

/** A row by what stands on it. */
const row = (page: Page, text: string): Locator => page.getByRole('treeitem').filter({ hasText: text })
const element = 'celeriac-progress'

/** What is written on every row, as people read it. */
const written = async (page: Page): Promise<string[]> =>
  (await page.getByRole('treeitem').allInnerTexts()).map((text) => text.replace(/\s+/g, ' ').trim())

inBrowser(({ open }) => {
  it('shows how far it is, as it goes, and goes on from there when the page is loaded again', async () => {
    const { app, stage, page: at, work } = await shown()
    const saw = app.task('tables.saw', async () => {
      for (const step of [1, 2, 3]) {
        currentJob().progress(step, 4, `cut ${step}`)
        await stage.wait(`cut ${step}`, currentJob().signal)
      }
    })
    const paint = app.task('tables.paint', (_sawn: unknown) => 'red')
    const { id } = await app.submit(chain(saw.s(), paint.s()), { description: 'A table' })
    const page = await open(at({ collection: id }))
    await row(page, 'tables.saw').getByText('queued').waitFor()
    await work()
    const bar = row(page, 'tables.saw').getByRole('progressbar')
    for (const step of [1, 2, 3]) {
      await row(page, 'tables.saw').getByText(`cut ${step}`).waitFor()
      expect(await bar.getAttribute('aria-valuenow')).toBe(String(step * 25))
      if (step === 2) {
        await page.reload()
        await row(page, 'tables.saw').getByText('cut 2').waitFor()
      }
      stage.open(`cut ${step}`)
    }
    await row(page, 'tables.paint').getByText('succeeded').waitFor()
    await bar.waitFor({ state: 'hidden' })
    expect(await page.getByText('A table').isVisible()).toBe(true)
    expect(await page.getByText('2 succeeded').isVisible()).toBe(true)
  })

  it('shows what fails and is tried again, and a retry', async () => {
    const { app, stage, page: at, work } = await shown()
    let isBroken = true
    const glue = app.task('glue', { retry: { limit: 1, backoff: { base: 1 } } }, async () => {
      if (currentJob().attempt === 2) await stage.wait('second', currentJob().signal)
      if (isBroken) throw new TypeError(`dry at attempt ${currentJob().attempt}`)
    })
    const collection = await app.submit(chain(glue.si(), glue.si()))
    const page = await open(at({ collection: collection.id }))
    await page.evaluate(
      `for (const type of ['failed', 'settled']) document.addEventListener(type, ({ detail }) => {
        (window.told ??= []).push({ type, ...detail })
      })`,
    )
    await work()
    await row(page, 'attempt 2').getByText('running').waitFor()
    await row(page, 'attempt 2').getByText('TypeError: dry at attempt 1').waitFor()
    stage.open('second')
    await row(page, 'attempt 2').getByText('TypeError: dry at attempt 2').waitFor()
    expect(await written(page)).toEqual([
      expect.stringMatching(/^✗ glue attempt 2 failed .* TypeError: dry at attempt 2$/),
      '− glue skipped',
    ])
    isBroken = false
    await collection.retry()
    await page.getByText('2 succeeded').waitFor()
    expect(await written(page)).toEqual([
      expect.stringMatching(/^✓ glue attempt 3 succeeded/),
      expect.stringMatching(/^✓ glue succeeded/),
    ])
    expect(await page.evaluate('window.told')).toEqual([
      { type: 'failed', state: 'failed', round: 1 },
      { type: 'settled', state: 'failed', round: 1 },
      { type: 'settled', state: 'succeeded', round: 2 },
    ])
  })

  it('shows markup in names, messages and failures as the text that it is', async () => {
    const { app, page: at, work } = await shown()
    const markup = '<img src=x onerror="window.wasRun = true"><b>bold</b>'
    const evil = app.task('evil', () => {
      currentJob().progress(1, 2, markup)
      throw new Error(markup)
    })
    const { id } = await app.submit(evil.s(), { description: markup })
    const page = await open(at({ collection: id }))
    await work()
    await row(page, 'evil').getByText(markup).waitFor()
    expect(await page.getByText(markup).count()).toBe(2)
    expect(await page.locator('img, b').count()).toBe(0)
    expect(await page.evaluate('window.wasRun')).toBeUndefined()
  })

  it('folds a group of 500 into one row, which opens, by mouse and by keys', async () => {
    const { app, tasks, page: at, work } = await shown()
    const { id } = await app.submit(
      chain(group(...Array.from({ length: 500 }, (_, n) => tasks.add.s(n, 1))), tasks.sum.s()),
    )
    const page = await open(at({ collection: id }))
    await work()
    await page.getByText('501 succeeded').waitFor()
    expect(await written(page)).toEqual([
      expect.stringMatching(/^✓ ▸500 × add succeeded/),
      expect.stringMatching(/^✓ sum succeeded/),
    ])
    await row(page, '500 × add').click()
    expect(await page.getByRole('treeitem').count()).toBe(103)
    await row(page, 'Show 100 more of 400').click()
    expect(await page.getByRole('treeitem').count()).toBe(203)
    await page.keyboard.press('Home')
    await page.keyboard.press('ArrowLeft')
    expect(await page.getByRole('treeitem').count()).toBe(2)
  })

  it('is walked through by keys', async () => {
    const { app, tasks, page: at } = await shown()
    const { id } = await app.submit(
      chain(tasks.add.s(1, 2), group(tasks.falter.s(), tasks.wait.s() as never), tasks.fail.s() as never),
    )
    const page = await open(at({ collection: id }))
    await row(page, 'group of 2').waitFor()
    const focused = async (): Promise<string> =>
      (await page.getByRole('treeitem').and(page.locator(':focus')).innerText()).replace(/\s+/g, ' ')
    await page.keyboard.press('Tab')
    expect(await focused()).toContain('add')
    for (const [key, name] of [
      ['ArrowUp', 'add'],
      ['ArrowDown', 'group of 2'],
      ['ArrowRight', 'falter'],
      ['ArrowDown', 'wait'],
      ['ArrowLeft', 'group of 2'],
      ['ArrowLeft', '▸group of 2'],
      ['ArrowDown', 'fail'],
      ['ArrowUp', '▸group of 2'],
      ['Enter', '▾group of 2'],
      ['End', 'fail'],
      ['Home', 'add'],
    ] as const) {
      await page.keyboard.press(key)
      expect(await focused(), key).toContain(name)
    }
    // Only one row is on the way of the tab key.
    await page.keyboard.press('Tab')
    expect(await page.locator(`${element} [tabindex="0"]`).count()).toBe(1)
    expect(await page.getByRole('treeitem').and(page.locator(':focus')).count()).toBe(0)
  })

  it('tells readers of screens what it is, and what becomes of it', async () => {
    const { app, tasks, page: at, work } = await shown()
    const { id } = await app.submit(
      group(...Array.from({ length: 40 }, () => tasks.falter.s(1)), tasks.fail.s('no')) as never,
      { description: 'Forty and one' },
    )
    const page = await open(at({ collection: id }))
    await row(page, 'group of 41').waitFor()
    expect(await page.locator(element).ariaSnapshot()).toMatch(
      /tree "Forty and one":\s+- treeitem "group of 41 queued 0 % · 0 of 41 done" \[level=1\]:\s+- text: .*\s+- progressbar "group of 41"/,
    )
    const group41 = row(page, 'group of 41')
    for (const [name, value] of [
      ['aria-level', '1'],
      ['aria-posinset', '1'],
      ['aria-setsize', '1'],
      ['aria-expanded', 'false'],
    ] as const)
      expect(await group41.getAttribute(name)).toBe(value)
    await work()
    await page.getByRole('status').getByText('All is over: failed. fail failed.').waitFor({ state: 'attached' })
  })

  it('follows what its attributes say, whatever they change to, on one line, and stops when it is taken out', async () => {
    const { client, page: at } = await shown()
    const [one, two] = [await client.submit('add', [1, 2], { description: 'One' }), await client.submit('sum', [[1]])]
    const page = await open('about:blank')
    const sockets: { isClosed: boolean }[] = []
    page.on('websocket', (socket) => {
      const noted = { isClosed: false }
      sockets.push(noted)
      socket.on('close', () => (noted.isClosed = true))
    })
    await page.goto(at({ collection: one.id }))
    await row(page, 'add').waitFor()
    await page.evaluate(`document.querySelector('${element}').setAttribute('collection', '${two.id}')`)
    await row(page, 'sum').waitFor()
    expect(await row(page, 'add').count()).toBe(0)
    await page.evaluate(`document.querySelector('main').append(...[1, 2, 3].map(() => {
      const more = document.createElement('${element}')
      more.setAttribute('collection', '${one.id}')
      return more
    }))`)
    await row(page, 'add').nth(2).waitFor()
    expect(sockets).toEqual([{ isClosed: false }])
    await page.evaluate(`document.querySelector('${element}').removeAttribute('collection')`)
    await row(page, 'sum').waitFor({ state: 'detached' })
    await page.evaluate(`document.querySelector('main').replaceChildren()`)
    await expect.poll(() => sockets, { timeout: 20_000 }).toEqual([{ isClosed: true }])
  })

  it('shows nothing of what is somebody else’s', async () => {
    const secret = 'x'.repeat(32)
    const { app, tasks, page: at } = await shown({ auth: { jwt: { issuer: 'us', audience: 'them', secret } } })
    const tokenOf = (name: string): Promise<string> =>
      new SignJWT()
        .setProtectedHeader({ alg: 'HS256' })
        .setIssuer('us')
        .setAudience('them')
        .setSubject(name)
        .setExpirationTime('1h')
        .sign(new TextEncoder().encode(secret))
    const { id } = await app.submit(tasks.add.s(1, 2), { actor: { id: 'ann' } })
    const page = await open(at({ collection: id, token: await tokenOf('bob') }))
    await page.getByRole('alert').getByText('There is no collection').waitFor()
    expect(await page.getByRole('treeitem').count()).toBe(0)
    await page.evaluate(`document.querySelector('${element}').setAttribute('token', '${await tokenOf('ann')}')`)
    await row(page, 'add').waitFor()
    expect(await page.getByRole('alert').isVisible()).toBe(false)
  })

  describe.each(['light', 'dark'] as const)('in the %s', (colorScheme) => {
    it('is read well, by those who see little, and keeps still for those who want it to', async () => {
      const { app, stage, tasks, page: at, work } = await shown()
      const canvas = group(
        tasks.add.s(1, 2),
        chain(tasks.fail.s('no'), tasks.sum.s() as never),
        chain(tasks.wait.s('gate'), tasks.fail.s() as never),
      )
      const { id } = await app.submit(canvas as never)
      await work()
      const page = await open(at({ collection: id }), { colorScheme, reducedMotion: 'reduce' })
      await stage.arrived('gate')
      await row(page, 'no').nth(0).waitFor()
      await row(page, 'half').nth(0).waitFor()
      const contrasts = await page.evaluate<Record<string, number>>(contrastsOfTexts)
      expect(Object.keys(contrasts)).toEqual(
        expect.arrayContaining(['name', 'about', 'state failed', 'state running', 'state skipped', 'failure', 'text']),
      )
      for (const [part, contrast] of Object.entries(contrasts)) expect(contrast, part).toBeGreaterThanOrEqual(4.5)
      expect(await page.evaluate(moving)).toEqual([])
    })
  })
})

/** Of every text in the element, how much it stands out from the background. */
const contrastsOfTexts = `(() => {
  const host = document.querySelector('${element}')
  const numbers = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number)
  const luminance = (text) => {
    const [r, g, b] = numbers(text).map((one) => one / 255).map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const back = luminance(getComputedStyle(host).backgroundColor)
  const found = {}
  for (const one of host.shadowRoot.querySelectorAll('.name, .about, .state, .duration, .failure, .text, .mark')) {
    if (!one.checkVisibility() || !one.textContent) continue
    const front = luminance(getComputedStyle(one).color)
    const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05)
    const name = one.className === 'state' ? 'state ' + one.textContent : one.className
    found[name] = Math.min(found[name] ?? 100, contrast)
  }
  return found
})()`

const moving = `document.querySelector('${element}').shadowRoot.getAnimations().map(String)`
