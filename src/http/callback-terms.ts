import { z } from 'zod'
import type { ZodOpenApiCallbacksObject } from 'zod-openapi'
import { collectionDetail, instant, job, jobDetail, settledState } from './schemas.ts'

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
    result: jobDetail.shape.result,
  })
  .meta({ id: 'SettledJob' })

const { callback_url: _url, cancelling: _cancelling, ...parts } = collectionDetail.shape

export const callbackPayload = z
  .object({
    type: z.literal('collection.settled'),
    timestamp: instant.meta({ description: 'When it settled.' }),
    data: z
      .object({
        ...parts,
        state: settledState,
        settled_at: instant,
        jobs: z.array(settledJob),
        truncated: z
          .literal(true)
          .optional()
          .meta({ description: 'The whole would be more than 1 MiB: results are left out, and maybe the last jobs.' }),
      })
      .meta({ id: 'SettledCollection' }),
  })
  .meta({ id: 'CollectionSettled' })

const headers = z.object({
  'webhook-id': z.string().meta({ description: 'The same for every try, another one for each round.' }),
  'webhook-timestamp': z.string().meta({ description: 'Seconds since 1970.' }),
  'webhook-signature': z
    .string()
    .meta({ description: '`v1,` and the signature in base64; one for each secret, with spaces between.' }),
})

/** The `callbacks` of an operation, as OpenAPI has them. `field` is where its body names the url. */
export const settledCallback = (field: string): ZodOpenApiCallbacksObject => ({
  settled: {
    [`{$request.body#/${field}}`]: {
      post: {
        operationId: 'collectionSettled',
        summary: 'All of it has settled',
        description: 'Signed as Standard Webhooks says; sent again for about a day unless it is answered with 2xx.',
        requestParams: { header: headers },
        requestBody: { required: true, content: { 'application/json': { schema: callbackPayload } } },
        responses: {
          '2XX': { description: 'Taken.' },
          410: { description: 'Not wanted any more: it is not sent again.' },
        },
      },
    },
  },
})
