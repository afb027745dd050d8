import { z } from 'zod'
import type { Duration } from '../core/time.ts'
import { toCamel } from '../core/snake.ts'

// What is sent, as schemas: the form of it. What values are good, the library says, as it does in code.

const duration = z
  .union([z.number(), z.string().max(100)])
  .meta({ description: 'Milliseconds, or a text such as `5m`, `1h 30m`.' })
const moment = z
  .string()
  .max(100)
  .transform((text) => text as Duration)
  .meta({ description: 'An instant as ISO 8601 text, or how long ago: `-1h`.' })

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
    tags: z.array(z.string()),
    unique: z.strictObject({
      key: z.string(),
      until: duration.optional().meta({ description: '`started`, `settled` or a duration.' }),
      on_conflict: z.enum(['existing', 'replace', 'reject']).optional(),
    }),
    idempotency_key: z.string().meta({ description: 'The same key again gives the collection made the first time.' }),
    description: z.string(),
    actor: z.strictObject({ id: z.string() }),
  })
  .partial()
  .transform(toCamel)
  .meta({ id: 'Options', description: 'As the options of the library, each of them optional.' })

export const callbackUrl = z.string().max(2048).meta({
  id: 'CallbackUrl',
  format: 'uri',
  description:
    'Called by a signed POST once all of it has settled, whatever the outcome: a public address, http or https, with no password in it.',
})

const limit = z.coerce.number().int().min(1).max(200).optional().meta({ description: 'How many at once. Default 50.' })
const cursor = z.string().max(4096).optional().meta({ description: 'The `next` of the page before.' })
const word = z.string().max(256).optional()

/** What all lists have in common. */
export const listQuery = {
  actor: word.meta({ description: 'The id of who asked for it.' }),
  tag: word,
  after: moment.optional().meta({ description: 'Sent at or after this instant; `-1h` is an hour ago.' }),
  before: moment.optional().meta({ description: 'Sent before this instant.' }),
  limit,
  cursor,
}

export const idempotencyHeader = z.object({
  'idempotency-key': z
    .string()
    .optional()
    .meta({ description: 'The same key again gives the collection made the first time: safe to send again.' }),
})
