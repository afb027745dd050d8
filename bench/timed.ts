import type { Figures } from './case.ts'

/** How many of `count` were done in a second. */
export async function timed(count: number, work: () => Promise<unknown> | void): Promise<Figures> {
  const startedAt = performance.now()
  await work()
  return { rate: (count / (performance.now() - startedAt)) * 1000 }
}
