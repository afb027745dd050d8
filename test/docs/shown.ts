import { inspect } from 'node:util'

/** Does the text fit what a page shows, where ids, times, sizes, versions and distances between words differ, and `…` stands for anything? */
export function fits(text: string, shown: string): boolean {
  const [is, says] = [tidy(text), tidy(shown)]
  // What is shown may be explained behind it: `// → 3, here and now`.
  return pattern(says).test(is) || (says.startsWith(is) && /^[,:;] /.test(says.slice(is.length)))
}

/** Does the output fit, line by line? A line that is only `…` stands for any number of lines. */
export function fitsLines(text: string, shown: readonly string[]): boolean {
  const lines = shown.map((line) => (line.trim() === '…' ? '(?:.*\n)*?' : `${patternText(tidy(line))}\n`))
  const output = text.trimEnd() === '' ? '' : `${text.trimEnd()}\n`
  return new RegExp(`^${lines.join('')}$`).test(output.split('\n').map(tidy).join('\n'))
}

/** A value as a page shows it. */
export const valueText = (value: unknown): string =>
  inspect(value, { depth: 8, compact: true, breakLength: Infinity, maxStringLength: Infinity })

const pattern = (shown: string): RegExp => new RegExp(`^${patternText(shown)}$`, 's')
const patternText = (shown: string): string => shown.split('…').map(escaped).join('.*?')
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

const id = /\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b01[0-9a-f]{2,34}…/g
const date = /\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?\b/g
const clock = /\b\d\d:\d\d:\d\d(?:\.\d+)?\b/g
const time = /\b\d+(?:\.\d+)? (?:ms|s)\b|\b\d+m \d\ds\b|\b\d+h \d\dm\b|\b\d+d \d\dh\b/g
const version = /\b\d+\.\d+\.\d+\b/g
const size = /\b\d+(?:\.\d+)? [KMG]iB\b/g
const age = /\b\d+[smhd]\b/g
const bar = /[█░]{2,}/g

function tidy(text: string): string {
  const same = text.replace(id, '<id>').replace(date, '<date>').replace(clock, '<clock>').replace(time, '<time>')
  return same
    .replace(version, '<version>')
    .replace(age, '<age>')
    .replace(size, '<size>')
    .replace(bar, '<bar>')
    .replace(/\s+/g, ' ')
    .replace(/([[{(]) | (?=[\]})])/g, '$1')
    .trim()
}
