import type { Section } from './case.ts'
import type { Verdict } from './verdict.ts'

const headings: Readonly<Record<Section, readonly [string, string, string, string]>> = {
  plainjob: ['SQLite, beside plainjob', 'celeriac', 'plainjob', 'ratio'],
  'sqlite itself': ['SQLite, beside itself', 'measured', 'beside', 'ratio'],
  'sqlite alone': ['SQLite, alone', 'measured', '', ''],
  'graphile-worker': ['PostgreSQL, beside graphile-worker', 'celeriac', 'graphile', 'ratio'],
  'postgres itself': ['PostgreSQL, beside itself', 'measured', 'beside', 'ratio'],
  'postgres alone': ['PostgreSQL, alone', 'measured', '', ''],
  bullmq: ['Redis, beside BullMQ', 'celeriac', 'bullmq', 'ratio'],
  celery: ['Redis, beside Celery', 'celeriac', 'celery', 'ratio'],
  'redis itself': ['Redis, beside itself', 'measured', 'beside', 'ratio'],
  'redis alone': ['Redis, alone', 'measured', '', ''],
  hono: ['HTTP, beside a bare handler of Hono', 'celeriac', 'bare', 'ratio'],
  'http alone': ['HTTP, alone', 'measured', '', ''],
}
const widths = [41, 10, 10, 8, 9, 6] as const

/** A block of text for each section. */
export function table(verdicts: readonly Verdict[]): string {
  const sections = (Object.keys(headings) as Section[]).map((section) => {
    const lines = verdicts.filter((verdict) => verdict.section === section)
    return lines.length === 0 ? '' : block(section, lines)
  })
  return sections.filter((text) => text !== '').join('\n\n')
}

function block(section: Section, verdicts: readonly Verdict[]): string {
  const heading = row([...headings[section], 'target', ''])
  return [heading, '─'.repeat(84), ...verdicts.map((verdict) => row(cells(verdict)))].join('\n')
}

function cells({ label, figure, beside, ratio, target, met, decimals }: Verdict): string[] {
  return [
    label,
    number(figure.median, decimals),
    beside === null ? '' : number(beside.median, decimals),
    ratio === null || Number.isNaN(ratio.median) ? '' : `${ratio.median.toFixed(2)}×`,
    target ?? '',
    met === null ? '' : met ? 'ok' : 'MISS',
  ]
}

function row(cells: readonly string[]): string {
  const padded = cells.map((cell, column) => {
    const width = widths[column] ?? 0
    return column === 0 ? cell.padEnd(width) : cell.padStart(width)
  })
  return padded.join('').trimEnd()
}

function number(value: number, decimals: number): string {
  if (Number.isNaN(value)) return '–'
  return value.toLocaleString('en', { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
}
