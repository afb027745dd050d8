import type { Case, Figures, Run } from '../case.ts'
import { fileUrl } from './celeriac.ts'
import { withDatabase } from './database.ts'
import { withKeyspace } from './keyspace.ts'
import { withScratchFile } from './scratch-file.ts'

/** Gives the url of an empty store, which is gone when it has been used. */
export const withStore = {
  fast: (run: Run, use: (url: string) => Promise<Figures>) =>
    withScratchFile(run, (path) => use(fileUrl(path, 'fast'))),
  sqlite: (run: Run, use: (url: string) => Promise<Figures>) =>
    withScratchFile(run, (path) => use(fileUrl(path, 'durable'))),
  postgres: withDatabase<Figures>,
  redis: withKeyspace<Figures>,
}

export type Store = keyof typeof withStore

/** All with their defaults, as the table calls them. */
export const stores = [
  ['sqlite', 'SQLite'],
  ['postgres', 'PostgreSQL'],
  ['redis', 'Redis'],
] as const

/** A contender for each, called like the store. */
export const onEachStore = (measure: (url: string, run: Run) => Promise<Figures>): Case['contenders'] =>
  Object.fromEntries(stores.map(([store]) => [store, (run) => withStore[store](run, (url) => measure(url, run))]))
