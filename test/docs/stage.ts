import { spawn } from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { format } from 'node:util'
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
  /** It ends with `^C`: it is interrupted once it has printed what is shown. */
  readonly isInterrupted: boolean
}

function callsOf(lines: readonly string[], firstLine: number): ShownCall[] {
  const starts = lines.flatMap((line, n) => (line.startsWith('$ ') ? [n] : []))
  return starts.map((start, n) => {
    const body = lines.slice(start + 1, starts[n + 1])
    const isInterrupted = body.at(-1) === '^C'
    const output = isInterrupted ? body.slice(0, -1) : body
    return { command: lines[start]!.slice(2), line: firstLine + start, output, isInterrupted }
  })
}

const staysBehind = /\bceleriac (dev|worker)\b/
/** The output as pages show it: whatever folder, machine and process it is, they call them the same. */
function asShown(printed: string): string {
  const text = printed.replaceAll(process.cwd(), '/srv/shop').replace(new RegExp(`\\b${hostname()}\\b`, 'g'), 'web')
  const pids = new Set(Array.from(text.matchAll(/\bweb-(\d+)\b/g), ([, pid]) => pid!))
  return [...pids].reduce((shown, pid) => shown.replaceAll(pid, '4711'), text)
}
const placeholder = /\b01[0-9a-f]{2}…/g

const idIn = /\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b/g
/** The first id of what was printed last: `019a…` in a command stands for it. */
let lastId = ''
/** The ids that the page shows, and what they are in this run. */
const ids = new Map<string, string>()

const noteId = (printed: string): void => void (lastId = printed.match(idIn)?.[0] ?? lastId)

function noteIds(printed: string, shown: string): void {
  const [here, there] = [printed.match(idIn) ?? [], shown.match(idIn) ?? []]
  if (here.length === there.length) for (const [n, id] of there.entries()) ids.set(id, here[n]!)
}

/** The command with the ids of this run: for those shown before, of which a beginning is enough. */
const translated = (command: string): string =>
  command
    .replace(placeholder, () => lastId)
    .replace(/\b01[0-9a-f]{6}[0-9a-f-]*/g, (word) => [...ids].find(([shown]) => shown.startsWith(word))?.[1] ?? word)

const behind: Running[] = []

async function runShown({ command, line, output, isInterrupted }: ShownCall): Promise<void> {
  if (isNotRun(path, command)) return
  const running = start(command)
  if (isInterrupted || staysBehind.test(command)) {
    const came = await running.until((text) => fitsLines(text, output))
    noteIds(running.text, output.join('\n'))
    if (!came) say(line, `shows\n${output.join('\n')}\nand it printed\n${running.text}`)
    if (!isInterrupted) return void behind.push(running)
    running.stop('SIGINT')
    await running.over
  } else {
    await running.over
    if (!fitsLines(running.text, output)) say(line, `shows\n${output.join('\n')}\nand it printed\n${running.text}`)
  }
  noteIds(running.text, output.join('\n'))
  const wide = [...output, ...running.text.split('\n')].find((one) => one.length > 80 && !one.startsWith('error:'))
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

interface Running {
  readonly over: Promise<number | null>
  readonly text: string
  stop(signal: NodeJS.Signals): void
  /** Resolves when the output is so, or can no longer become so. */
  until(isSo: (text: string) => boolean): Promise<boolean>
}

function start(command: string): Running {
  const text = `exec 2>&1; ${translated(command)}`
  const child = spawn('sh', ['-c', text], { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  let printed = ''
  let isOver = false
  let tell = (): void => {}
  // A command that never ends would hold up everything behind it, and be told of by nobody.
  const patience = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), 15_000)
  const over = new Promise<number | null>((resolve) => {
    child.on('close', (code) => {
      clearTimeout(patience)
      isOver = true
      tell()
      resolve(code)
    })
  })
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    printed += chunk
    noteId(printed)
    tell()
  })
  return {
    over,
    get text() {
      return asShown(printed)
    },
    stop: (signal) => process.kill(-child.pid!, signal),
    until: (isSo) =>
      new Promise((resolve) => {
        tell = () => {
          if (isSo(asShown(printed))) resolve(true)
          else if (isOver) resolve(false)
        }
        tell()
      }),
  }
}

/** The program has come to its end: what still runs is no part of the page. */
export async function end(): Promise<void> {
  for (const running of behind) running.stop('SIGTERM')
  await Promise.all(behind.map(({ over }) => over))
  appendFileSync(report, 'end\n')
  process.exit(0)
}
