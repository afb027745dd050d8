import { createClient, type RedisClientType } from '@redis/client'
import type { Run } from '../case.ts'

/** The databases of the server that are emptied around each sample; the others are for what is prepared. */
const passing = [0, 1]

/** Gives the url of a Redis that holds nothing, and empties it when it has been used. */
export async function withKeyspace<T>(run: Run, use: (url: string) => Promise<T>): Promise<T> {
  await empty(run)
  try {
    return await use(run.urls.redis)
  } finally {
    await empty(run)
  }
}

/** The url of one that is not emptied, numbered from 2. */
export const keyspaceUrl = ({ urls }: Run, number: number): string => `${urls.redis}/${number}`

async function empty(run: Run): Promise<void> {
  for (const number of passing) await withClient(keyspaceUrl(run, number), (client) => client.flushDb())
}

export async function withClient<T>(url: string, use: (client: RedisClientType) => Promise<T>): Promise<T> {
  const client: RedisClientType = createClient({ url })
  await client.connect()
  try {
    return await use(client)
  } finally {
    client.destroy()
  }
}
