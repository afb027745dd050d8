import { z } from 'zod'

/** What the document says of a schema beside its form. */
export interface Description {
  /** Its name among the schemas of the document: it is written once and referred to. */
  readonly id?: string
  readonly description?: string
  readonly format?: string
}

/**
 * Descriptions of the schemas of this API: `schema.register(described, { id: 'Job' })`. Never `.meta()`, which writes into the registry
 * that all of a process share: whoever imports this would find our schemas in a document of their own.
 */
class Descriptions extends z.core.$ZodRegistry<Description> {
  override add(schema: z.core.$ZodType, ...[description]: [Description?]): this {
    // In place, so that a schema used elsewhere as well would say there what it says here.
    if (this.has(schema)) throw new Error(`A schema has a description already: clone() it to say more.`)
    return super.add(schema, description as never)
  }
}

export const described = new Descriptions()
