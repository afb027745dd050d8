import { appendFileSync } from 'node:fs'
import { format } from 'node:util'
import { noteId, noteIds, type Running, start } from './command.ts'
import { isNotRun } from './not-run.ts'
import { readPage } from './page.ts'
import { fits, fitsLines, valueText } from './shown.ts'

/**
 * What the program of a page says of itself while it runs, in the folder of the page: compared with the page. What does
 * not fit goes to a file, a line each, and the program goes on.
 */
const { DOCS_ROOT: root = '', DOCS_PAGE: path = '', DOCS_REPORT: report = '' } = process.env
const page = readPage(root, path)

const say = (line: number, problem: string): void => appendFileSync(report, `${path}:${line}: ${problem}\n`)

/** The last line that something was compared at: told when the program comes to no end. */
let lastLine = 0
process.on('SIGTERM', () => {
  say(lastLine, 'the program went on behind this line and came to no end')
  process.exit(1)
})

// ── values and errors ────────────────────────────────────────────────────────────────────────────────────────────────

export function value(line: number, shown: string, is: unknown): void {
  lastLine = line
  const text = typeof is === 'string' && fits(is, shown) ? is : valueText(is)
  if (!fits(text, shown)) say(line, `shows ${shown}\n  it is ${text}`)
}

export async function throws(line: number, shown: string, run: () => Promise<unknown>): Promise<void> {
  lastLine = line
  const thrown = await run().then(
    () => undefined,
    (error: unknown) => error as Error & { code?: string },
  )
  if (!thrown) return say(line, `throws nothing, and ${shown} is shown`)
  const texts = [thrown.code, thrown.name].map((word) => `${word}: ${thrown.message}`)
  if (!texts.some((text) => fits(text, shown))) say(line, `shows ${shown}\n  it throws ${texts[0]}`)
}

// ── what is printed ──────────────────────────────────────────────────────────────────────────────────────────────────

let sinceText = ''
let sinceListen = ''
console.log = (...values: unknown[]): void => {
  const text = `${format(...values)}\n`
  sinceText += text
  sinceListen += text
  noteId(text)
}

export function listen(): void {
  sinceListen = ''
}

export function printed(line: number, shown: string): void {
  lastLine = line
  // It has been compared here, so it is not part of the next block of text.
  sinceText = sinceText.slice(0, sinceText.length - sinceListen.length)
  if (!fits(sinceListen, shown)) say(line, `shows ${shown}\n  printed was ${sinceListen}`)
}

// ── blocks of text and commands ──────────────────────────────────────────────────────────────────────────────────────

export async function step(index: number): Promise<void> {
  const { language, line, lines } = page.blocks[index]!
  lastLine = line
  if (language === 'text') {
    if (!fitsLines(sinceText, lines)) say(line, `shows\n${lines.join('\n')}\nprinted was\n${sinceText}`)
    sinceText = ''
  } else if (language === 'console') {
    for (const call of callsOf(lines, line)) await runShown(call)
  } else {
    for (const [n, command] of lines.entries()) await runAlone({ command, line: line + n })
  }
}

interface Call {
  readonly command: string
  readonly line: number
}
interface ShownCall extends Call {
  readonly output: readonly string[]
}

function callsOf(lines: readonly string[], firstLine: number): ShownCall[] {
  const starts = lines.flatMap((line, n) => (line.startsWith('$ ') ? [n] : []))
  return starts.map((start, n) => ({
    command: lines[start]!.slice(2),
    line: firstLine + start,
    output: lines.slice(start + 1, starts[n + 1]),
  }))
}

/** It runs until the end of the page. */
const staysBehind = /\bceleriac (dev|worker)\b/
const behind: Running[] = []

async function runShown({ command, line, output }: ShownCall): Promise<void> {
  if (isNotRun(path, command)) return
  const running = start(command)
  if (staysBehind.test(command)) {
    behind.push(running)
    await running.until((text) => fitsLines(text, output))
  } else await running.over
  if (!fitsLines(running.text, output)) say(line, `shows\n${output.join('\n')}\nand it printed\n${running.text}`)
  noteIds(running.text, output.join('\n'))
  // JSON for programs is as long as it is.
  const lines = command.includes('curl ') ? [] : [...output, ...running.text.split('\n')]
  const wide = lines.find((one) => one.length > 80 && !one.startsWith('error:'))
  if (wide !== undefined) say(line, `is wider than 80 columns: ${wide}`)
}

async function runAlone({ command, line }: Call): Promise<void> {
  if (command.trim() === '' || command.startsWith('#') || isNotRun(path, command)) return
  const running = start(command)
  if (staysBehind.test(command)) {
    await running.until((text) => text.includes('\n'))
    return void behind.push(running)
  }
  const code = await running.over
  if (code !== 0) say(line, `ends with ${code}:\n${running.text}`)
}

/** The program has come to its end: what still runs is no part of the page. */
export async function end(): Promise<void> {
  for (const running of behind) running.stop('SIGTERM')
  await Promise.all(behind.map(({ over }) => over))
  appendFileSync(report, 'end\n')
  process.exit(0)
}
