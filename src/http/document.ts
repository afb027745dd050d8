import type { z } from 'zod'
import { packageVersion } from '../core/version.ts'
import type { AnswerTerms, CallbackTerms, Route } from './route.ts'
import { type Json, SchemaWriter } from './schema-writer.ts'
import * as schemas from './schemas.ts'

/** An OpenAPI document, version 3.1: https://spec.openapis.org/oas/v3.1.1.html */
export interface OpenApiDocument {
  readonly openapi: '3.1.1'
  readonly info: { readonly title: string; readonly version: string; readonly description: string } & Json
  readonly servers: readonly Json[]
  readonly security: readonly Json[]
  /** By path and method. */
  readonly paths: Readonly<Record<string, Readonly<Record<string, Json>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Json>>; readonly securitySchemes: Json }
}

const description = `Send tasks and canvases, follow them live, retry, cancel, look.

Names are in snake_case. Instants are ISO 8601 text in UTC, what is absent is left out, never null. What you give and get
(arguments, results, the data of log lines, a canvas) passes as it is. Every list is a page: \`items\`, and \`next\` where there is
another one, to be given as \`cursor\`. Every error is a problem (RFC 9457) with a \`code\` that never changes its meaning.

Send \`authorization: Bearer\` with an API key, a token of your identity provider, or a run token.`

/** @param base what stands before all paths */
export function documentOf(routes: readonly Route[], base: string): OpenApiDocument {
  const writer = new SchemaWriter()
  const paths: Record<string, Record<string, Json>> = {}
  for (const one of routes) (paths[one.path] ??= {})[one.method] = operationOf(one, writer)
  return {
    openapi: '3.1.1',
    info: {
      title: 'Celeriac',
      version: packageVersion,
      description,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: base === '' ? '/' : base }],
    security: [{ bearer: [] }],
    paths,
    components: {
      schemas: writer.named,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key, a JWT, or a run token.' },
        ticket: { type: 'apiKey', in: 'query', name: 'ticket', description: 'Opens one stream of events, once.' },
      },
    },
  }
}

function operationOf(one: Route, writer: SchemaWriter): Json {
  const scope = one.scope === null ? '' : `Needs the scope \`${one.scope}\`.`
  const problems = ['400', ...(one.scope === null ? [] : ['401', '403']), 'default']
  return {
    operationId: one.operationId,
    tags: [one.tag],
    summary: one.summary,
    description: [one.description, scope].filter(Boolean).join('\n\n'),
    ...(one.scope === null && { security: [] }),
    ...(one.takesTicket && { security: [{ bearer: [] }, { ticket: [] }] }),
    parameters: [
      ...parametersOf('path', one.params, writer),
      ...parametersOf('query', one.query, writer),
      ...parametersOf('header', one.headers, writer),
    ],
    ...(one.body && { requestBody: bodyOf(one.body, writer) }),
    responses: {
      ...Object.fromEntries(
        problems.map((status) => {
          const description = problemOf[status] as string
          return [status, answerOf({ description, schema: schemas.problem, type: problemType }, status, writer)]
        }),
      ),
      ...answersOf(one.answers, writer),
    },
    ...(one.callbacks && { callbacks: callbacksOf(one.callbacks, writer) }),
  }
}

/** The `callbacks` of an operation. */
export function callbacksOf(
  { name, urls, summary, description, headers, body, answers }: CallbackTerms,
  writer: SchemaWriter,
): Record<string, Record<string, { readonly post: Json }>> {
  const post = {
    summary,
    description,
    // It is signed: what opens this API opens nothing there.
    security: [],
    parameters: parametersOf('header', headers, writer),
    requestBody: bodyOf(body, writer, 'output'),
    responses: answersOf(answers, writer),
  }
  const at = ({ url, operationId }: CallbackTerms['urls'][number]): readonly [string, { readonly post: Json }] => [
    url,
    { post: operationId === null ? post : { operationId, ...post } },
  ]
  return { [name]: Object.fromEntries(urls.map(at)) }
}

function parametersOf(place: string, object: z.ZodObject | undefined, writer: SchemaWriter): readonly Json[] {
  if (!object) return []
  return writer.writeEach(object, 'input').map(({ name, schema, isRequired }) => {
    const { description, ...rest } = schema
    return {
      in: place,
      name,
      ...(isRequired && { required: true }),
      ...(description !== undefined && { description }),
      schema: rest,
    }
  })
}

const bodyOf = (schema: z.ZodType, writer: SchemaWriter, io: 'input' | 'output' = 'input'): Json => ({
  required: !schema.safeParse(undefined).success,
  content: { 'application/json': { schema: writer.write(schema, io) } },
})

const answersOf = (answers: Readonly<Record<string, AnswerTerms>>, writer: SchemaWriter): Json =>
  Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, answerOf(answer, status, writer)]))

const problemType = 'application/problem+json'
const problemOf: Readonly<Record<string, string>> = {
  400: 'What was sent is not of this form.',
  401: 'Who asks is not known.',
  403: 'Who asks may not do this.',
  default: 'Another problem.',
}

export function answerOf(
  { description, schema, type, headers }: AnswerTerms,
  status: string,
  writer: SchemaWriter,
): Json {
  const kind = type ?? (Number(status) >= 400 ? problemType : 'application/json')
  return {
    description,
    ...(headers && { headers: headersOf(headers, writer) }),
    ...(schema && { content: { [kind]: { schema: writer.write(schema, 'output') } } }),
  }
}

function headersOf(object: z.ZodObject, writer: SchemaWriter): Json {
  const written = writer.writeEach(object, 'output').map(({ name, schema, isRequired }) => {
    const { description, ...rest } = schema
    return [name, { required: isRequired, description, schema: rest }]
  })
  return Object.fromEntries(written) as Json
}
