import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { Celeriac, type JobHandle } from 'celeriac'
import { Worker } from 'celeriac/worker'
import { partsOf } from '../../../src/app/parts.ts'
import { storeEnd } from '../../../src/cli/crash.ts'
import { systemRuntime } from '../../../src/core/runtime.ts'
import type { EngineUnderTest } from '../../engines.ts'
import { sourceOfCommand, start } from '../../fixtures/command-process.ts'
import { alone, submission } from '../../fixtures/graphs.ts'
import { hand, lease } from '../../fixtures/hand.ts'
import { describeEngines } from '../../fixtures/store.ts'

// Several processes start and die, one after the other.
vi.setConfig({ testTimeout: 120_000 })

const module = `import { Celeriac, currentJob } from 'celeriac'
export const app = new Celeriac()
app.task('eat', () => {
  const all: unknown[] = []
  for (;;) all.push(new Array(1000).fill(Math.random()))
})
app.task('quick', () => {})
app.task('brief', async () => Promise.resolve())
app.task('forget', async () => {
  await Promise.resolve()
  void Promise.reject(new TypeError('Nobody awaits this.'))
  await new Promise(() => {})
})
app.task('leave', async () => {
  await Promise.resolve()
  // Nothing in the process hears of this.
  process.reallyExit(9)
})
app.task('kill', () => {
  process.kill(process.pid, 'SIGKILL')
})
app.task('abort', () => process.abort())
app.task('block', { timeout: '500ms' }, () => {
  for (;;);
})
app.task('stay', async () => {
  currentJob().progress(1)
  await new Promise(() => {})
})
`

/** A worker in development that may use little memory. */
async function stage(engine: EngineUnderTest) {
  const place = await engine.place()
  const app = new Celeriac({ url: place.url })
  const folder = mkdtempSync(join(tmpdir(), 'celeriac-project-'))
  writeFileSync(join(folder, 'tasks.ts'), module)
  const temporary = mkdtempSync(join(folder, 'temporary-'))
  const dev = start(['--max-old-space-size=128', sourceOfCommand, 'dev', 'tasks.ts', '--port', '0', '--lease', '2s'], {
    cwd: folder,
    env: { CELERIAC_URL: place.url, TMPDIR: temporary },
  })
  const sweeper = new Worker(app, { queues: ['nobody'], lease: '2s', log: () => {} })
  onTestFinished(async () => {
    dev.process.kill('SIGKILL')
    await dev.ended
    await sweeper.stop({ grace: 0 })
    await app.close()
    await place.remove()
    rmSync(folder, { recursive: true })
  })
  const worker = async () => {
    const { engine } = await partsOf(app).connect()
    const [worker] = await engine.workers()
    return worker!
  }
  /** Kills the worker as the system does that has no memory left. */
  const kill = async (): Promise<void> => {
    process.kill((await worker()).pid, 'SIGKILL')
  }
  /** Waits for the end of the worker, and then until others have found it dead. Gives the first attempt of each job. */
  const firstAttempts = async (jobs: readonly JobHandle<unknown>[], said: RegExp) => {
    await dev.says(said)
    dev.process.kill('SIGTERM')
    // By then it has stored what it had to.
    expect(await dev.ended).toBe(0)
    await sweeper.start()
    return Promise.all(
      jobs.map(async (job) => {
        for await (const event of job.events()) {
          if (event.type === 'state' && event.state === 'queued') break
          if (event.type === 'snapshot' && event.job.state === 'queued') break
        }
        return (await job.snapshot()).attempts[0]
      }),
    )
  }
  const stay = async (): Promise<JobHandle<void>> => {
    const job = await app.declare<() => void>('stay').delay()
    for await (const event of job.events()) if (event.type === 'progress') break
    return job
  }
  /** Saves the module once more, so that another worker starts. */
  const restart = (text = `${module}\n`): void => {
    dev.forget()
    writeFileSync(join(folder, 'tasks.ts'), text)
  }
  return { app, dev, sweeper, worker, kill, stay, restart, firstAttempts }
}

describeEngines((engine) => {
  test('of the job that takes all memory it is told that it did', async () => {
    const { app, firstAttempts } = await stage(engine)
    const job = await app.declare<() => void>('eat').delay()
    const [attempt] = await firstAttempts([job], /dev: The worker has ended out of memory: .* Waiting for a change/)
    expect(attempt).toMatchObject({
      outcome: 'lost',
      failure: { name: 'OutOfMemory', message: expect.stringMatching(/out of memory/i), attempt: 1 },
    })
  })

  test('a job that kills its worker three times fails, and says by which signal each of them ended', async () => {
    const { app, dev, sweeper, restart } = await stage(engine)
    const job = await app.declare<() => void>('kill').delay()
    await sweeper.start()
    for (let death = 1; death <= 3; death++) {
      await dev.says(/dev: The worker has ended by SIGKILL: .* Waiting for a change/)
      if (death < 3) restart()
    }
    await expect(job.result()).rejects.toThrow(
      /died 3 times.* It ended with ProcessKilled: The process ended by SIGKILL/,
    )
    const { failure, attempts } = await job.snapshot()
    const words = { name: 'ProcessKilled', message: expect.stringContaining('by SIGKILL') }
    expect(failure).toMatchObject({ name: 'JobPoisoned', cause: { ...words, attempt: 3 } })
    expect(attempts).toMatchObject([
      { outcome: 'lost', failure: { ...words, attempt: 1 } },
      { outcome: 'lost', failure: { ...words, attempt: 2 } },
      { outcome: 'failed' },
    ])
  })

  test('how a process ended is not stored with another attempt, and ends no session anew', async () => {
    const place = await engine.place()
    const store = place.connect(systemRuntime)
    onTestFinished(async () => {
      await store.close()
      await place.remove()
    })
    await store.submit([submission(alone())])
    const [gone, other] = [await hand(store), await hand(store)]
    const { id: jobId, ref, token, attempt } = await gone.take()
    const end = { code: null, signal: 'SIGKILL', outOfMemory: null } as const
    const storeLate = () =>
      storeEnd({ url: place.url, session: gone.session, lease, jobId, ref, token, attempt }, end, systemRuntime)
    await gone.beat({ held: [], ended: true })
    await storeLate()
    await other.take()
    await storeLate()
    expect(await store.notes(ref)).toEqual([])
    const sessions = await store.workers()
    expect(sessions.find(({ id }) => id === gone.session.id)).toMatchObject({ state: 'ended' })
  })
})

describeEngines(
  (engine) => {
    test.each(['quick', 'brief'])('a job runs alone again when the %s one beside it is over', async (task) => {
      const { app, kill, stay, firstAttempts } = await stage(engine)
      const job = await stay()
      await (await app.declare<() => void>(task).delay()).result()
      await kill()
      const [attempt] = await firstAttempts([job], /Waiting for a change/)
      expect(attempt).toMatchObject({ outcome: 'lost', failure: { name: 'ProcessKilled' } })
    })

    test.each([
      ['abort', { name: 'ProcessKilled', message: expect.stringContaining('by SIGABRT') }],
      ['leave', { name: 'ProcessExit', message: 'The process ended with exit code 9.' }],
      // It has said so itself, and the supervisor says no less.
      ['forget', { name: 'TypeError', message: 'Nobody awaits this.' }],
    ])('what "%s" does to its process is told', async (task, failure) => {
      const { app, firstAttempts } = await stage(engine)
      const job = await app.declare<() => void>(task).delay()
      const [attempt] = await firstAttempts([job], /dev: The worker has ended .*\. Waiting for a change/)
      expect(attempt).toMatchObject({ outcome: 'lost', failure })
    })

    test('of the next worker, which does not start, is not told what the one before ended of', async () => {
      const { app, dev, restart } = await stage(engine)
      await app.declare<() => void>('eat').delay()
      await dev.says(/dev: The worker has ended out of memory/)
      restart('export const app = = 1')
      await dev.says(/dev: The worker has ended with exit code 1\. Waiting for a change/)
    })

    test('a process that ended its session before it is killed is left at that', async () => {
      const { app, dev, worker } = await stage(engine)
      const job = await app.declare<() => void>('block').delay()
      await dev.says(/dev: The worker has ended by SIGKILL/)
      dev.process.kill('SIGTERM')
      expect(await dev.ended).toBe(0)
      expect(await worker()).toMatchObject({ state: 'ended' })
      await expect(job.result()).rejects.toThrow('longer than its timeout allows')
    })

    test('of jobs that ran beside each other nothing is told', async () => {
      const { kill, stay, firstAttempts } = await stage(engine)
      const jobs = [await stay(), await stay()]
      await kill()
      const attempts = await firstAttempts(jobs, /Waiting for a change/)
      for (const attempt of attempts) {
        expect(attempt).toMatchObject({ outcome: 'lost' })
        expect(attempt).not.toHaveProperty('failure')
      }
    })
  },
  ['sqlite'],
)
