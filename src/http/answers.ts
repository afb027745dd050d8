import type { Failure } from '../core/failure.ts'
import type { CollectionEvent, FeedEvent, JobEvent } from '../core/handle.ts'
import { type Snake, toSnake } from '../core/snake.ts'
import type { Identity } from './identity.ts'

/** What is told, as it is answered to this one: where it was thrown is for those who run the service, not for its users. */
export function tell<const T>(identity: Identity, value: T): Snake<T> {
  return isInside(identity) ? toSnake(value) : tellOutside(value)
}

const isInside = ({ actor, collectionId }: Identity): boolean => actor === null && collectionId === null

type Event = CollectionEvent | JobEvent | FeedEvent

/** The JSON of events: those who follow the same share them, so it is made once. */
const texts = { inside: new WeakMap<Event, string>(), outside: new WeakMap<Event, string>() }

/** An event as JSON, as it is told to this one. */
export function eventText(identity: Identity, event: Event): string {
  const known = isInside(identity) ? texts.inside : texts.outside
  let text = known.get(event)
  if (text === undefined) known.set(event, (text = JSON.stringify(tell(identity, event))))
  return text
}

export function tellOutside<const T>(value: T): Snake<T> {
  const told = toSnake(value)
  hideStacks(told)
  return told
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
