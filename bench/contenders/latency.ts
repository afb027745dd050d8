import { setTimeout as wait } from 'node:timers/promises'
import type { Figures } from '../case.ts'
import { quantiles } from '../statistics.ts'
import { now, WorkerProcess } from './worker-process.ts'

/** Between two calls, in milliseconds: long enough for everything to be idle again. */
const rest = 25

/** From a call that adds a job to the first line of its handler in this process, in milliseconds. */
export async function latencyHere(count: number, add: (began: () => void) => Promise<unknown>): Promise<Figures> {
  const waits: number[] = []
  for (let index = 0; index < count; index++) {
    const sentAt = performance.now()
    let adding: Promise<unknown> | undefined
    const began = await new Promise<number>((resolve) => {
      adding = add(() => resolve(performance.now()))
    })
    waits.push(began - sentAt)
    await adding
    await wait(rest)
  }
  return quantiles(waits)
}

/** From a call that adds a job to the first line of its handler in another process, in milliseconds. */
export async function latencyElsewhere(
  url: string,
  program: string,
  count: number,
  add: () => Promise<unknown>,
): Promise<Figures> {
  const worker = await WorkerProcess.open(url, program)
  worker.start()
  await wait(500)
  const waits: number[] = []
  for (let index = 0; index < count; index++) {
    const began = worker.next('began')
    const sentAt = now()
    await add()
    waits.push((await began) - sentAt)
    await wait(rest)
  }
  await worker.stop()
  return quantiles(waits)
}
