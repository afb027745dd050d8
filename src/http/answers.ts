import type { Connection } from '../app/events.ts'
import { summaryOfCollection, summaryOfJob, type ToldCollection, valueOf } from '../app/snapshots.ts'
import { byPages, jobsPerTurn } from '../core/by-pages.ts'
import type { Failure } from '../core/failure.ts'
import type { CollectionEvent, FeedEvent, JobEvent, JobSummary } from '../core/handle.ts'
import type { Runtime } from '../core/runtime.ts'
import { type Snake, toSnake } from '../core/snake.ts'
import type { Identity } from './identity.ts'

/** What this one is answered: stacks are for those who run the service, and a callback's whole address for those who may act. */
export function tell<const T>(identity: Identity, value: T): Snake<T> {
  return tellAs(viewOf(identity), value)
}

/** As those are answered who are known by a run token: neither stacks nor whole addresses of callbacks. */
export const tellOutside = <const T>(value: T): Snake<T> => tellAs(0, value)

/** Which parts a reader sees, added up. */
const seesStacks = 1
const seesAddresses = 2

/** An owner sees where its collections call back to; a key that may only read does not. */
function viewOf({ actor, collectionId, scopes }: Identity): number {
  if (collectionId !== null) return 0
  if (actor !== null) return seesAddresses
  const mayAct = scopes.includes('operate') || scopes.includes('admin')
  return seesStacks + (mayAct ? seesAddresses : 0)
}

type Event = CollectionEvent | JobEvent | FeedEvent

/** A collection with its jobs as JSON, as it is told to this one. Of many jobs, some are written in each turn of the event loop. */
export async function collectionText(
  { engine, runtime }: Pick<Connection, 'engine' | 'runtime'>,
  identity: Identity,
  found: ToldCollection,
): Promise<string> {
  const result = found.state === 'succeeded' ? { result: await valueOf(engine, found.result) } : {}
  const jobs = await textByPages(runtime, found.jobs, (page) => tell(identity, { jobs: page.map(summaryOfJob) }).jobs)
  return withJobs(tell(identity, { ...summaryOfCollection(found), ...result }), jobs)
}

/** A list as JSON. */
async function textByPages<Item>(
  runtime: Runtime,
  items: readonly Item[],
  write: (page: readonly Item[]) => readonly unknown[],
): Promise<string> {
  const texts: string[] = []
  for await (const page of byPages(runtime, items)) texts.push(JSON.stringify(write(page)).slice(1, -1))
  return `[${texts.join(',')}]`
}

/** A collection as JSON, whose jobs are JSON already. */
const withJobs = (collection: object, jobs: string): string =>
  `${JSON.stringify(collection).slice(0, -1)},"jobs":${jobs}}`

/** The JSON of events, by what is seen of them: those who follow the same share them, so it is made once. */
const texts: readonly WeakMap<Event, string | Promise<string>>[] = Array.from({ length: 4 }, () => new WeakMap())

/** An event as JSON, as it is told to this one: at once, but for a snapshot of many jobs. */
export function eventText(runtime: Runtime, identity: Identity, event: Event): string | Promise<string> {
  const view = viewOf(identity)
  const known = texts[view]!
  let text = known.get(event)
  if (text === undefined) {
    text = isLarge(event) ? snapshotText(runtime, view, event) : JSON.stringify(tellAs(view, event))
    known.set(event, text)
  }
  return text
}

type Large = Event & { readonly type: 'snapshot'; readonly collection: { readonly jobs: readonly JobSummary[] } }

const isLarge = (event: Event): event is Large =>
  event.type === 'snapshot' && 'collection' in event && event.collection.jobs.length > jobsPerTurn

async function snapshotText(runtime: Runtime, view: number, { collection, ...event }: Large): Promise<string> {
  const { jobs, ...rest } = collection
  const written = await textByPages(runtime, jobs, (page) => tellAs(view, { jobs: page }).jobs)
  const whole = withJobs(tellAs(view, rest), written)
  return `${JSON.stringify(tellAs(view, event)).slice(0, -1)},"collection":${whole}}`
}

function tellAs<const T>(view: number, value: T): Snake<T> {
  const told = toSnake(value)
  if ((view & seesStacks) === 0) hideStacks(told)
  if ((view & seesAddresses) === 0) shortenAddresses(told)
  return told
}

/** A callback's address stands in a collection. Its query and user info are often a secret of the receiver's. */
function shortenAddresses(told: unknown): void {
  if (typeof told !== 'object' || told === null) return
  const one = told as { callback_url?: string; items?: unknown; collection?: unknown }
  if (one.callback_url !== undefined) one.callback_url = shortAddress(one.callback_url)
  if (Array.isArray(one.items)) one.items.forEach(shortenAddresses)
  shortenAddresses(one.collection)
}

function shortAddress(address: string): string {
  const { origin, pathname } = new URL(address)
  return origin + pathname
}

/** Failures stand in a collection, in its jobs and in their attempts. */
function hideStacks(told: unknown): void {
  if (typeof told !== 'object' || told === null) return
  const { failure, jobs, attempts, items, job, collection } = told as Readonly<Record<string, unknown>>
  if (failure) hideStack(failure)
  for (const list of [jobs, attempts, items]) if (Array.isArray(list)) list.forEach(hideStacks)
  hideStacks(job)
  hideStacks(collection)
}

/** Of a copy that `toSnake` made. */
function hideStack(failure: { stack?: string; cause?: Failure }): void {
  delete failure.stack
  if (failure.cause) hideStack(failure.cause)
}
