import pg from 'pg'
import type { Run } from '../case.ts'

/** Gives the url of a database of its own where nothing is yet, and drops it when it has been used. */
export async function withDatabase<T>(run: Run, use: (url: string) => Promise<T>): Promise<T> {
  const name = `bench_${process.pid}`
  await administer(run, [`drop database if exists ${name} with (force)`, `create database ${name}`, 'checkpoint'])
  try {
    return await use(databaseUrl(run, name))
  } finally {
    // Waits for some seconds for connections that are about to end.
    await administer(run, [`drop database ${name}`])
  }
}

/** One that stays for as long as the server runs. */
export async function createDatabase(run: Run, name: string): Promise<string> {
  await administer(run, [`create database ${name}`])
  return databaseUrl(run, name)
}

export function databaseUrl({ urls }: Run, name: string): string {
  const url = new URL(urls.postgres)
  url.pathname = name
  return url.href
}

async function administer({ urls }: Run, statements: readonly string[]): Promise<void> {
  await withClient(urls.postgres, async (client) => {
    for (const statement of statements) await client.query(statement)
  })
}

export async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}
