import { expect, test } from 'vitest'
import type { JobDetail } from '../../src/core/job.ts'
import { historyBytes, logLimit } from '../../src/engine/limits.ts'
import { alone, submission } from '../fixtures/graphs.ts'
import { failure, hand, type Hand } from '../fixtures/hand.ts'
import { onEveryEngine } from '../fixtures/store.ts'

/** A failure with nine causes is as large as this. */
const stack = 's'.repeat(100_000)
const data = JSON.stringify('d'.repeat(16_000))

onEveryEngine((open) => {
  /** A job that failed and was tried again. */
  async function tried(attempts: number, lines: number): Promise<JobDetail> {
    const { engine } = await open()
    const graph = alone('a')
    await engine.submit([submission(graph)])
    const worker = await hand(engine)
    for (let attempt = 1; attempt <= attempts; attempt++) await fail(worker, attempt)
    await write(worker, lines)
    return (await engine.job(graph.id)) as JobDetail
  }
  async function fail(worker: Hand, attempt: number): Promise<void> {
    const about = { ...failure(`attempt ${attempt}`, attempt), stack }
    await worker.settle(await worker.take(), { type: 'retried', failure: about, delay: 0 })
  }
  async function write(worker: Hand, lines: number): Promise<void> {
    const { ref, token, attempt } = await worker.take()
    const line = (at: number) => ({ at: 0, attempt, level: 'info' as const, message: `line ${at}`, data })
    for (let at = 0; at < lines; at += 100)
      await worker.beat({
        log: Array.from({ length: Math.min(100, lines - at) }, (_, n) => ({ ref, token, line: line(at + n) })),
      })
  }

  test('is whole while it is small', async () => {
    const job = await tried(3, 20)
    expect(job.omitted).toBeNull()
    expect(job.attempts.map(({ failure }) => failure?.message)).toEqual([
      'attempt 1',
      'attempt 2',
      'attempt 3',
      undefined,
    ])
    expect(job.log.map(({ message }) => message)).toEqual(Array.from({ length: 20 }, (_, at) => `line ${at}`))
  })

  test('tells the newest failures and log lines as far as they fit, and how many are left out', async () => {
    const attempts = 60
    const job = await tried(attempts, logLimit)
    const failures = job.attempts.flatMap(({ failure }) => failure ?? [])
    const { failures: lost, lines } = job.omitted!
    // All attempts are there, and each failure is whole or left out.
    expect(job.attempts.map(({ attempt }) => attempt)).toEqual(Array.from({ length: attempts + 1 }, (_, n) => n + 1))
    expect(failures.length + lost).toBe(attempts)
    expect(failures.map(({ message }) => message)).toEqual(
      Array.from({ length: failures.length }, (_, n) => `attempt ${lost + n + 1}`),
    )
    for (const each of failures) expect(each.stack).toBe(stack)
    expect(job.log.length + lines).toBe(logLimit)
    expect(job.log.map(({ message }) => message)).toEqual(
      Array.from({ length: job.log.length }, (_, n) => `line ${lines + n}`),
    )
    // As much as fits, and no more.
    const size = JSON.stringify(job.log).length
    expect(JSON.stringify(failures).length).toBeLessThanOrEqual(historyBytes)
    expect(JSON.stringify(failures).length).toBeGreaterThan(historyBytes - 2 * stack.length)
    expect(size).toBeLessThanOrEqual(historyBytes * 1.1)
    expect(size).toBeGreaterThan(historyBytes / 2)
  })
})
