import { collectionStates, type CollectionState } from '../core/collection.ts'
import { CeleriacError } from '../core/errors.ts'
import { type JobState, jobStates } from '../core/job.ts'
import {
  badOption,
  oneOf,
  type OptionReader,
  type OptionReaders,
  readOptions,
  shortText,
  wholeNumber,
} from '../core/option.ts'
import { type Duration, relativeInstant } from '../core/time.ts'
import type { CollectionsQuery, JobsQuery, RecordPage } from '../engine/inspect.ts'

/** Which jobs to list; every filter given must fit. Newest first. */
export interface JobQuery extends ListQuery {
  readonly state?: JobState | readonly JobState[] | undefined
  /** The task's name; `*` stands for any characters: `tables.*`. */
  readonly task?: string | undefined
  readonly queue?: string | undefined
  /** The id of a collection. */
  readonly collection?: string | undefined
  /** Found as it stands in its task, description, tags, arguments or failure, these as JSON; ASCII letters in either case. */
  readonly text?: string | undefined
}

/** Which collections to list; every filter given must fit. Newest first. */
export interface CollectionQuery extends ListQuery {
  readonly state?: CollectionState | undefined
}

interface ListQuery {
  /** The id of who asked for it. */
  readonly actor?: string | undefined
  readonly tag?: string | undefined
  /** Sent at or after this instant; `'-1h'` is an hour ago. */
  readonly after?: Duration | Date | undefined
  /** Sent before this instant. */
  readonly before?: Duration | Date | undefined
  /** How many at once, from 1 to 200. Default 50. */
  readonly limit?: number | undefined
  /** The `next` of the page before. */
  readonly cursor?: string | undefined
}

export interface Page<T> {
  readonly items: readonly T[]
  /** Give it as `cursor` to get the next page; absent on the last one. */
  readonly next?: string
}

/** @throws CeleriacError BAD_OPTION, BAD_CURSOR, BAD_DURATION, BAD_INSTANT */
export function readJobQuery(query: JobQuery, now: number): JobsQuery {
  const { state, collection, ...read } = readOptions<ReadJobQuery>(query, jobReaders, 'jobs.list')
  return {
    ...withInstants(read, 'jobs.list', now),
    ...(state && { states: state }),
    ...(collection !== undefined && { collectionId: collection }),
  }
}

/** @throws CeleriacError BAD_OPTION, BAD_CURSOR, BAD_DURATION, BAD_INSTANT */
export function readCollectionQuery(query: CollectionQuery, now: number): CollectionsQuery {
  return withInstants(
    readOptions<ReadCollectionQuery>(query, collectionReaders, 'collections.list'),
    'collections.list',
    now,
  )
}

export function pageOf<Kept, Told>({ items, next }: RecordPage<Kept>, tell: (kept: Kept) => Told): Page<Told> {
  return { items: items.map(tell), ...(next !== null && { next }) }
}

interface ReadQuery {
  readonly actor?: string
  readonly tag?: string
  readonly after?: Duration | Date
  readonly before?: Duration | Date
  readonly limit?: number
  readonly cursor?: string
}
interface ReadJobQuery extends ReadQuery {
  readonly state?: readonly JobState[]
  readonly task?: string
  readonly queue?: string
  readonly collection?: string
  readonly text?: string
}
interface ReadCollectionQuery extends ReadQuery {
  readonly state?: CollectionState
}

const readJobState = oneOf(...jobStates)
const readJobStates: OptionReader<readonly JobState[]> = (value, what) =>
  Array.isArray(value) ? value.map((one) => readJobState(one, what)) : [readJobState(value, what)]

const readCursor: OptionReader<string> = (value, what) => {
  if (typeof value === 'string' && value !== '') return value
  throw new CeleriacError('BAD_CURSOR', `${what}: give the "next" of the page before, as it was.`)
}

/** What was sent, was sent in the past: a distance without its sign is a mistake. */
const readMoment: OptionReader<Duration | Date> = (value, what) => {
  const isUnsigned = typeof value === 'number' ? value > 0 : typeof value === 'string' && /^[\d.]+[a-z]+$/.test(value)
  if (!isUnsigned) return value as Duration | Date
  const signed = typeof value === 'number' ? `-${value}` : `'-${String(value)}'`
  throw badOption(what, `write ${signed} for that long ago, or give a Date`)
}

const commonReaders: OptionReaders<ReadQuery> = {
  actor: shortText(256),
  tag: shortText(128),
  after: readMoment,
  before: readMoment,
  limit: wholeNumber(1, 200),
  cursor: readCursor,
}
const jobReaders: OptionReaders<ReadJobQuery> = {
  ...commonReaders,
  state: readJobStates,
  task: shortText(200),
  queue: shortText(200),
  collection: shortText(200),
  text: shortText(200),
}
const collectionReaders: OptionReaders<ReadCollectionQuery> = { ...commonReaders, state: oneOf(...collectionStates) }

function withInstants<Read extends ReadQuery>({ after, before, ...rest }: Read, what: string, now: number) {
  return {
    ...rest,
    limit: rest.limit ?? 50,
    ...(after !== undefined && { createdFrom: momentOf(after, `${what}: after`, now) }),
    ...(before !== undefined && { createdBefore: momentOf(before, `${what}: before`, now) }),
  }
}

const momentOf = (value: Duration | Date, what: string, now: number): number =>
  typeof value === 'number' ? now + value : relativeInstant(value, what, now)
