// What is measured of Celeriac with workers in other processes.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'celeriac/worker'
import type { Figures } from '../case.ts'
import { quantiles } from '../statistics.ts'
import { fill, refuseLeftovers, settled, withBench } from './celeriac.ts'
import { latencyElsewhere } from './latency.ts'
import { serverProcess, serverTime } from './processor-time.ts'
import { countRequests } from './requests.ts'
import { celeriacWorker, now, WorkerProcess } from './worker-process.ts'

/** Jobs that are run before anything is measured, so that what runs them is compiled and loaded. */
const warmUp = 10_000

/** From the order to go on until so many processes, all at work before, have run and settled what is queued: jobs a second. */
export function drainedBy(processCount: number, url: string, count: number): Promise<Figures> {
  return withBench(url, async ({ app, add }) => {
    const workers = await Promise.all(Array.from({ length: processCount }, () => WorkerProcess.open(url)))
    const ran = (): number => workers.reduce((total, { ranCount }) => total + ranCount, 0)
    for (const worker of workers) worker.start()
    await settled(await fill(add, warmUp * processCount))
    while (ran() < warmUp * processCount) await wait(1)
    await app.queues.pause('default')
    const handles = await fill(add, count)
    const before = workers.map(({ ranCount }) => ranCount)
    const server = await serverProcess(url)
    const serverBefore = serverTime(server)
    const startedAt = performance.now()
    await app.queues.resume('default')
    while (ran() < warmUp * processCount + count) await wait(1)
    await settled(handles)
    const took = performance.now() - startedAt
    const serverMicros = ((serverTime(server) - serverBefore) * 1000) / count
    await Promise.all(workers.map((worker) => worker.stop()))
    await refuseLeftovers(app)
    const own = workers.map(({ ranCount }, n) => ranCount - (before[n] ?? 0))
    return { rate: (count / took) * 1000, share: Math.max(...own) / count, serverMicros }
  })
}

/** From the call to the first line of the handler in another process, in milliseconds. */
export function celeriacLatencyElsewhere(url: string, count: number): Promise<Figures> {
  return withBench(url, ({ app }) => {
    const mark = app.declare<() => void>('bench.mark')
    return latencyElsewhere(url, celeriacWorker, count, () => mark.delay())
  })
}

/** From `cancel()` to the abort that the handler in another process sees, in milliseconds. */
export function cancelledElsewhere(url: string, count: number): Promise<Figures> {
  return withBench(url, async ({ app }) => {
    const hold = app.declare<() => void>('bench.hold')
    const worker = await WorkerProcess.open(url)
    worker.start()
    const waits: number[] = []
    for (let index = 0; index < count; index++) {
      const began = worker.next('began')
      const handle = await hold.delay()
      await began
      const aborted = worker.next('aborted')
      const cancelledAt = now()
      await handle.cancel()
      waits.push((await aborted) - cancelledAt)
      await handle.result().catch(() => undefined)
    }
    await worker.stop()
    return quantiles(waits)
  })
}

const reportingProcess = fileURLToPath(new URL('reporting-process.ts', import.meta.url))

/** From `progress()` in a handler to the event in another process that follows the job, in milliseconds. */
export function progressElsewhere(url: string, count: number): Promise<Figures> {
  return withBench(url, async ({ app }) => {
    const report = app.declare<(count: number) => number>('bench.report')
    const job = await report.delay(count)
    const worker = fork(reportingProcess, [url], { execArgv: ['--disable-warning=ExperimentalWarning'] })
    const waits: number[] = []
    for await (const event of job.events()) {
      if (event.type === 'progress') waits.push(now() - Number(event.message))
    }
    const ended = once(worker, 'exit')
    worker.send('stop')
    await ended
    return quantiles(waits)
  })
}

/** What a worker that has nothing to do asks of the server and of the processor, in so many seconds. */
export function idled(url: string, seconds: number): Promise<Figures> {
  return withBench(url, async ({ app, add }) => {
    const worker = new Worker(app)
    await worker.start()
    await (await add.delay(1, 1)).result()
    // What the start set going (compiling, collecting garbage) is not idling; and PostgreSQL counts what a connection did only
    // when it has been idle for ten seconds.
    await wait(12_000)
    const before = process.cpuUsage()
    const requests = await countRequests(url, () => wait(seconds * 1000))
    const { user, system } = process.cpuUsage(before)
    await worker.stop()
    return { requests, percent: (user + system) / 10_000 / seconds }
  })
}

/** From the end of a worker's process to the start of its job in another one, in seconds. */
export function runAgain(url: string): Promise<Figures> {
  return withBench(url, async ({ app }) => {
    const hold = app.declare<() => void>('bench.hold')
    const [first, second] = [await WorkerProcess.open(url), await WorkerProcess.open(url)]
    first.start()
    const began = first.next('began')
    const handle = await hold.delay()
    await began
    second.start()
    const again = second.next('began')
    const killedAt = first.kill()
    const seconds = ((await again) - killedAt) / 1000
    await handle.cancel()
    await second.stop()
    return { seconds }
  })
}
