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
  const needed = await neededBy(root)
  const missing = needed.filter((kind) => !process.env[urlOf(kind)])
  const isBrowserNeeded = await needsBrowser(root)
  install(missing, isBrowserNeeded)
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

function install(kinds: readonly EngineKind[], isBrowserNeeded: boolean): void {
  const packages = [
    ...(kinds.includes('postgres') && findPostgres() === null ? ['postgresql'] : []),
    ...(kinds.includes('postgres') && findProgram('pgbouncer') === null ? ['pgbouncer'] : []),
    ...(kinds.includes('redis') && findRedis() === null ? ['redis-server'] : []),
    // The documentation shows it.
    ...(findProgram('curl') === null ? ['curl'] : []),
    ...(isBrowserNeeded && findChromium() === null ? ['chromium'] : []),
  ]
  if (packages.length === 0 || !mayInstall()) return
  console.log(`Installing what the tests need and this machine lacks: ${packages.join(', ')}`)
  try {
    installPackages(packages)
  } catch (error) {
    // What cannot be tested for it is told at the end.
    console.error(error instanceof Error ? error.message : error)
  }
}

async function needsBrowser(root: TestProject): Promise<boolean> {
  return (await chosenFiles(root)).some((file) => file.includes('/test/browser/'))
}

async function chosenFiles(root: TestProject): Promise<string[]> {
  const { filenamePattern } = root.vitest as { readonly filenamePattern?: string[] }
  const chosen = await root.vitest.globTestSpecifications(filenamePattern)
  return chosen.map((specification) => specification.moduleId)
}

/** Engines named in a run narrowed by `-t` are all that it needs, and a file beside the source says what it needs. */
async function neededBy(root: TestProject): Promise<EngineKind[]> {
  if (!(await chosenFiles(root)).some(needsServers)) return []
  const name = root.vitest.config.testNamePattern?.source ?? ''
  const isNarrowed = /sqlite|postgres|redis/.test(name)
  return (['postgres', 'redis'] as const).filter((kind) => !isNarrowed || name.includes(kind))
}

const isAboutServers = /test\/(engines|servers\/|fixtures\/(store|system))|CELERIAC_TEST_(POSTGRES|REDIS)_URL/
const needsServers = (file: string): boolean =>
  (/\/test\//.test(file) && !file.includes('/test/browser/')) || isAboutServers.test(readFileSync(file, 'utf8'))
