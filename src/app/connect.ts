import { CeleriacError } from '../core/errors.ts'
import type { Runtime } from '../core/runtime.ts'
import type { Engine } from '../engine/engine.ts'

/** Makes an engine that reads time and chance from the runtime of its app. */
export type EngineFactory = (runtime: Runtime) => Engine

/** Where an app keeps its jobs when it is not told: in the working folder. */
export const defaultUrl = 'sqlite:celeriac.db'

/** What each kind of url opens, and the driver loaded for it only when it is asked for. */
const schemes: Readonly<Record<string, (url: string) => Promise<EngineFactory>>> = {
  sqlite: async (url) => (await import('../engines/sqlite/sqlite.ts')).sqliteFromUrl(url),
  postgres: async (url) => (await import('../engines/postgres/postgres.ts')).postgresFromUrl(url),
  postgresql: async (url) => (await import('../engines/postgres/postgres.ts')).postgresFromUrl(url),
  redis: async (url) => (await import('../engines/redis/redis.ts')).redisFromUrl(url),
  rediss: async (url) => (await import('../engines/redis/redis.ts')).redisFromUrl(url),
}

/**
 * Throws where no engine answers to this url, before anything is loaded.
 *
 * @throws CeleriacError BAD_URL
 */
export function checkUrl(url: string): void {
  const scheme = schemeOf(url)
  if (Object.hasOwn(schemes, scheme)) return
  // Never the url itself: it may hold a password.
  const problem = scheme === '' ? 'A url begins with its kind' : `There is no store of the kind "${scheme}"`
  throw new CeleriacError('BAD_URL', `${problem}: write sqlite:path, postgres://host/database or redis://host.`)
}

/** Loads the engine that a url names. Nothing is opened until it is used. */
export async function engineFromUrl(url: string): Promise<EngineFactory> {
  checkUrl(url)
  return schemes[schemeOf(url)]!(url)
}

const schemeOf = (url: string): string => (/^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1] ?? '').slice(0, 40).toLowerCase()
