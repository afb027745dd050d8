import { readFileSync } from 'node:fs'
import { createDocument, type CreateDocumentOptions, type ZodOpenApiOperationObject } from 'zod-openapi'
import type { AnswerTerms, Route } from './route.ts'
import * as schemas from './schemas.ts'

/** An OpenAPI document, version 3.1: https://spec.openapis.org/oas/v3.1.1.html */
export type OpenApiDocument = ReturnType<typeof createDocument>

const version = (): string => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}

const description = `Send tasks and canvases, follow them live, retry, cancel, look.

Names are in snake_case. Instants are ISO 8601 text in UTC, what is absent is left out, never null. What you give and get
(arguments, results, the data of log lines, a canvas) passes as it is. Every list is a page: \`items\`, and \`next\` where there is
another one, to be given as \`cursor\`. Every error is a problem (RFC 9457) with a \`code\` that never changes its meaning.

Send \`authorization: Bearer\` with an API key, a token of your identity provider, or a run token.`

/** What is answered may come to have more properties: a client that refuses those it does not know would break then. */
export const documentOptions: CreateDocumentOptions = {
  override({ jsonSchema, io }) {
    if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties
  },
}

export function documentOf(routes: readonly Route[], base: string): OpenApiDocument {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {}
  for (const one of routes) (paths[one.path] ??= {})[one.method] = operationOf(one)
  return createDocument(
    {
      openapi: '3.1.1',
      info: { title: 'Celeriac', version: version(), description },
      servers: [{ url: base === '' ? '/' : base }],
      security: [{ bearer: [] }],
      paths: paths,
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'An API key, a JWT, or a run token.' },
          ticket: { type: 'apiKey', in: 'query', name: 'ticket', description: 'Opens one stream of events, once.' },
        },
      },
    },
    documentOptions,
  )
}

function operationOf(one: Route): ZodOpenApiOperationObject {
  const scope = one.scope === null ? '' : `Needs the scope \`${one.scope}\`.`
  const problems = ['400', ...(one.scope === null ? [] : ['401', '403']), 'default']
  return {
    operationId: one.operationId,
    tags: [one.tag],
    summary: one.summary,
    description: [one.description, scope].filter(Boolean).join('\n\n'),
    ...(one.scope === null && { security: [] }),
    ...(one.takesTicket && { security: [{ bearer: [] }, { ticket: [] }] }),
    requestParams: {
      ...(one.params && { path: one.params }),
      ...(one.query && { query: one.query }),
      ...(one.headers && { header: one.headers }),
    },
    ...(one.body && {
      requestBody: {
        required: !one.body.safeParse(undefined).success,
        content: { 'application/json': { schema: one.body } },
      },
    }),
    responses: {
      ...Object.fromEntries(problems.map((status) => [status, { description: problemOf[status]!, ...problemContent }])),
      ...Object.fromEntries(
        Object.entries(one.answers).map(([status, answer]) => [status, responseOf(answer, status)]),
      ),
    },
    ...(one.callbacks && { callbacks: one.callbacks }),
  } as ZodOpenApiOperationObject
}

const problemOf: Readonly<Record<string, string>> = {
  400: 'What was sent is not of this form.',
  401: 'Who asks is not known.',
  403: 'Who asks may not do this.',
  default: 'Another problem.',
}
const problemContent = { content: { 'application/problem+json': { schema: schemas.problem } } }

function responseOf({ description, schema, type, headers }: AnswerTerms, status: string): object {
  const kind = type ?? (Number(status) >= 400 ? 'application/problem+json' : 'application/json')
  return { description, ...(headers && { headers }), ...(schema && { content: { [kind]: { schema } } }) }
}
