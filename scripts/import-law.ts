// The import law: which folder of src/ may import which. Type imports count; tests beside the source are free.
import { readFileSync, readdirSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** Folder → the folders it may import besides itself. A folder that is not listed here may not exist. */
const law: Readonly<Record<string, readonly string[]>> = {
  core: [],
  canvas: ['core'],
  engine: ['core'],
  'engines/*': ['core', 'engine'],
  'transports/*': ['core', 'engine'],
  app: ['core', 'canvas', 'engine'],
  worker: ['core', 'canvas', 'engine', 'app', 'callbacks'],
  scheduler: ['core', 'canvas', 'engine', 'app'],
  callbacks: ['core', 'canvas', 'engine', 'app'],
  alerts: ['core', 'canvas', 'engine', 'app'],
  telemetry: ['core', 'canvas', 'engine', 'app'],
  http: ['core', 'canvas', 'engine', 'app'],
  client: ['core'],
  celery: ['core', 'canvas', 'engine', 'app'],
  testing: ['core', 'canvas', 'engine', 'engines/*', 'app', 'worker'],
  cli: ['*'],
  'index.ts': ['core', 'canvas', 'engine', 'app'],
}
/** What one file may load on demand besides that, so that a process pays only for what it uses. */
const onDemand: Readonly<Record<string, readonly string[]>> = { 'app/connect.ts': ['engines/*', 'transports/*'] }
/** What core and canvas may import from outside: types of a standard, no I/O. */
const pureFolders = ['core', 'canvas']
const purePackages = ['@standard-schema/spec']
const entryPoints = ['index.ts']
const bannedNames = /^(utils?|types|interfaces|helpers?)$/

interface Import {
  readonly from: string
  readonly to: string
  readonly isDynamic: boolean
}

/** Every breach of the law in the given files (path under src/ → text), as lines to print. */
export function findBreaches(files: ReadonlyMap<string, string>): string[] {
  const imports = [...files].flatMap(([path, text]) => readImports(path, text))
  const forbidden = imports.filter((one) => !isAllowed(one)).map(({ from, to }) => `${from} -> ${to}`)
  return [...forbidden, ...[...files.keys()].flatMap(findBadNames), ...findCycles(imports)]
}

function readImports(from: string, text: string): Import[] {
  return ts.preProcessFile(text, true, false).importedFiles.map(({ fileName, pos }) => ({
    from,
    to: fileName.startsWith('.') ? posix.join(posix.dirname(from), fileName) : fileName,
    isDynamic: /\bimport\s*\(\s*$/.test(text.slice(0, pos)) && !/\btypeof\s+import\s*\(\s*$/.test(text.slice(0, pos)),
  }))
}

function isAllowed({ from, to, isDynamic }: Import): boolean {
  const [source, target] = [folderOf(from), folderOf(to)]
  if (!isSourceFile(to)) return !pureFolders.includes(source) || purePackages.includes(to)
  if (source === target) return true
  const allowed = [...(law[ruleFor(source)] ?? []), ...(isDynamic ? (onDemand[from] ?? []) : [])]
  return allowed.includes('*') || allowed.includes(ruleFor(target))
}

function findBadNames(path: string): string[] {
  const names = path.split('/')
  return [
    ...(law[ruleFor(folderOf(path))] ? [] : [`${path}: the import law does not know this folder`]),
    ...(names.at(-1) === 'index.ts' && !entryPoints.includes(path)
      ? [`${path}: only entry points are called index.ts`]
      : []),
    ...names
      .filter((name) => bannedNames.test(name.split('.')[0] ?? ''))
      .map((name) => `${path}: "${name}" names no subject`),
  ]
}

function findCycles(imports: readonly Import[]): string[] {
  const next = Map.groupBy(
    imports.filter(({ to }) => isSourceFile(to)),
    ({ from }) => from,
  )
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (file: string, trail: readonly string[]): void => {
    if (trail.includes(file)) cycles.push(`cycle: ${[...trail.slice(trail.indexOf(file)), file].join(' -> ')}`)
    if (trail.includes(file) || done.has(file)) return
    for (const { to } of next.get(file) ?? []) visit(to, [...trail, file])
    done.add(file)
  }
  for (const file of next.keys()) visit(file, [])
  return cycles
}

const isSourceFile = (path: string): boolean => path.endsWith('.ts')

/** `core/job.ts` → core, `engines/sqlite/claim.ts` → engines/sqlite, `index.ts` → index.ts */
function folderOf(path: string): string {
  const [first = '', second = ''] = path.split('/')
  return first === 'engines' || first === 'transports' ? `${first}/${second}` : first
}

const ruleFor = (folder: string): string => folder.replace(/^(engines|transports)\/.*/, '$1/*')

function readSource(root: string): Map<string, string> {
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((path) => path.replaceAll('\\', '/'))
  const sources = paths.filter((path) => path.endsWith('.ts') && !/\.test(-d)?\.ts$/.test(path))
  return new Map(sources.map((path) => [path, readFileSync(`${root}/${path}`, 'utf8')]))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const breaches = findBreaches(readSource(fileURLToPath(new URL('../src', import.meta.url))))
  for (const breach of breaches) console.error(breach)
  if (breaches.length > 0) process.exit(1)
}
