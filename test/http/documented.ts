import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { ValidateFunction } from 'ajv'
import { expect } from 'vitest'

type Json = Readonly<Record<string, unknown>>
interface Operation {
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: Json }>> }>
  >
}
export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Json }
}

/** Holds answers against the document that describes them. */
export class Documented {
  readonly document: Document
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true })
  readonly #validators = new Map<string, ValidateFunction>()

  constructor(document: Document) {
    this.document = document
    ;(addFormats as unknown as (ajv: Ajv2020) => void)(this.#ajv)
    this.#ajv.addSchema(document, 'document')
  }

  /** Fails where the answer to an operation is none of those that the document has for it. */
  expectAnswer(method: string, path: string, answer: { status: number; type: string | null; body: unknown }): void {
    const found = this.operationAt(method, path)
    const kind = answer.type?.split(';')[0] ?? ''
    if (found === undefined || kind === '' || kind === 'text/event-stream') return
    const { responses } = found.operation
    const status = Object.hasOwn(responses, answer.status) ? String(answer.status) : 'default'
    // Only a problem may come under a status that is not named.
    expect(status === 'default' ? answer.status : 400, `${method} ${path}`).toBeGreaterThanOrEqual(400)
    expect(Object.keys(responses[status]?.content ?? {}), `${method} ${path} ${answer.status}`).toContain(kind)
    const pointer = [found.path, found.method, 'responses', status, 'content', kind, 'schema']
    this.expectValid(`#/paths/${pointer.map(escaped).join('/')}`, answer.body)
  }

  /** @param at a JSON pointer into the document */
  expectValid(at: string, value: unknown): void {
    let validate = this.#validators.get(at)
    if (!validate) this.#validators.set(at, (validate = this.#ajv.compile({ $ref: `document${at}` })))
    if (!validate(value)) expect.fail(`${at}: ${this.#ajv.errorsText(validate.errors)} in ${JSON.stringify(value)}`)
  }

  operationAt(method: string, path: string) {
    for (const [template, operations] of Object.entries(this.document.paths)) {
      const pattern = new RegExp(`^${template.replace(/\{\w+\}/g, '[^/]+')}$`)
      const operation = operations[method.toLowerCase()]
      if (operation && pattern.test(path)) return { path: template, method: method.toLowerCase(), operation }
    }
    return undefined
  }
}

const escaped = (part: string): string => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))
