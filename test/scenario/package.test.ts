import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Celeriac } from 'celeriac'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { linksOf, readPage } from '../docs/page.ts'
import { layOut, layOutNpx, runPage } from '../docs/run.ts'
import { start } from '../fixtures/command-process.ts'

const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
const place = mkdtempSync(join(tmpdir(), 'celeriac-package-'))
afterAll(() => rmSync(place, { recursive: true, force: true }))

/** What the package is built and packed from; in a folder of its own, for others may be using `dist`. */
const sources = [
  ...['package.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/build.ts', 'src', 'docs', 'examples/own-api'],
  ...['README.md', 'CHANGELOG.md', 'LICENSE'],
]

/** A project that has installed the packed package, and has what it depends on from here. */
const modules = join(place, 'node_modules')
const installed = join(modules, 'celeriac')

beforeAll(() => {
  const staged = join(place, 'staged')
  for (const name of sources) cpSync(join(root, name), join(staged, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(staged, 'node_modules'))
  run(process.execPath, ['scripts/build.ts'], staged)
  run('npm', ['pack', '--ignore-scripts', '--pack-destination', place], staged)
  mkdirSync(installed, { recursive: true })
  const [packed] = readdirSync(place).filter((name) => name.endsWith('.tgz'))
  run('tar', ['xzf', join(place, packed!), '--strip-components=1', '-C', installed], place)
  rmSync(staged, { recursive: true })
  for (const name of readdirSync(join(root, 'node_modules')).filter((one) => !/^(\.|celeriac)/.test(one)))
    symlinkSync(join(root, 'node_modules', name), join(modules, name))
  mkdirSync(join(modules, '.bin'))
  symlinkSync('../celeriac/dist/cli/main.js', join(modules, '.bin/celeriac'))
  // As npm does when it links it.
  chmodSync(join(installed, 'dist/cli/main.js'), 0o755)
  layOutNpx(place, join(installed, 'dist/cli/main.js'))
}, 180_000)

function run(program: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`)
  return stdout
}

describe('the packed package', () => {
  it(
    'does what the README shows, and compiles there with the tsconfig of the README',
    { timeout: 120_000 },
    async () => {
      const laidOut = layOut(root, place, readPage(root, 'README.md'))
      expect(await runPage(root, place, laidOut, { isInstalled: true })).toBe('')
      rmSync(join(laidOut.folder, 'page.run.ts'))
      run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.'], laidOut.folder)
    },
  )

  it('has all that its pages lead to', () => {
    const pages = ['README.md', ...readdirSync(join(installed, 'docs')).map((name) => `docs/${name}`)]
    const links = pages.flatMap((path) => linksOf(readPage(installed, path)).map((link) => ({ path, link })))
    const isThere = (path: string, link: string): boolean =>
      existsSync(join(installed, dirname(path), link.split('#')[0] || path.replace('docs/', '')))
    expect(links.length).toBeGreaterThan(50)
    expect(links.filter(({ path, link }) => !isThere(path, link))).toEqual([])
  })

  it('leads from its declarations to their source', () => {
    const map = join(installed, 'dist/app/celeriac.d.ts.map')
    const { sources } = JSON.parse(readFileSync(map, 'utf8')) as { sources: string[] }
    expect(sources.map((source) => existsSync(join(dirname(map), source)))).toEqual([true])
  })

  it('has no tests in it', () => {
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' })
    expect(files.filter((file) => /\.test(-d)?\./.test(file))).toEqual([])
  })
})

/** A project that has neither driver: only the package, and what it depends on. */
function layOutBare(): string {
  const bare = mkdtempSync(join(tmpdir(), 'celeriac-bundle-'))
  onTestFinished(() => rmSync(bare, { recursive: true }))
  cpSync(installed, join(bare, 'node_modules/celeriac'), { recursive: true })
  const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as { dependencies: object }
  for (const name of Object.keys(dependencies)) {
    mkdirSync(dirname(join(bare, 'node_modules', name)), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), join(bare, 'node_modules', name))
  }
  writeFileSync(
    join(bare, 'worker.ts'),
    `import { Celeriac } from 'celeriac'
import { createHandler } from 'celeriac/http'
import { Worker } from 'celeriac/worker'
async function main() {
  const app = new Celeriac({ url: 'sqlite:jobs.db' })
  const add = app.task('add', (a, b) => a + b)
  const worker = new Worker(app)
  await worker.start()
  console.log('sum', await (await add.delay(1, 2)).result())
  const answer = await createHandler(app, { auth: 'none' })(new Request('http://x/openapi.json'))
  console.log('document', answer.status, (await answer.json()).info?.version)
  await worker.stop()
  await app.close()
  for (const url of ['postgres://127.0.0.1:1/shop', 'redis://127.0.0.1:1?timeout=100ms'])
    await new Celeriac({ url }).jobs.list().catch(({ code }) => console.log(code))
}
void main()
`,
  )
  return bare
}

const workersPage = readFileSync(join(root, 'docs/workers.md'), 'utf8')
const [, bundling = ''] = /^npx esbuild (.*)$/m.exec(workersPage) ?? []
const [, banner = ''] = /`--banner:js="(.*)"`/.exec(workersPage) ?? []

describe('a bundle by the command of docs/workers.md', () => {
  it.each(['esm', 'cjs'])('works as %s, with and without drivers', { timeout: 60_000 }, (format) => {
    const bare = layOutBare()
    const args = bundling.replace('--format=esm', `--format=${format}`).split(' ')
    if (format === 'esm') args.push(`--banner:js=${banner}`)
    run(join(root, 'node_modules/.bin/esbuild'), [...args, '--log-level=error'], bare)
    writeFileSync(join(bare, 'dist/package.json'), format === 'esm' ? '{"type":"module"}' : '{}')
    // Where it runs there is nothing but the bundle.
    rmSync(join(bare, 'node_modules'), { recursive: true })
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    const before = `sum 3\ndocument 200 ${version}\n`
    expect(run(process.execPath, ['dist/worker.js'], bare)).toBe(`${before}DRIVER_MISSING\nDRIVER_MISSING\n`)
    mkdirSync(join(bare, 'node_modules/@redis'), { recursive: true })
    for (const name of ['pg', '@redis/client'])
      symlinkSync(join(root, 'node_modules', name), join(bare, 'node_modules', name))
    expect(run(process.execPath, ['dist/worker.js'], bare)).toBe(`${before}STORE_UNREACHABLE\nSTORE_UNREACHABLE\n`)
  })
})

const production = readPage(root, 'docs/production.md')
const blockOf = (title: string): readonly string[] => production.blocks.find((block) => block.title === title)!.lines
const lineOf = (title: string, beginning: string): string =>
  blockOf(title)
    .find((line) => line.startsWith(beginning))!
    .slice(beginning.length)

const isInNamespace = spawnSync('unshare', ['--pid', '--fork', '--kill-child', 'true']).status === 0

describe('what docs/production.md starts stops gracefully', () => {
  const shop = join(place, 'shop')
  beforeAll(() => {
    mkdirSync(shop)
    symlinkSync(modules, join(shop, 'node_modules'))
    writeFileSync(join(shop, 'package.json'), '{"type":"module"}')
    writeFileSync(
      join(shop, 'tasks.ts'),
      `import { existsSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { Celeriac } from 'celeriac'
export const app = new Celeriac()
app.task('slow', async (file: string) => {
  console.log('begun')
  while (!existsSync(file)) await setTimeout(20)
  return 'done'
})
`,
    )
  })

  const ofContainer = JSON.parse(lineOf('Dockerfile', 'CMD ')) as string[]
  const ofUnit = lineOf('celeriac-worker.service', 'ExecStart=').replace('/srv/shop', shop).split(' ')

  it.each([
    ['the command of the container', ofContainer, []],
    // Process 1 gets no signal that it does not handle.
    ...(isInNamespace
      ? [['… as process 1', ofContainer, ['unshare', '--pid', '--fork', '--kill-child']] as const]
      : []),
    ['the command of the unit', ofUnit, []],
  ] as const)('%s', { timeout: 60_000 }, async (name, [program, ...args], by) => {
    const file = join(shop, name.replace(/\W/g, ''))
    const url = `sqlite:${file}.db`
    const worker = start([program!, ...args], { cwd: shop, by, isProgram: true, env: { ...onPath, CELERIAC_URL: url } })
    onTestFinished(() => void worker.process.kill('SIGKILL'))
    await worker.says(/Working\./)
    const app = new Celeriac({ url })
    onTestFinished(() => app.close())
    const job = await app.declare<(file: string) => Promise<string>>('slow').delay(file)
    await worker.says(/^begun$/m)
    const pid = by.length === 0 ? worker.process.pid! : childOf(worker.process.pid!)
    process.kill(pid, 'SIGTERM')
    await worker.says(/[Ss]topping/)
    writeFileSync(file, '')
    expect(await worker.ended).toBe(0)
    expect((await job.snapshot()).state).toBe('succeeded')
  })
})

/** The command finds its Node by the path, and the package by itself. */
const onPath = { NODE_OPTIONS: '', PATH: `${dirname(process.execPath)}:${process.env['PATH']}` }

const childOf = (pid: number): number => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim())
