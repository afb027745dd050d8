import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { ValidateFunction } from 'ajv'
import { expect } from 'vitest'

type Json = Readonly<Record<string, unknown>>
type Content = Readonly<Record<string, { readonly schema: Json }>>
interface Operation {
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>
  /** By name, by the expression that tells the url, by method. */
  readonly callbacks?: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, CallbackOperation>>>>>>
}
interface CallbackOperation {
  readonly parameters?: readonly { readonly in: string; readonly name: string; readonly required?: boolean }[]
  readonly requestBody: { readonly content: Content }
}
export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Json }
}

interface Request {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Holds answers and callbacks against the document that describes them. */
export class Documented {
  readonly document: Document
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true })
  readonly #validators = new Map<string, ValidateFunction>()

  constructor(document: Document) {
    this.document = document
    ;(addFormats as unknown as (ajv: Ajv2020) => void)(this.#ajv)
    this.#ajv.addSchema(document, 'document')
    this.#ajv.addSchema(closed(document) as object, 'closed')
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

  /** Fails where a request is not what every callback of the document says, or says more than that. */
  expectCallback(request: Request): void {
    const callbacks = this.#callbacks()
    expect(callbacks).not.toEqual([])
    for (const { pointer, method, parameters } of callbacks) {
      expect(request.method.toLowerCase()).toBe(method)
      expect(request.headers['content-type']).toBe('application/json')
      const needed = parameters.filter((one) => one.in === 'header' && one.required).map(({ name }) => name)
      expect(Object.keys(request.headers)).toEqual(expect.arrayContaining(needed))
      const at = [...pointer, 'requestBody', 'content', 'application/json', 'schema'].map(escaped).join('/')
      this.expectValid(`#/paths/${at}`, JSON.parse(request.body), 'closed')
    }
  }

  /** @param at a JSON pointer into the document */
  expectValid(at: string, value: unknown, document: 'document' | 'closed' = 'document'): void {
    const $ref = `${document}${at}`
    let validate = this.#validators.get($ref)
    if (!validate) this.#validators.set($ref, (validate = this.#ajv.compile({ $ref })))
    if (!validate(value)) expect.fail(`${at}: ${this.#ajv.errorsText(validate.errors)} in ${JSON.stringify(value)}`)
  }

  #callbacks() {
    return Object.entries(this.document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).flatMap(([method, { callbacks = {} }]) =>
        Object.entries(callbacks).flatMap(([name, urls]) =>
          Object.entries(urls).flatMap(([url, called]) =>
            Object.entries(called).map(([by, { parameters = [] }]) => ({
              pointer: [path, method, 'callbacks', name, url, by],
              method: by,
              // A document that Fastify made leaves them out.
              parameters,
            })),
          ),
        ),
      ),
    )
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

/** With what a document leaves open to later versions forbidden: what it does not declare is not told today. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const parts = Object.fromEntries(Object.entries(schema).map(([name, part]) => [name, closed(part)]))
  return parts['type'] === 'object' && 'properties' in parts ? { additionalProperties: false, ...parts } : parts
}

const escaped = (part: string): string => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))
