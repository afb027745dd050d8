import { EventEmitter, once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { FlowProducer, Queue, Worker, type FlowJob, type Job } from 'bullmq'
import type { Figures } from '../case.ts'
import { latencyHere } from '../contenders/latency.ts'

const queueName = 'bench'
const payload = { x: 1, y: 1 }
const linksPerChain = 20
/** As long as the other contenders have between their first job and what is measured, in milliseconds. */
const rest = 1_000

interface Address {
  readonly host: string
  readonly port: number
}

function addressOf(url: string): Address {
  const { hostname, port } = new URL(url)
  return { host: hostname, port: Number(port) }
}

export async function withBullmq<T>(url: string, use: (queue: Queue) => Promise<T>): Promise<T> {
  const queue = new Queue(queueName, { connection: addressOf(url) })
  try {
    await queue.waitUntilReady()
    return await use(queue)
  } finally {
    await queue.close()
  }
}

/** By calls of `addBulk`, a thousand in each. */
export async function addByThousands(queue: Queue, count: number): Promise<void> {
  const jobs = Array.from({ length: 1000 }, () => ({ name: 'add', data: payload }))
  for (let added = 0; added < count; added += jobs.length) await queue.addBulk(jobs)
}

type Handler = (job: Job) => Promise<unknown>

const addTwo: Handler = async ({ data }) => data.x + data.y

/** A worker that keeps what it has done, as it does when not told otherwise. Runs when it is told to. */
export async function createWorker(url: string, handler: Handler): Promise<Worker> {
  const worker = new Worker(queueName, handler, { connection: addressOf(url), concurrency: 100, autorun: false })
  await worker.waitUntilReady()
  return worker
}

async function withWorker<T>(url: string, handler: Handler, use: (worker: Worker) => Promise<T>): Promise<T> {
  const worker = await createWorker(url, handler)
  try {
    return await use(worker)
  } finally {
    await worker.close()
  }
}

/** Milliseconds from the start of a worker until it has run and marked `count` jobs. */
export function drainBullmq(url: string, count: number, handler = addTwo): Promise<number> {
  return withWorker(url, handler, async (worker) => {
    const all = completions(worker, count)
    const startedAt = performance.now()
    void worker.run()
    await all
    return performance.now() - startedAt
  })
}

/** From the call of `add` to the first line of the handler in the same process. */
export function bullmqLatency(url: string, count: number): Promise<Figures> {
  return withBullmq(url, (queue) => {
    let began = (): void => {}
    const handler: Handler = async () => began()
    return withWorker(url, handler, (worker) => {
      void worker.run()
      return latencyHere(count, (begins) => {
        began = begins
        return addOne(queue)
      })
    })
  })
}

export async function addOne(queue: Queue): Promise<void> {
  await queue.add('add', payload)
}

async function completions(worker: Worker, count: number): Promise<void> {
  const done = new EventEmitter()
  let left = count
  worker.on('completed', () => {
    if (--left === 0) done.emit('all')
  })
  worker.on('failed', (_job, error) => done.emit('error', error))
  await once(done, 'all')
}

// ── flows ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Adds what the children gave; one without children adds its own two numbers. */
export const addChildren: Handler = async (job) => {
  if (job.data.leaf) return job.data.x + job.data.y
  const values = Object.values(await job.getChildrenValues<number>())
  return values.reduce((total, value) => total + value, 0)
}

/** In a flow, what comes first stands innermost. */
function chainFlow(links: number): FlowJob {
  let flow: FlowJob = { name: 'add', queueName, data: { ...payload, leaf: true } }
  for (let link = 1; link < links; link++) flow = { name: 'add', queueName, data: payload, children: [flow] }
  return flow
}

function chordFlow(members: number): FlowJob {
  const children = Array.from({ length: members }, (_, index) => ({
    name: 'add',
    queueName,
    data: { x: index, y: 1, leaf: true },
  }))
  return { name: 'sum', queueName, data: {}, children }
}

/** Adds many chains that are to be under way together. */
export function addChains(url: string, links: number): Promise<void> {
  return withFlows(url, async (flows) => {
    for (let added = 0; added < links; added += 50 * linksPerChain) {
      await flows.addBulk(Array.from({ length: 50 }, () => chainFlow(linksPerChain)))
    }
  })
}

/** Milliseconds until a worker has run one chain, each link after the other. */
export async function oneBullmqChain(url: string, links: number): Promise<number> {
  await withFlows(url, (flows) => flows.add(chainFlow(links)))
  return drainBullmq(url, links, addChildren)
}

/** From the call that adds it to the result of the body, in seconds. */
export function bullmqChord(url: string, members: number): Promise<number> {
  return withFlows(url, (flows) =>
    withWorker(url, addChildren, async (worker) => {
      const sum = new Promise<unknown>((resolve) => {
        worker.on('completed', (job, value) => {
          if (job.name === 'sum') resolve(value)
        })
      })
      const first = once(worker, 'completed')
      void worker.run()
      await flows.add({ name: 'add', queueName, data: { ...payload, leaf: true } })
      await first
      await wait(rest)
      const startedAt = performance.now()
      await flows.add(chordFlow(members))
      const total = await sum
      const seconds = (performance.now() - startedAt) / 1000
      if (total !== (members * (members + 1)) / 2) throw new Error(`the flow gave ${String(total)}`)
      return seconds
    }),
  )
}

async function withFlows<T>(url: string, use: (flows: FlowProducer) => Promise<T>): Promise<T> {
  const flows = new FlowProducer({ connection: addressOf(url) })
  try {
    await flows.waitUntilReady()
    return await use(flows)
  } finally {
    await flows.close()
  }
}
