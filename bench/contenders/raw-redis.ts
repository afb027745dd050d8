import type { RedisClientType } from '@redis/client'
import type { Figures } from '../case.ts'
import { quantiles } from '../statistics.ts'
import { costed } from './processor-time.ts'
import { withClient } from './keyspace.ts'

const claimSize = 500
/** Of so many loops one waits for the server while another one works. */
const loops = 2

// No identity, events, order or handlers: a list of numbers, a body and a result for each, and who has it.
const add = `
  local last = redis.call('incrby', 'raw:last', #ARGV)
  local numbers, bodies = {}, {}
  for n = 1, #ARGV do
    local number = last - #ARGV + n
    numbers[n] = number
    bodies[2 * n - 1] = 'raw:job:' .. number
    bodies[2 * n] = ARGV[n]
  end
  redis.call('mset', unpack(bodies))
  redis.call('rpush', 'raw:queue', unpack(numbers))
`
const claim = `
  local numbers = redis.call('lpop', 'raw:queue', ARGV[1])
  if not numbers then return {} end
  local keys, held = {}, {}
  for n = 1, #numbers do
    keys[n] = 'raw:job:' .. numbers[n]
    held[2 * n - 1] = numbers[n]
    held[2 * n] = ARGV[2]
  end
  redis.call('hset', 'raw:running', unpack(held))
  return { numbers, redis.call('mget', unpack(keys)) }
`
const finish = `
  local results, numbers = {}, {}
  for n = 1, #ARGV, 2 do
    numbers[#numbers + 1] = ARGV[n]
    results[n] = 'raw:job:' .. ARGV[n]
    results[n + 1] = ARGV[n + 1]
  end
  redis.call('mset', unpack(results))
  redis.call('hdel', 'raw:running', unpack(numbers))
`

export function fillRaw(url: string, count: number): Promise<Figures> {
  return withClient(url, (client) =>
    costed(url, count, async () => {
      const bodies = Array.from({ length: 1000 }, () => '[1,1]')
      const startedAt = performance.now()
      for (let added = 0; added < count; added += bodies.length) await run(client, add, bodies)
      return performance.now() - startedAt
    }),
  )
}

export function drainRaw(url: string, count: number): Promise<Figures> {
  return withClient(url, (client) =>
    costed(url, count, async () => {
      const startedAt = performance.now()
      await Promise.all(Array.from({ length: loops }, () => claimAndFinish(client)))
      return performance.now() - startedAt
    }),
  )
}

async function claimAndFinish(client: RedisClientType): Promise<void> {
  for (;;) {
    const [numbers, bodies] = (await run(client, claim, [String(claimSize), '7'])) as [string[]?, string[]?]
    if (!numbers || !bodies) return
    const results = numbers.flatMap((number, n) => [String(number), String((JSON.parse(bodies[n]!) as number[])[0])])
    await run(client, finish, results)
  }
}

const loaded = new WeakMap<RedisClientType, Map<string, string>>()

async function run(client: RedisClientType, script: string, args: string[]): Promise<unknown> {
  let known = loaded.get(client)
  if (!known) loaded.set(client, (known = new Map()))
  let digest = known.get(script)
  if (digest === undefined) known.set(script, (digest = await client.scriptLoad(script)))
  return client.evalSha(digest, { arguments: args })
}

/** A request that does nothing, in milliseconds. */
export function requests(url: string, count: number): Promise<Figures> {
  return withClient(url, async (client) => {
    const times: number[] = []
    for (let index = 0; index < count; index++) {
      const startedAt = performance.now()
      await client.ping()
      times.push(performance.now() - startedAt)
    }
    return { ping: quantiles(times).p50 }
  })
}
