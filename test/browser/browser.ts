import { type Browser as Chromium, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, onTestFinished } from 'vitest'
import { findChromium } from '../servers/chromium.ts'

/** It asks nobody for anything but what the tests serve. */
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export interface Browser {
  /** A page of somebody of their own; it is closed when the test is over, and an error in it fails the test. */
  open(url: string, look?: Look): Promise<Page>
}

export interface Look {
  readonly width?: number
  readonly height?: number
  readonly colorScheme?: 'light' | 'dark'
  readonly reducedMotion?: 'reduce' | 'no-preference'
  /** Time in the page goes on by itself, and a test may stop it and move it on. */
  readonly ownClock?: boolean
}

/** Describes tests in a real browser. Where there is none they are skipped, and that is told of when all is over. */
export function inBrowser(body: (browser: Browser) => void): void {
  const executablePath = findChromium()
  describe.skipIf(executablePath === null)('browser chromium', () => {
    let chrome: Chromium
    beforeAll(async () => {
      chrome = await chromium.launch({ executablePath: executablePath ?? '', args })
    })
    afterAll(async () => chrome.close())
    body({ open: async (url, look) => openPage(chrome, url, look) })
  })
}

async function openPage(
  chrome: Chromium,
  url: string,
  { width = 900, height = 700, ownClock = false, ...look }: Look = {},
): Promise<Page> {
  const context = await chrome.newContext({ viewport: { width, height }, ...look })
  const page = await context.newPage()
  if (ownClock) await page.clock.install()
  const errors: Error[] = []
  page.on('pageerror', (error) => errors.push(error))
  onTestFinished(async () => {
    await context.close()
    if (errors[0]) throw errors[0]
  })
  await page.goto(url)
  return page
}
