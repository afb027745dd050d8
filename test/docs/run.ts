import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'
import type { Page } from './page.ts'
import { type Program, programOf } from './program.ts'

/** A page laid out in a folder of its own, as its reader would have it. */
export interface LaidOut {
  readonly page: Page
  readonly folder: string
  readonly program: Program
  /** The files to be compiled. */
  readonly files: readonly string[]
}

const checkedName = 'page.checked.ts'
const runName = 'page.run.ts'

/** Puts what all pages need into the folder that their own folders are made in. */
export function layOutCommon(root: string, place: string): void {
  symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'))
  writeFileSync(join(place, 'package.json'), '{ "type": "module" }\n')
  layOutNpx(place, join(root, 'src/cli/main.ts'))
}

/** What the pages call `npx`: nothing is looked for but this program. */
export function layOutNpx(place: string, main: string): void {
  mkdirSync(join(place, 'bin'))
  writeFileSync(join(place, 'bin/npx'), `#!/bin/sh\n[ "$1" = celeriac ] && shift && exec node ${main} "$@"\nexit 64\n`)
  chmodSync(join(place, 'bin/npx'), 0o755)
}

export function layOut(root: string, place: string, page: Page): LaidOut {
  const folder = join(place, page.path.replace(/\W/g, '-'))
  mkdirSync(folder)
  const files: string[] = []
  for (const { title, lines, language } of page.blocks) {
    if (title === null) continue
    const file = join(folder, title)
    if (existsSync(file)) throw new Error(`${page.path}: there are two blocks titled ${title}`)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `${lines.join('\n')}\n`)
    if (language === 'ts') files.push(file)
  }
  const program = programOf(page, pathToFileURL(join(root, 'test/docs/stage.ts')).href)
  writeFileSync(join(folder, checkedName), program.checked)
  writeFileSync(join(folder, runName), program.run)
  return { page, folder, program, files: [...files, join(folder, checkedName)] }
}

/** How long the program of a page may take, in milliseconds: one that never ends is told of by its last line. */
const pageTime = 80_000

export interface RunOptions {
  readonly node?: string
  /** The package is in `node_modules`: what the page imports does not come from the source. */
  readonly isInstalled?: boolean
}

/** Runs the program of a page, and its commands, on this Node or another. Gives what does not fit the page, a text each. */
export async function runPage(
  root: string,
  place: string,
  { page, folder }: LaidOut,
  { node = process.execPath, isInstalled = false }: RunOptions = {},
): Promise<string> {
  const report = join(place, `${page.path.replace(/\W/g, '-')}.report`)
  writeFileSync(report, '')
  const child = spawn(node, [join(folder, runName)], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: pageTime,
    env: {
      ...environment(root, place, node, { DOCS_ROOT: page.root, DOCS_PAGE: page.path, DOCS_REPORT: report }),
      ...(isInstalled && { NODE_OPTIONS: process.env['NODE_OPTIONS'] }),
    },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  const said = readFileSync(report, 'utf8')
  if (code === 0 && said.endsWith('end\n')) return said.slice(0, -'end\n'.length)
  return `${said}${page.path}: it ended with ${code}\n${output}`
}

function environment(root: string, place: string, node: string, own: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { CELERIAC_URL, CELERIAC_MODULE, FORCE_COLOR, ...rest } = process.env
  const hook = pathToFileURL(join(root, 'test/docs/resolve.mjs')).href
  return {
    ...rest,
    ...own,
    PATH: [join(place, 'bin'), dirname(node), process.env['PATH']].join(':'),
    NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import=${hook}`,
    // Most of the time of a command is spent on reading the source. `npm ci` empties it.
    NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/celeriac-docs'),
    COLUMNS: '80',
    NO_COLOR: '1',
  }
}

/** Compiles all examples. Gives what the compiler says and a page does not, and what a page says and it does not. */
export function compilePages(root: string, pages: readonly LaidOut[]): string[] {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, root)
  const names = pages.flatMap(({ files }) => files)
  // An example may declare what it does not go on to use.
  const lenient = { ...options, noUnusedLocals: false, noUnusedParameters: false }
  const program = ts.createProgram(names, { ...lenient, typeRoots: [join(root, 'node_modules/@types')] })
  return pages.flatMap((page) => problemsOf(program, page))
}

function problemsOf(program: ts.Program, { page, files, program: { refused } }: LaidOut): string[] {
  const problems: string[] = []
  const isRefused = new Map(refused.map((one) => [one, '']))
  for (const name of files) {
    const file = program.getSourceFile(name)
    if (!file) throw new Error(`${name} is not in the program`)
    const found = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]
    for (const { start = 0, messageText } of found) {
      const line = file.getLineAndCharacterOfPosition(start).line + 1
      const text = ts.flattenDiagnosticMessageText(messageText, '\n')
      const expected = name.endsWith(checkedName)
        ? refused.find(({ from, to }) => from <= line && line <= to)
        : undefined
      if (expected) isRefused.set(expected, `${isRefused.get(expected)}${text}\n`)
      else problems.push(`${page.path}: ${name.slice(name.lastIndexOf('/') + 1)}:${line}: ${text}`)
    }
  }
  for (const [{ from, words }, text] of isRefused) {
    if (text === '') problems.push(`${page.path}:${from}: it compiles`)
    else if (!mentions(text, words)) problems.push(`${page.path}:${from}: shows ${words}\n  the compiler says ${text}`)
  }
  return problems
}

const mentions = (text: string, words: string): boolean =>
  words.split('…').every((part) => text.replace(/\s+/g, ' ').includes(part.trim()))
