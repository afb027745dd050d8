import { z } from 'zod'
import { described } from './described.ts'

export type Json = Readonly<Record<string, unknown>>

/** Writes schemas as JSON Schema (draft 2020-12, that of OpenAPI 3.1). Those that have a name are written once, and referred to. */
export class SchemaWriter {
  /** Those that have a name, by it, of all that was written so far. */
  readonly named: Record<string, Json> = {}
  readonly #refTo: (name: string) => string

  /** @param refTo what refers to the schema of a name */
  constructor(refTo = (name: string): string => `#/components/schemas/${name}`) {
    this.#refTo = refTo
  }

  /** @param io what one gives (`input`), or what one gets (`output`) */
  write(schema: z.ZodType, io: 'input' | 'output'): Json {
    // Inside of another one, because the outermost would keep its name to itself.
    const { properties, $defs = {} } = this.#jsonOf(z.object({ schema }), io)
    for (const [name, one] of Object.entries($defs as Record<string, Json>)) this.#keep(name, one)
    return (properties as { readonly schema: Json }).schema
  }

  /** The properties of an object each by itself, as parameters and headers have them. */
  writeEach(object: z.ZodObject, io: 'input' | 'output'): readonly Property[] {
    return Object.entries(object.shape as Readonly<Record<string, z.ZodType>>).map(([name, one]) => ({
      name,
      schema: this.write(one, io),
      isRequired: !one.safeParse(undefined).success,
    }))
  }

  #keep(name: string, schema: Json): void {
    const known = this.named[name]
    if (known && JSON.stringify(known) !== JSON.stringify(schema)) {
      throw new Error(
        `Two schemas are called ${name}, or one differs in what is given and what is got: name them apart.`,
      )
    }
    this.named[name] = schema
  }

  #jsonOf(schema: z.ZodType, io: 'input' | 'output'): Json {
    const json = z.toJSONSchema(schema, { metadata: described, io, unrepresentable: 'any', override: amend })
    const text = JSON.stringify(json, (name, value: unknown) =>
      name === '$ref' ? this.#refTo(String(value).replace('#/$defs/', '')) : value,
    )
    return JSON.parse(text) as Json

    function amend({ jsonSchema }: { jsonSchema: { additionalProperties?: unknown; id?: unknown } }): void {
      delete jsonSchema.id
      // What is answered may come to have more: a client that refuses what it does not know would break then.
      if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties
    }
  }
}

export interface Property {
  readonly name: string
  readonly schema: Json
  readonly isRequired: boolean
}
