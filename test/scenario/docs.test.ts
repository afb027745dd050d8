import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { isNotRun, type NotRun, notRun } from '../docs/not-run.ts'
import { linksOf, readPage } from '../docs/page.ts'
import { compilePages, layOut, layOutCommon, runPage } from '../docs/run.ts'

const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
const paths = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

const place = mkdtempSync(join(tmpdir(), 'celeriac-docs-'))
layOutCommon(root, place)
const pages = paths.map((path) => layOut(root, place, readPage(root, path)))
afterAll(() => rmSync(place, { recursive: true, force: true }))

describe('what the documentation shows', () => {
  describe.concurrent('comes of running it', () => {
    for (const laidOut of pages) {
      it(laidOut.page.path, async () => expect(await runPage(root, place, laidOut)).toBe(''))
    }
  })

  it('compiles, or is refused in the words shown', () => expect(compilePages(root, pages)).toEqual([]))

  it('is left unrun only where that is accounted for', () => {
    const marked = pages.flatMap(({ page: { path, blocks } }) =>
      blocks.filter(({ words }) => words.includes('no-run')).map(({ lines }) => ({ path, text: lines.join('\n') })),
    )
    expect(marked.filter(({ path, text }) => !isNotRun(path, text))).toEqual([])
    const isThere = ({ path, text }: NotRun): boolean =>
      pages.some(({ page }) => page.path === path && page.text.includes(text))
    expect(notRun.filter((one) => !isThere(one))).toEqual([])
  })

  it('links to what is there', () => {
    const links = pages.flatMap(({ page }) => linksOf(page).map((link) => ({ page: page.path, link })))
    const broken = links.filter(({ page, link }) => !existsSync(join(root, dirname(page), link)))
    expect(broken).toEqual([])
  })
})
