import { z } from 'zod'
import type { Connection } from '../app/events.ts'
import type { FindOwners } from '../app/feed-events.ts'
import type { AppParts } from '../app/parts.ts'
import { type Identity, type Scope } from './identity.ts'
import { type Problem, RequestError } from './problem.ts'
import type { Held } from './live/held.ts'
import type { Reply } from './reply.ts'
import type { Scans } from './scans.ts'
import type { Trust } from './trust.ts'
import type { Turns } from './turns.ts'

/** What routes work with. */
export interface Service {
  readonly parts: AppParts
  readonly connect: () => Promise<Connection>
  readonly owners: FindOwners
  readonly trust: Trust
  /** Of those who are answered with what they did not send. */
  readonly answers: Turns
  /** Of those who follow: a snapshot may be megabytes. */
  readonly openings: Turns
  /** Of those who follow: what they have this process remember. */
  readonly held: Held
  readonly scans: Scans
  /** What was thrown, as it is told to who asked; what went wrong inside is reported. */
  readonly explain: (thrown: unknown, asked: AskedOf) => Problem
}

/** What a report names of a request. */
export interface AskedOf {
  readonly method: string
  readonly path: string
}

type Read<Schema extends z.ZodType | undefined> = Schema extends z.ZodType ? z.output<Schema> : undefined

export interface Given<Params, Query, Body> {
  readonly service: Service
  readonly identity: Identity
  readonly request: Request
  /** What stands before the paths of the document. */
  readonly base: string
  readonly params: Params
  readonly query: Query
  readonly body: Body
}

/** One operation: what the document says of it, and what carries it out. */
export interface RouteTerms<
  Params extends z.ZodObject | undefined,
  Query extends z.ZodObject | undefined,
  Body extends z.ZodType | undefined,
> {
  readonly method: 'get' | 'post'
  /** As the document writes it: `/api/jobs/{id}`. */
  readonly path: `/${string}`
  /** The name that clients made from the document call it by. */
  readonly operationId: string
  readonly tag: string
  readonly summary: string
  readonly description?: string
  /** null: anybody may ask. */
  readonly scope: Scope | null
  /** It tells of what belongs to nobody in particular. */
  readonly isOfEverybody?: true
  /** A ticket will do: browsers cannot send a header there. */
  readonly takesTicket?: true
  readonly params?: Params
  readonly query?: Query
  readonly body?: Body
  readonly headers?: z.ZodObject
  readonly answers: Readonly<Record<number, AnswerTerms>>
  readonly callbacks?: CallbackTerms
  handle(given: Given<Read<Params>, Read<Query>, Read<Body>>): Promise<Reply | Response>
}

export interface AnswerTerms {
  readonly description: string
  readonly schema?: z.ZodType
  /** Default `application/json`. */
  readonly type?: string
  readonly headers?: z.ZodObject
}

/** A request that an operation makes of whoever asked for it, later. */
export interface CallbackTerms {
  readonly name: string
  /** Where it may go, each with an operation id that no other operation of a document has. */
  readonly urls: readonly {
    /** As OpenAPI says it: https://spec.openapis.org/oas/v3.1.1.html#runtime-expressions */
    readonly url: string
    readonly operationId: string | null
  }[]
  readonly summary: string
  readonly description: string
  readonly headers: z.ZodObject
  readonly body: z.ZodType
  readonly answers: Readonly<Record<string, AnswerTerms>>
}

export type Route = RouteTerms<any, any, any>

/** Types what `handle` is given by the schemas beside it. */
export function route<
  Params extends z.ZodObject | undefined = undefined,
  Query extends z.ZodObject | undefined = undefined,
  Body extends z.ZodType | undefined = undefined,
>(terms: RouteTerms<Params, Query, Body>): Route {
  return terms
}

/**
 * Reads one part of a request by its schema.
 *
 * @throws RequestError BAD_REQUEST, with the path of every mistake
 */
export function readBy(schema: z.ZodType, value: unknown, where: string): unknown {
  const read = schema.safeParse(value)
  if (read.success) return read.data
  const errors = read.error.issues.slice(0, 20).map(({ path, message }) => ({
    path: [where, ...path].map(String).join('.').slice(0, 200),
    message: message.slice(0, 500),
  }))
  const [first] = errors
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  throw new RequestError('BAD_REQUEST', `${first?.path ?? where}: ${first?.message ?? 'not valid'}${more}`, { errors })
}

/** A name given twice is a list where the schema has one, and a mistake elsewhere. */
export function queryOf(search: URLSearchParams, schema: z.ZodObject): Record<string, unknown> {
  const query: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  for (const name of new Set(search.keys())) {
    const values = search.getAll(name)
    const shape = Object.hasOwn(schema.shape, name) ? (schema.shape[name] as z.ZodType) : undefined
    query[name] = values.length > 1 || isList(shape) ? values : values[0]
  }
  return query
}

function isList(schema: z.ZodType | undefined): boolean {
  if (schema instanceof z.ZodOptional) return isList(schema.unwrap() as z.ZodType)
  return schema instanceof z.ZodArray
}
