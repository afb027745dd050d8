import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { findPostgres } from './postgres.ts'
import { findProgram } from './programs.ts'
import { findRedis } from './redis.ts'

// Each runs tests that start servers.
vi.setConfig({ testTimeout: 120_000 })

const repository = fileURLToPath(new URL('../../', import.meta.url))
const real = {
  postgres: findPostgres(),
  redis: findRedis(),
  pgbouncer: findProgram('pgbouncer'),
  id: findProgram('id'),
}
const canPretend = process.getuid?.() === 0 && Object.values(real).every((program) => program !== null)

/** A folder that stands for a Debian without servers: nothing is on its PATH but what is put there. */
let machine: string
beforeEach(() => {
  machine = mkdtempSync(join(tmpdir(), 'celeriac-machine-'))
  // Servers run as somebody else.
  chmodSync(machine, 0o755)
  for (const folder of ['bin', 'etc', 'usr/sbin', 'run/systemd/system'])
    mkdirSync(join(machine, folder), { recursive: true })
  writeFileSync(join(machine, 'etc/debian_version'), '12.0\n')
  if (real.id !== null) symlinkSync(real.id, join(machine, 'bin/id'))
})
afterEach(() => rmSync(machine, { recursive: true }))

function program(name: string, ...lines: readonly string[]): void {
  writeFileSync(
    join(machine, 'bin', name),
    ['#!/bin/sh', `echo "${name} $*" >> ${machine}/told`, ...lines, ''].join('\n'),
    {
      mode: 0o755,
    },
  )
}

/** Where Debian puts the programs of a package, and where they are on this machine. */
const places = (): Readonly<Record<string, readonly (readonly [path: string, program: string])[]>> => {
  const folder = dirname(realpathSync(real.postgres?.server ?? ''))
  const version = `${machine}/usr/lib/postgresql/15/bin`
  return {
    postgresql: ['postgres', 'initdb'].map((name) => [`${version}/${name}`, join(folder, name)]),
    pgbouncer: [[`${machine}/usr/sbin/pgbouncer`, real.pgbouncer ?? '']],
    'redis-server': [[`${machine}/bin/redis-server`, real.redis ?? '']],
  }
}

function put(name: string): void {
  for (const [path, target] of places()[name] ?? []) {
    mkdirSync(dirname(path), { recursive: true })
    symlinkSync(target, path)
  }
}

/** One that puts links in place of programs, and tells whether a service would be started. */
function workingApt(): void {
  const installs = Object.entries(places()).map(([name, links]) => {
    const put = links.map(([path, target]) => `/bin/mkdir -p ${dirname(path)}; /bin/ln -s ${target} ${path}`)
    return `case " $* " in *" install "*" ${name} "*) ${put.join('; ')};; esac`
  })
  program('apt-get', `${machine}/usr/sbin/policy-rc.d`, `echo "policy $?" >> ${machine}/told`, ...installs)
  program('systemctl')
}

function failingApt(): void {
  program('apt-get', 'echo "no network" >&2', 'exit 100')
}

interface Ran {
  readonly code: number | null
  readonly out: string
}

/** Runs a few tests of every engine on that machine. */
function run(environment: Readonly<Record<string, string>> = {}, ...options: readonly string[]): Promise<Ran> {
  const given = Object.entries(process.env).filter(([name]) => !/^(CELERIAC_|VITEST|CI$)/.test(name))
  const child = spawn(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', '--project', 'contract', 'test/contract/there.test.ts', ...options],
    {
      cwd: repository,
      env: { ...Object.fromEntries(given), PATH: join(machine, 'bin'), CELERIAC_TEST_MACHINE: machine, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let out = ''
  for (const output of [child.stdout, child.stderr])
    output.setEncoding('utf8').on('data', (text: string) => (out += text))
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out })))
}

const told = (): string[] => readFileSync(join(machine, 'told'), 'utf8').trimEnd().split('\n')
const policy = (): string => join(machine, 'usr/sbin/policy-rc.d')
const waits = '-o DPkg::Lock::Timeout=120'

describe.skipIf(!canPretend)('a Debian without servers, as root', () => {
  test('what is missing is installed, none of its services is started, and every engine is tested', async () => {
    workingApt()
    const { code, out } = await run()
    expect(out.trimEnd().split('\n').at(-1)).toBe('6 passed, 0 failed, 0 skipped')
    expect(code).toBe(0)
    expect(told()).toEqual([
      `apt-get ${waits} update`,
      'policy 101',
      `apt-get ${waits} install -y --no-install-recommends postgresql pgbouncer redis-server`,
      'policy 101',
      'systemctl disable --now postgresql pgbouncer redis-server',
    ])
    expect(existsSync(policy())).toBe(false)
  })

  test('what is there stays as it is: its service, and a policy of the machine’s own', async () => {
    put('postgresql')
    put('redis-server')
    workingApt()
    writeFileSync(policy(), '#!/bin/sh\nexit 104\n', { mode: 0o755 })
    const { code, out } = await run({}, '-t', 'engine postgres')
    expect(out).toMatch(/\n2 passed, 0 failed, 4 skipped\n$/)
    expect(code).toBe(0)
    expect(told()).toEqual([
      `apt-get ${waits} update`,
      'policy 104',
      `apt-get ${waits} install -y --no-install-recommends pgbouncer`,
      'policy 104',
      'systemctl disable --now pgbouncer',
    ])
    expect(readFileSync(policy(), 'utf8')).toBe('#!/bin/sh\nexit 104\n')
  })

  test('a policy that was left by tests that were killed forbids nothing, and is replaced', async () => {
    put('postgresql')
    workingApt()
    program('apt-get', 'kill -9 $PPID')
    expect((await run({}, '-t', 'engine postgres')).code).not.toBe(0)
    expect(readFileSync(policy(), 'utf8')).toMatch(/exit 101/)
    const asked = spawn(policy(), { stdio: 'ignore' })
    expect(await new Promise((resolve) => asked.once('exit', resolve))).toBe(0)
    rmSync(join(machine, 'told'))
    workingApt()
    expect((await run({}, '-t', 'engine postgres')).code).toBe(0)
    expect(told().filter((line) => line.startsWith('policy'))).toEqual(['policy 101', 'policy 101'])
    expect(existsSync(policy())).toBe(false)
  })
})

describe.skipIf(!canPretend)('a machine on which servers cannot be had', () => {
  test.each([
    ['nothing installs anything', (): void => undefined, {}],
    ['installing fails', failingApt, {}],
    ['installing fails, under CI', failingApt, { CI: 'true' }],
  ] as const)('%s: what was not tested is told of at the end, and the run fails', async (_, prepare, environment) => {
    prepare()
    const { code, out } = await run(environment)
    expect(code).toBe(1)
    expect(out.trimEnd().split('\n').slice(-3)).toEqual([
      expect.stringMatching(/^FAILED, NOT TESTED: engine postgres, because this machine has neither the programs/),
      expect.stringMatching(/^FAILED, NOT TESTED: engine redis, because this machine has neither redis-server/),
      '2 passed, 2 failed, 4 skipped',
    ])
    if (existsSync(join(machine, 'told'))) expect(out).toContain('no network')
    expect(existsSync(policy())).toBe(false)
  })
})
