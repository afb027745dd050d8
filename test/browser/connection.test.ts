// What the element shows of its connection, and what it keeps while there is none.
import axe from 'axe-core'
import type { Locator, Page } from 'playwright-core'
import { describe, expect, it, onTestFinished } from 'vitest'
import { group } from 'celeriac'
import { jumpingRuntime } from '../fixtures/jumping.ts'
import { Proxy } from '../fixtures/proxy.ts'
import { inBrowser } from './browser.ts'
import { shown } from './page.ts'

const row = (page: Page, text: string): Locator => page.getByRole('treeitem').filter({ hasText: text })
const element = 'celeriac-progress'
const connection = (page: Page): Locator => page.locator('.connection')
const set = (page: Page, name: string, value: string): Promise<unknown> =>
  page.evaluate(`document.querySelector('${element}').setAttribute('${name}', '${value}')`)
/** Until it is moved on or resumed. */
const stopClock = async (page: Page): Promise<void> =>
  page.clock.pauseAt((await page.evaluate<number>('Date.now()')) + 10_000)

/** The page itself, and what it asks, by way of a network that the test breaks. */
async function behindProxy() {
  const there = await shown({ auth: 'none' })
  const url = there.page({})
  // Else the browser would ask by a connection that is frozen.
  there.server.maxRequestsPerSocket = 1
  const proxy = await Proxy.before(url)
  onTestFinished(() => proxy.close())
  return { ...there, proxy, page: (about: Record<string, string>) => proxy.url(there.page(about)) }
}

inBrowser(({ open }) => {
  it('keeps what it shows when its token ends, and goes on with another one', async () => {
    const runtime = jumpingRuntime()
    const { app, tasks, page: at, work } = await shown({ auth: { identify: () => null } }, runtime)
    const collection = await app.submit(tasks.add.s(1, 2))
    await work()
    await collection.result()
    const page = await open(at({ collection: collection.id, token: await collection.token({ expiresIn: '10m' }) }))
    await row(page, 'add').getByText('succeeded').waitFor()
    runtime.jump(10 * 60_000)
    await page.getByRole('alert').getByText('Not followed any more').waitFor()
    expect(await row(page, 'add').getByText('succeeded').isVisible()).toBe(true)
    await set(page, 'token', await collection.token())
    await page.getByRole('alert').waitFor({ state: 'hidden' })
    expect(await row(page, 'add').count()).toBe(1)
    // One that may not see it takes it away.
    await set(page, 'token', 'run_nothing')
    await page.getByRole('alert').waitFor()
    expect(await row(page, 'add').count()).toBe(0)
  })

  it('says that there is no server yet, and shows what there is once there is one', async () => {
    const { app, tasks, proxy, page: at } = await behindProxy()
    const { id } = await app.submit(tasks.add.s(1, 2))
    const page = await open(at({}), { ownClock: true })
    proxy.refuse()
    await stopClock(page)
    await set(page, 'collection', id)
    await page.clock.runFor(100)
    await connection(page).getByText('connecting').waitFor()
    await page.clock.fastForward(60_000)
    await page.clock.resume()
    await connection(page).getByText('no answer for 1m').waitFor()
    proxy.refuse(false)
    await row(page, 'add').waitFor()
    await connection(page).getByText('live', { exact: true }).waitFor()
  })

  it('stops its clocks when the server is gone, says so, and goes on when it is back', async () => {
    const { app, stage, tasks, proxy, page: at, work } = await behindProxy()
    const { id } = await app.submit(tasks.wait.s('gate'))
    const page = await open(at({ collection: id }), { ownClock: true })
    await work()
    await stage.arrived('gate')
    await row(page, 'wait').getByText('running').waitFor()
    await connection(page).getByText('live', { exact: true }).waitFor()
    proxy.refuse()
    proxy.reset()
    await page.clock.fastForward(3_000)
    await connection(page)
      .getByText(/no answer for \d+ s: shown as of/)
      .waitFor()
    const durations = page.locator('.duration')
    const before = await durations.allTextContents()
    await page.clock.fastForward(60_000)
    await connection(page).getByText('no answer for 1m').waitFor()
    expect(await durations.allTextContents()).toEqual(before)
    expect(await page.evaluate(`document.querySelector('${element}').shadowRoot.getAnimations().length`)).toBe(0)
    expect(await row(page, 'wait').getByText('50 % · half').isVisible()).toBe(true)
    stage.open('gate')
    proxy.refuse(false)
    await row(page, 'wait').getByText('succeeded').waitFor()
  })

  it('begins anew when the network is another one, however alive the connection looks', async () => {
    const { app, stage, tasks, proxy, page: at, work } = await behindProxy()
    const { id } = await app.submit(tasks.wait.s('gate'))
    const page = await open('about:blank', { ownClock: true })
    let sockets = 0
    page.on('websocket', () => sockets++)
    await page.goto(at({ collection: id }))
    await work()
    await row(page, 'wait').getByText('running').waitFor()
    expect(sockets).toBe(1)
    proxy.abandon()
    stage.open('gate')
    // In the page no time passes in which it could miss the server's beats.
    await stopClock(page)
    const online = page.evaluate(`new Promise((resolve) => addEventListener('online', () => resolve()))`)
    const again = page.waitForEvent('websocket', { timeout: 0 })
    await page.context().setOffline(true)
    await page.context().setOffline(false)
    await online
    await page.clock.runFor(1_000)
    await again
    await page.clock.resume()
    await row(page, 'wait').getByText('succeeded').waitFor()
    expect(sockets).toBe(2)
  })

  describe.each([
    { colorScheme: 'light', width: 900 },
    { colorScheme: 'dark', width: 390 },
  ] as const)('in the $colorScheme, $width wide', ({ colorScheme, width }) => {
    it('leads to what failed among many, and nothing in it is a trap', async () => {
      const { app, tasks, page: at, work } = await shown()
      const long = Array.from({ length: 60 }, (_, n) => `line ${n} of why`).join('\n')
      const many = Array.from({ length: 150 }, (_, n) => tasks.add.s(n, 1))
      const { id } = await app.submit(group(...many, tasks.fail.s(long), tasks.fail.s('no')) as never)
      await work()
      const page = await open(at({ collection: id }), { colorScheme, width })
      const failed = page.getByRole('button', { name: '2 failed' })
      await failed.waitFor()
      expect(await page.getByRole('treeitem').count()).toBe(1)
      await failed.press('Enter')
      expect(await failed.getAttribute('aria-pressed')).toBe('true')
      expect(await page.getByRole('treeitem').count()).toBe(2)
      await row(page, 'line 0 of why').waitFor()
      expect(await page.getByText('line 59 of why').count()).toBe(0)
      await row(page, 'line 0 of why').press('Enter')
      await page.getByText('line 59 of why').waitFor()
      const scrolls = `[...document.querySelector('${element}').shadowRoot.querySelectorAll('*')]
        .filter((one) => one.scrollHeight > one.clientHeight + 1 && /auto|scroll/.test(getComputedStyle(one).overflowY)).length`
      expect(await page.evaluate(scrolls)).toBe(0)
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
      await page.evaluate(axe.source)
      const { violations } = await page.evaluate<axe.AxeResults>(`axe.run('${element}')`)
      expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([])
      await page.getByText('Show less').click()
      expect(await page.getByText('line 59 of why').count()).toBe(0)
      await page.getByRole('button', { name: 'all', exact: true }).click()
      expect(await page.getByRole('treeitem').count()).toBe(1)
    })
  })

  const job = { id: 'j', task: 'add', state: 'running', role: 'main', args: [], after: [], attempt: 1, failures: 0 }
  const started = { ...job, tags: [], created_at: '2026-01-01T00:00:00.000Z' }

  it.each([
    ['a job without a task or arguments', { jobs: [{ id: 'j' }] }],
    ['a failure in other types', { jobs: [{ ...started, state: 'failed', failure: { name: 'Error', message: 5 } }] }],
    ['an instant that is a number', { jobs: [{ ...started, started_at: 5 }] }],
    ['a collection that was never created', { jobs: [started], created_at: null }],
  ])('says so where it is told what it does not understand: %s', async (_what, told) => {
    const { page: at } = await shown({ auth: 'none' })
    const page = await open(at({}))
    await page.routeWebSocket(/api.live/, (line) => {
      line.onMessage((order) => {
        const { as } = JSON.parse(String(order)) as { as: string }
        const collection = { id: 'c', state: 'running', round: 1, created_at: started.created_at, ...told }
        line.send(JSON.stringify({ type: 'event', as, event: { type: 'snapshot', cursor: 'c1', collection } }))
      })
    })
    await set(page, 'collection', 'c')
    await page.getByRole('alert').getByText('not understood').waitFor()
    await connection(page).waitFor({ state: 'hidden' })
  })
})
