import { collectionDetail } from './schemas.ts'
import { z } from 'zod'

const body = z
  .object({ type: z.literal('collection.settled'), timestamp: z.iso.datetime(), data: collectionDetail })
  .meta({ id: 'CollectionSettled' })

const headers = z.object({
  'webhook-id': z.string().meta({ description: 'The same for every try, another one for each round.' }),
  'webhook-timestamp': z.string().meta({ description: 'Seconds since 1970.' }),
  'webhook-signature': z
    .string()
    .meta({ description: '`v1,` and the signature in base64; one for each secret, with spaces between.' }),
})

/** The `callbacks` of an operation, as OpenAPI has them. `field` is where its body names the url. */
export const settledCallback = (field: string): object => ({
  settled: {
    [`{$request.body#/${field}}`]: {
      post: {
        operationId: 'collectionSettled',
        summary: 'All of it has settled',
        description: 'Signed as Standard Webhooks says; sent again for about a day unless it is answered with 2xx.',
        requestParams: { header: headers },
        requestBody: { required: true, content: { 'application/json': { schema: body } } },
        responses: {
          '2XX': { description: 'Taken.' },
          410: { description: 'Not wanted any more: it is not sent again.' },
        },
      },
    },
  },
})
