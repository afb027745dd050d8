/** The little of the peers that the bench calls, so that its types check where they are not installed. */
declare module 'better-sqlite3' {
  export default class Database {
    constructor(path: string)
  }
}

declare module 'plainjob' {
  import type Database from 'better-sqlite3'

  export function better(database: Database): unknown

  export interface Logger {
    error(message: string, ...meta: unknown[]): void
    warn(message: string, ...meta: unknown[]): void
    info(message: string, ...meta: unknown[]): void
    debug(message: string, ...meta: unknown[]): void
  }

  export interface Queue {
    add(type: string, data: unknown): { id: number }
    addMany(type: string, data: unknown[]): { ids: number[] }
    countJobs(filter?: { type?: string; status?: number }): number
    close(): void
  }
  export function defineQueue(options: { connection: unknown; logger?: Logger }): Queue

  export interface Worker {
    start(): Promise<void>
    stop(): Promise<void>
  }
  export function defineWorker(
    type: string,
    processor: (job: { id: number; data: string }) => Promise<void> | void,
    options: {
      queue: Queue
      logger?: Logger
      /** Spelt like this there. */ pollIntervall?: number
      onCompleted?: () => void
    },
  ): Worker
}

declare module 'graphile-worker' {
  export class Logger {
    constructor(factory: () => () => void)
  }
  export interface WorkerUtils {
    migrate(): Promise<void>
    release(): Promise<void>
    addJob(identifier: string, payload: unknown): Promise<unknown>
    addJobs(jobs: readonly { readonly identifier: string; readonly payload: unknown }[]): Promise<unknown>
  }
  export function makeWorkerUtils(options: { connectionString: string; logger: Logger }): Promise<WorkerUtils>
  export interface Runner {
    stop(): Promise<void>
  }
  export function run(options: {
    preset: { worker: object }
    noHandleSignals: boolean
    taskList: Readonly<Record<string, () => void>>
  }): Promise<Runner>
}

declare module 'bullmq' {
  interface Options {
    readonly connection: { readonly host: string; readonly port: number }
  }

  export interface Job {
    readonly name: string
    readonly data: { readonly x: number; readonly y: number; readonly leaf?: true }
    getChildrenValues<T>(): Promise<Record<string, T>>
  }

  export class Queue {
    constructor(name: string, options: Options)
    waitUntilReady(): Promise<unknown>
    add(name: string, data: unknown): Promise<unknown>
    addBulk(jobs: readonly { readonly name: string; readonly data: unknown }[]): Promise<unknown>
    close(): Promise<void>
  }

  import { EventEmitter } from 'node:events'
  export class Worker extends EventEmitter {
    constructor(
      name: string,
      handler: (job: Job) => Promise<unknown>,
      options: Options & { readonly concurrency: number; readonly autorun: boolean },
    )
    on(event: 'completed', listener: (job: Job, result: unknown) => void): this
    on(event: 'failed', listener: (job: Job | undefined, error: Error) => void): this
    waitUntilReady(): Promise<unknown>
    run(): Promise<void>
    close(): Promise<void>
  }

  export interface FlowJob {
    readonly name: string
    readonly queueName: string
    readonly data: unknown
    readonly children?: readonly FlowJob[]
  }
  export class FlowProducer {
    constructor(options: Options)
    waitUntilReady(): Promise<unknown>
    add(flow: FlowJob): Promise<unknown>
    addBulk(flows: readonly FlowJob[]): Promise<unknown>
    close(): Promise<void>
  }
}
