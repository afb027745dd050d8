import { z } from 'zod'
import type { InputSchema } from '../core/schema.ts'

type JsonSchema = Record<string, unknown>

/**
 * The JSON Schema (draft 2020-12) of a task's list of arguments, as callers give them; null where its schemas do not tell.
 * They do by Standard JSON Schema (https://standardschema.dev/json-schema), or because they are of zod 4.
 */
export function argumentsSchema(schema: InputSchema): JsonSchema | null {
  const schemas = (Array.isArray(schema) ? schema : [schema]) as readonly unknown[]
  const items = schemas.map(schemaOf)
  if (items.some((item) => item === null)) return null
  // An argument may be left out where undefined is good, which only those at the end can be.
  const needed = schemas.findLastIndex((one) => !takesNothing(one)) + 1
  return { type: 'array', prefixItems: items, minItems: needed, maxItems: items.length }
}

function schemaOf(schema: unknown): JsonSchema | null {
  try {
    const { jsonSchema } = (schema as { '~standard': { jsonSchema?: { input(options: object): JsonSchema } } })[
      '~standard'
    ]
    if (jsonSchema) return plain(jsonSchema.input({ target: 'draft-2020-12' }))
    return schema instanceof z.ZodType ? plain(z.toJSONSchema(schema, { io: 'input' })) : null
  } catch {
    // It has something in it that JSON Schema has no word for.
    return null
  }
}

function plain({ $schema: _, ...schema }: JsonSchema): JsonSchema {
  return schema
}

function takesNothing(schema: unknown): boolean {
  try {
    const result = (schema as { '~standard': { validate(value: unknown): unknown } })['~standard'].validate(undefined)
    return !(result instanceof Promise) && (result as { issues?: unknown }).issues === undefined
  } catch {
    return false
  }
}
