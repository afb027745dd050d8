import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const document = fileURLToPath(new URL('../docs/performance.md', import.meta.url))
const begin = '<!-- bench -->'
const end = '<!-- /bench -->'

/** Puts a table where docs/performance.md has its place for one. */
export function writeTable(text: string): void {
  const page = readFileSync(document, 'utf8')
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from < 0 || to < from) throw new Error(`docs/performance.md has no ${begin} … ${end} to put the table in`)
  writeFileSync(document, `${page.slice(0, from + begin.length)}\n\n\`\`\`\n${text}\n\`\`\`\n\n${page.slice(to)}`)
}
