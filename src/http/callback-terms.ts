import { z } from 'zod'
import { collectionDetail, instant, job, payload, settledState } from './schemas.ts'
import { described } from './described.ts'
import type { CallbackTerms } from './route.ts'

const settledJob = z
  .object({
    ...job.pick({
      id: true,
      task: true,
      state: true,
      reason: true,
      role: true,
      queue: true,
      parent_id: true,
      attempt: true,
      failures: true,
      round: true,
      failure: true,
      failed_job_id: true,
      description: true,
      tags: true,
      created_at: true,
      started_at: true,
      finished_at: true,
    }).shape,
    result: payload.optional().register(described, {
      description: 'Where it succeeded, its handler returned something, and the submission asked for all results.',
    }),
  })
  .register(described, { id: 'SettledJob' })

const { callback_url: _url, cancelling: _cancelling, ...parts } = collectionDetail.shape

export const callbackPayload = z
  .object({
    type: z.literal('collection.settled'),
    timestamp: instant.clone().register(described, { description: 'When it settled.' }),
    data: z
      .object({
        ...parts,
        state: settledState,
        settled_at: instant,
        result: payload
          .optional()
          .register(described, { description: 'Where it succeeded, unless the submission asked for no results.' }),
        jobs: z.array(settledJob),
        truncated: z.literal(true).optional().register(described, {
          description: 'The whole would be more than 1 MiB: results are left out, and maybe the last jobs.',
        }),
      })
      .register(described, { id: 'SettledCollection' }),
  })
  .register(described, { id: 'CollectionSettled' })

const headers = z.object({
  'webhook-id': z.string().register(described, { description: 'The same for every try, another one for each round.' }),
  'webhook-timestamp': z.string().register(described, { description: 'Seconds since 1970.' }),
  'webhook-signature': z.string().register(described, {
    description: '`v1,` and the signature in base64; one for each secret, with spaces between.',
  }),
})

/** @param fields where the body of the operation may name the url, as JSON pointers, and the operation id of the callback there */
export const settledCallback = (fields: Readonly<Record<string, string | null>>): CallbackTerms => ({
  name: 'settled',
  urls: Object.entries(fields).map(([field, operationId]) => ({ url: `{$request.body#/${field}}`, operationId })),
  summary: 'All of it has settled',
  description: 'Signed as Standard Webhooks says; sent again for about a day unless it is answered with 2xx.',
  headers,
  body: callbackPayload,
  answers: {
    '2XX': { description: 'Taken.' },
    410: { description: 'Not wanted any more: it is not sent again.' },
  },
})
