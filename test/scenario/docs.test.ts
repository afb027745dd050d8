import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { isNotRun, type NotRun, notRun } from '../docs/not-run.ts'
import { headingsOf, isRun, linksOf, readPage } from '../docs/page.ts'
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
    for (const laidOut of pages.filter(({ page }) => page.blocks.some(isRun))) {
      it(laidOut.page.path, { timeout: 90_000 }, async () => expect(await runPage(root, place, laidOut)).toBe(''))
    }
  })

  it('compiles, or is refused in the words shown', { timeout: 120_000 }, () =>
    expect(compilePages(root, pages)).toEqual([]),
  )

  it('is left unrun only where that is accounted for', () => {
    const marked = pages.flatMap(({ page: { path, blocks } }) =>
      blocks.filter(({ words }) => words.includes('no-run')).map(({ lines }) => ({ path, text: lines.join('\n') })),
    )
    expect(marked.filter(({ path, text }) => !isNotRun(path, text))).toEqual([])
    const isThere = ({ path, text }: NotRun): boolean =>
      pages.some(({ page }) => page.path === path && page.text.includes(text))
    expect(notRun.filter((one) => !isThere(one))).toEqual([])
  })

  it('tells of every error code, and of no other', () => {
    const source = readFileSync(join(root, 'src/core/errors.ts'), 'utf8')
    const union = source.slice(
      source.indexOf('type ErrorCode'),
      source.indexOf('/**', source.indexOf('type ErrorCode')),
    )
    const errors = pages.find(({ page }) => page.path === 'docs/errors.md')!.page.text
    const told = Array.from(errors.matchAll(/^\| `([A-Z_]+)` \|/gm), ([, code]) => code)
    expect(told).toEqual(Array.from(union.matchAll(/'([A-Z_]+)'/g), ([, code]) => code))
  })

  it('links to what is there', () => {
    const links = pages.flatMap(({ page }) => linksOf(page).map((link) => ({ page: page.path, link })))
    expect(links.filter(({ page, link }) => !isThere(page, link))).toEqual([])
  })
})

function isThere(from: string, link: string): boolean {
  const [file = '', heading] = link.split('#')
  const path = file === '' ? from : join(dirname(from), file)
  if (!existsSync(join(root, path))) return false
  const linked = pages.find(({ page }) => page.path === path)
  return heading === undefined || (linked !== undefined && headingsOf(linked.page).includes(heading))
}

describe('a page that is wrong', () => {
  const wrong = layOut(root, place, readPage(root, 'test/docs/wrong.md'))
  const linesOf = (told: string): number[] =>
    Array.from(told.matchAll(/wrong\.md:(\d+):/g), ([, line]) => Number(line)).toSorted((a, b) => a - b)

  it('is told of line by line when it is run', async () => {
    const isMarked = (line: string): boolean => line.endsWith('!') && !line.includes('✗') && !line.startsWith('#')
    const marked = wrong.page.text.split('\n').flatMap((line, n) => (isMarked(line) ? [n + 1] : []))
    expect(linesOf(await runPage(root, place, wrong))).toEqual(marked)
  })

  it('is told of when it is compiled', () => {
    const told = compilePages(root, [wrong]).join('\n')
    expect(told).toContain('wrong.md:11: shows')
    expect(told).toContain('wrong.md:12: it compiles')
    expect(told).toContain("page.checked.ts:13: Type 'number' does not satisfy the expected type 'string'")
  })
})
