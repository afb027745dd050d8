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
