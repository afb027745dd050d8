import { spawn } from 'node:child_process'
import { hostname } from 'node:os'

/** A command of a page, running in a group of its own. */
export interface Running {
  /** Its exit code, once it has ended. */
  readonly over: Promise<number | null>
  /** What it has printed so far, as pages show it. */
  readonly text: string
  stop(signal: NodeJS.Signals): void
  /** Resolves when the output is so, or can no longer become so. */
  until(isSo: (text: string) => boolean): Promise<boolean>
}

/** How long a command may take, in milliseconds: one that never ends would hold up everything behind it. */
const patience = 15_000

/** The groups that live: none may outlive the page, however that ends. */
const groups = new Set<number>()
process.on('exit', () => groups.forEach((group) => signalGroup(group, 'SIGKILL')))

export function start(command: string): Running {
  const text = `exec 2>&1; ${translated(command)}`
  const child = spawn('sh', ['-c', text], { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  const group = child.pid!
  groups.add(group)
  const end = setTimeout(() => signalGroup(group, 'SIGKILL'), patience)
  let printed = ''
  let isOver = false
  let tell = (): void => {}
  const over = new Promise<number | null>((resolve) => {
    child.on('close', (code) => {
      clearTimeout(end)
      groups.delete(group)
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
    stop: (signal) => signalGroup(group, signal),
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

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch {
    // It has ended by itself.
  }
}

/** The output as pages show it: whatever folder, machine and process it is, they call them the same. */
function asShown(printed: string): string {
  const text = printed.replaceAll(process.cwd(), '/srv/shop').replaceAll(new RegExp(`\\b${hostname()}\\b`, 'g'), 'web')
  const pids = new Set(Array.from(text.matchAll(/\bweb-(\d+)\b/g), ([, pid]) => pid!))
  return [...pids].reduce((shown, pid) => shown.replaceAll(pid, '4711'), text)
}

// ── ids ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const id = /\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b/g
const placeholder = /\b01[0-9a-f]{2}…/g
const beginning = /\b01[0-9a-f]{6}[0-9a-f-]*/g

/** The first id of what was printed last: `019a…` in a command stands for it. */
let lastId = ''
/** The ids that the page shows, and what they are in this run. */
const ids = new Map<string, string>()

export function noteId(printed: string): void {
  lastId = printed.match(id)?.[0] ?? lastId
}

export function noteIds(printed: string, shown: string): void {
  const [here, there] = [printed.match(id) ?? [], shown.match(id) ?? []]
  if (here.length === there.length) for (const [n, one] of there.entries()) ids.set(one, here[n]!)
}

/** The command with the ids of this run: for those shown before, of which a beginning is enough. */
const translated = (command: string): string =>
  command
    .replace(placeholder, () => lastId)
    .replace(beginning, (word) => [...ids].find(([shown]) => shown.startsWith(word))?.[1] ?? word)
