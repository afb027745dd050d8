import { readFileSync } from 'node:fs'
import type { TestProject } from 'vitest/node'
import { hire, type Hired } from './hire.ts'
import { findPostgres } from './postgres.ts'
import { findChromium } from './chromium.ts'
import { findProgram, installPackages, mayInstall } from './programs.ts'
import { findRedis } from './redis.ts'

type EngineKind = 'postgres' | 'redis'

// What tests, and the processes that they start, find in their environment.
const urlOf = (kind: EngineKind): string => `CELERIAC_TEST_${kind.toUpperCase()}_URL`
const reasonOf = (kind: EngineKind): string => `CELERIAC_UNTESTED_${kind.toUpperCase()}`

/** Starts, once for a run and side by side, the servers that the chosen tests need and that were not given. */
export default async function setup(root: TestProject): Promise<() => Promise<void>> {
  const files = await chosenFiles(root)
  const missing = neededBy(files, root).filter((kind) => !process.env[urlOf(kind)])
  const isBrowserNeeded = files.some((file) => file.includes('/test/browser/'))
  // The documentation shows it.
  const isCurlNeeded = files.some((file) => file.endsWith('/test/scenario/docs.test.ts'))
  const isNginxNeeded = files.some((file) => file.endsWith('/test/http/local.test.ts'))
  install([
    ...packagesOf(missing),
    ...(isBrowserNeeded && findChromium() === null ? ['chromium'] : []),
    ...(isCurlNeeded && findProgram('curl') === null ? ['curl'] : []),
    ...(isNginxNeeded && findProgram('nginx') === null ? ['nginx-light'] : []),
  ])
  if (isBrowserNeeded && findChromium() === null) process.env['CELERIAC_UNTESTED_CHROMIUM'] = noBrowser
  const hired = await Promise.all(missing.map(start))
  return async () => void (await Promise.all(hired.map(async (server) => server?.remove())))
}

async function start(kind: EngineKind): Promise<Hired | null> {
  try {
    const server = await hire(kind)
    process.env[urlOf(kind)] = server.url
    process.env['CELERIAC_TEST_OWN_SERVERS'] = `${process.env['CELERIAC_TEST_OWN_SERVERS'] ?? ''} ${kind}`.trim()
    return server
  } catch (error) {
    process.env[reasonOf(kind)] = error instanceof Error ? error.message : String(error)
    return null
  }
}

const noBrowser = 'there is no chromium on PATH: install it, or run the tests as root where apt-get can'

const packagesOf = (kinds: readonly EngineKind[]): string[] => [
  ...(kinds.includes('postgres') && findPostgres() === null ? ['postgresql'] : []),
  ...(kinds.includes('postgres') && findProgram('pgbouncer') === null ? ['pgbouncer'] : []),
  ...(kinds.includes('redis') && findRedis() === null ? ['redis-server'] : []),
]

function install(packages: readonly string[]): void {
  if (packages.length === 0 || !mayInstall()) return
  console.log(`Installing what the tests need and this machine lacks: ${packages.join(', ')}`)
  try {
    installPackages(packages)
  } catch (error) {
    // What cannot be tested for it is told at the end.
    console.error(error instanceof Error ? error.message : error)
  }
}

async function chosenFiles(root: TestProject): Promise<string[]> {
  const { filenamePattern } = root.vitest as { readonly filenamePattern?: string[] }
  const chosen = await root.vitest.globTestSpecifications(filenamePattern)
  return chosen.map((specification) => specification.moduleId)
}

/** Engines named in a run narrowed by `-t` are all that it needs, and a file beside the source says what it needs. */
function neededBy(files: readonly string[], root: TestProject): EngineKind[] {
  if (!files.some(needsServers)) return []
  const name = root.vitest.config.testNamePattern?.source ?? ''
  const isNarrowed = /sqlite|postgres|redis/.test(name)
  return (['postgres', 'redis'] as const).filter((kind) => !isNarrowed || name.includes(kind))
}

const isAboutServers = /test\/(engines|servers\/|fixtures\/(store|system))|CELERIAC_TEST_(POSTGRES|REDIS)_URL/
const needsServers = (file: string): boolean =>
  (/\/test\//.test(file) && !file.includes('/test/browser/')) || isAboutServers.test(readFileSync(file, 'utf8'))
