import pg from 'pg'
import { afterAll, afterEach, beforeAll } from 'vitest'
import { hire, type Hired } from './hire.ts'
import type { Settings } from './server.ts'

/** What a test puts in here is called when it is over, the last first. */
export function closedAfterEach(): (() => unknown)[] {
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })
  return closing
}

/** A server for the tests of one file. There from the first of them to the last. */
export interface OwnPostgres {
  readonly server: Hired
  /** A connection of its superuser. */
  readonly admin: pg.Client
}

/** @param prepare what is to be there before the first test */
export function ownPostgres(settings: Settings = {}, prepare?: (admin: pg.Client) => Promise<unknown>): OwnPostgres {
  const own = {} as { server: Hired; admin: pg.Client }
  beforeAll(async () => {
    own.server = await hire('postgres', settings)
    own.admin = new pg.Client(own.server.url)
    await own.admin.connect()
    await prepare?.(own.admin)
  })
  afterAll(async () => {
    await own.admin.end()
    await own.server.remove()
  })
  return own
}

export function ownRedis(settings: Settings = {}): { readonly server: Hired } {
  const own = {} as { server: Hired }
  beforeAll(async () => {
    own.server = await hire('redis', settings)
  })
  afterAll(() => own.server.remove())
  return own
}
