// What a drain costs where jobs are in many queues, or have been.
import type { Figures, Run } from '../case.ts'
import { type Awaitable, drain, fill, refuseLeftovers, withBench, type Bench } from './celeriac.ts'

/** Jobs a second of one queue, in a store where so many other queues were used and are empty. */
export function drainedBesideEmpty(url: string, run: Run, others: number): Promise<Figures> {
  return withBench(url, async (bench) => {
    if (others > 0) await drain(bench, others, await fillQueues(bench, others, others))
    return { rate: await rateOf(bench, jobs(run), () => fill(bench.add, jobs(run))) }
  })
}

/** Jobs a second where they are spread over so many queues. */
export function drainedFrom(url: string, run: Run, queues: number): Promise<Figures> {
  return withBench(url, async (bench) => ({
    rate: await rateOf(bench, jobs(run), () => fillQueues(bench, jobs(run), queues)),
  }))
}

async function rateOf(bench: Bench, count: number, sent: () => Promise<readonly Awaitable[]>): Promise<number> {
  const rate = (count / (await drain(bench, count, await sent()))) * 1000
  await refuseLeftovers(bench.app)
  return rate
}

/** In turn, so that those behind each other are in different queues. */
async function fillQueues({ app, add }: Bench, count: number, queues: number): Promise<readonly Awaitable[]> {
  const handles: Awaitable[] = []
  for (let sent = 0; sent < count; sent += 1000) {
    const calls = Array.from({ length: Math.min(1000, count - sent) }, (_, at) =>
      add.with({ queue: `queue-${(sent + at) % queues}` }).s(sent + at, 1),
    )
    handles.push(...(await app.submitMany(calls)))
  }
  return handles
}

export const manyQueues = 10_000
const jobs = ({ quick }: Run): number => (quick ? 10_000 : 30_000)
