import { expectTypeOf, test } from 'vitest'
import type { z } from 'zod'
import type {
  Attempt,
  CollectionEvent,
  CollectionSnapshot,
  CollectionSummary,
  FeedEvent,
  JobEvent,
  JobLogLine,
  JobSnapshot,
  JobSummary,
} from '../core/handle.ts'
import type { CallbackPayload, SettledCollection, SettledJob } from '../callbacks/payload.ts'
import type { Snake } from '../core/snake.ts'
import type { callbackPayload } from './callback-terms.ts'
import type * as schemas from './schemas.ts'

/** Every value of the library is one of the schema, and has no property that the schema does not name. */
type Documented<Value, Schema extends z.ZodType> = [Writable<Value>] extends [z.input<Schema>]
  ? Exclude<Names<Value>, Names<z.input<Schema>>>
  : 'does not fit'
type Writable<T> = T extends readonly (infer Item)[]
  ? Writable<Item>[]
  : T extends object
    ? { -readonly [K in keyof T]: Writable<T[K]> }
    : T
type Names<T> = T extends unknown ? keyof T : never

test('what is answered is what the document says', () => {
  expectTypeOf<Documented<Snake<JobSummary>, typeof schemas.job>>().toBeNever()
  expectTypeOf<Documented<Snake<JobSnapshot>, typeof schemas.jobDetail>>().toBeNever()
  expectTypeOf<Documented<Snake<Attempt>, typeof schemas.attempt>>().toBeNever()
  expectTypeOf<Documented<Snake<JobLogLine>, typeof schemas.logLine>>().toBeNever()
  expectTypeOf<Documented<Snake<CollectionSummary>, typeof schemas.collection>>().toBeNever()
  expectTypeOf<Documented<Snake<CollectionSnapshot>, typeof schemas.collectionDetail>>().toBeNever()
  expectTypeOf<Documented<Snake<CollectionEvent>, typeof schemas.collectionEvent>>().toBeNever()
  expectTypeOf<Documented<Snake<JobEvent>, typeof schemas.jobEvent>>().toBeNever()
  expectTypeOf<Documented<Snake<FeedEvent>, typeof schemas.feedEvent>>().toBeNever()
})

test('what is called back is what the document says', () => {
  type Data = (typeof callbackPayload)['shape']['data']
  expectTypeOf<Documented<CallbackPayload, typeof callbackPayload>>().toBeNever()
  expectTypeOf<Documented<SettledCollection, Data>>().toBeNever()
  expectTypeOf<Documented<SettledJob, Data['shape']['jobs']['element']>>().toBeNever()
})
