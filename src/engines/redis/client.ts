/** What is asked of a client: `createClient`, `createCluster` and `createSentinel` of `@redis/client` make such ones. */
export interface Client {
  readonly isOpen: boolean
  connect(): Promise<unknown>
  destroy(): unknown
  sendCommand(...args: never): Promise<unknown>
  subscribe(...args: never): Promise<unknown>
  on(...args: never): unknown
}
