import { z } from 'zod'
import { callbackResults } from '../core/collection.ts'
import type { Duration } from '../core/time.ts'
import { toCamel } from '../core/snake.ts'
import { described } from './described.ts'

// What is sent, as schemas: the form of it. What values are good, the library says, as it does in code.

const duration = z
  .union([z.number(), z.string().max(100)])
  .register(described, { description: 'Milliseconds, or a text such as `5m`, `1h 30m`.' })
const moment = z
  .string()
  .max(100)
  .transform((text) => text as Duration)
  .register(described, { description: 'An instant as ISO 8601 text, or how long ago: `-1h`.' })

/** More entries than any list of these has: a mistake in each of half a million would take seconds to tell. */
const longestList = 1_000

/** A list whose length is looked at before its entries. */
const listOf = <Entry extends z.ZodType>(entry: Entry) =>
  z.preprocess((given, context) => {
    if (Array.isArray(given) && given.length > longestList)
      context.addIssue(`There are ${given.length} entries: at most ${longestList} are read.`)
    return given
  }, z.array(entry))

export const options = z
  .strictObject({
    queue: z.string(),
    priority: z.int(),
    start_in: duration,
    start_at: z.iso.datetime({ offset: true }),
    expires: duration,
    retry: z.strictObject({
      limit: z.int(),
      backoff: z
        .strictObject({ base: duration, factor: z.number(), max: duration, jitter: z.boolean() })
        .partial()
        .optional(),
    }),
    timeout: duration,
    retention: duration,
    tags: listOf(z.string()),
    unique: z.strictObject({
      key: z.string(),
      until: duration.optional().register(described, { description: '`started`, `settled` or a duration.' }),
      on_conflict: z.enum(['existing', 'replace', 'reject']).optional(),
    }),
    idempotency_key: z
      .string()
      .register(described, { description: 'The same key again gives the collection made the first time.' }),
    description: z.string(),
    actor: z.strictObject({ id: z.string() }),
  })
  .partial()
  .transform(toCamel)
  .register(described, { id: 'Options', description: 'As the options of the library, each of them optional.' })

export const callbackUrlText =
  'Called by a signed POST once all of it has settled, whatever the outcome: a public address, http or https, with no password in it.'
export const callbackUrl = z
  .string()
  .max(2048)
  .register(described, { id: 'CallbackUrl', format: 'uri', description: callbackUrlText })

/** Who is called back, in the body of what submits: by its short form or the whole. */
export const calledBack = {
  callback_url: callbackUrl.optional(),
  callback: z
    .strictObject({
      url: callbackUrl,
      results: z.enum(callbackResults).optional().register(described, {
        description: 'Which results it is sent: none, that of the collection (the default), or all.',
      }),
    })
    .optional()
    .register(described, { description: 'In place of `callback_url`, which is short for `{ url }`.' }),
}

const limit = z.coerce
  .number()
  .int()
  .min(1)
  .max(200)
  .optional()
  .register(described, { description: 'How many at once. Default 50.' })
export const cursor = z
  .string()
  .max(4096)
  .optional()
  .register(described, { description: 'The `next` of the page before.' })
const word = z.string().max(256).optional()

/** What all lists have in common. */
export const listQuery = {
  actor: word.clone().register(described, { description: 'The id of who asked for it.' }),
  tag: word,
  after: moment.optional().register(described, { description: 'Sent at or after this instant; `-1h` is an hour ago.' }),
  before: moment.optional().register(described, { description: 'Sent before this instant.' }),
  limit,
  cursor,
}

export const idempotencyHeader = z.object({
  'idempotency-key': z.string().optional().register(described, {
    description: 'The same key again gives the collection made the first time: safe to send again.',
  }),
})
