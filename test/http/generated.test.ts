import fc from 'fast-check'
import { expect, test } from 'vitest'
import { describeEngines } from '../fixtures/store.ts'
import { type Api, openApiOn } from './api.ts'

type Json = Readonly<Record<string, any>>
interface Sent {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly body: unknown
  readonly headers: Readonly<Record<string, string>>
}

/** Values that schemas know nothing of, and that have broken servers. */
const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(
    null,
    '',
    '\0',
    '\ud800',
    '__proto__',
    -0,
    1e308,
    -1,
    '9'.repeat(400),
    [[[[]]]],
    { toString: 1 },
    '%',
  ),
)

/** Mostly what the document asks for, now and then something else. */
function valueOf(schema: Json, schemas: Json, depth = 0): fc.Arbitrary<unknown> {
  const good = goodValueOf(schema, schemas, depth)
  return fc.oneof({ weight: 6, arbitrary: good }, { weight: 1, arbitrary: odd })
}

function goodValueOf(schema: Json, schemas: Json, depth: number): fc.Arbitrary<unknown> {
  const inner = (one: Json): fc.Arbitrary<unknown> => valueOf(one, schemas, depth + 1)
  if (depth > 6) return fc.constant(null)
  if (schema['$ref']) return goodValueOf(schemas[schema['$ref'].split('/').pop()], schemas, depth)
  if (schema['enum']) return fc.constantFrom(...schema['enum'])
  if ('const' in schema) return fc.constant(schema['const'])
  if (schema['anyOf']) return fc.oneof(...schema['anyOf'].map(inner))
  switch (schema['type']) {
    case 'object': {
      const entries = Object.entries(schema['properties'] ?? {}).map(([name, one]) => [name, inner(one as Json)])
      return fc.record(Object.fromEntries(entries) as Record<string, fc.Arbitrary<unknown>>, {
        requiredKeys: (schema['required'] ?? []) as never,
      })
    }
    case 'array':
      return fc.array(inner(schema['items'] ?? {}), { maxLength: 3 })
    case 'integer':
      return fc.integer({ min: schema['minimum'] ?? -1000, max: schema['maximum'] ?? 1000 })
    case 'number':
      return fc.oneof(fc.integer({ min: -10, max: 100_000 }), fc.double())
    case 'boolean':
      return fc.boolean()
    case 'string':
      return fc.oneof(
        fc.constantFrom('5m', '1h', '-1h', '2030-01-01T00:00:00Z', 'default'),
        fc.string({ unit: 'grapheme' }),
      )
    default:
      return canvas
  }
}

/** A call with as many arguments as its task takes, and of their kinds: any other is refused. */
const fitting = fc.constantFrom(
  { type: 'signature', task: 'math.add', args: [1, 2] },
  { type: 'signature', task: 'images.resize', args: [{ width: 3 }] },
)

const { canvas } = fc.letrec<{ canvas: unknown }>((tie) => {
  const task = fc.constantFrom('math.add', 'images.resize', 'steps', 'fail', 'hidden', 'nothing')
  const signature = fc.record({
    type: fc.constant('signature'),
    task,
    args: fc.array(fc.jsonValue({ maxDepth: 1 }), { maxLength: 2 }),
  })
  return {
    canvas: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      fitting,
      signature,
      fc.record({ type: fc.constant('chain'), links: fc.array(tie('canvas'), { maxLength: 3 }) }),
      fc.record({
        type: fc.constant('group'),
        members: fc.array(tie('canvas'), { maxLength: 3 }),
        failFast: fc.boolean(),
      }),
      fc.record({ type: fc.constant('each'), of: tie('canvas'), list: fc.array(fc.integer(), { maxLength: 3 }) }),
      odd,
    ),
  }
})

/** Requests as the document has them, to things that are there and things that are not. */
function requests({ documented }: Api, ids: () => readonly string[]): fc.Arbitrary<Sent> {
  const { paths, components } = documented.document as unknown as { paths: Json; components: { schemas: Json } }
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods as Json).map(([method, operation]) => ({
      path,
      method: method.toUpperCase(),
      operation: operation as Json,
    })),
  )
  const drawn = fc.constantFrom(...operations).chain(({ path, method, operation }) => {
    const parameters: readonly Json[] = operation['parameters'] ?? []
    const ofQuery = parameters.filter((one) => one['in'] === 'query' && one['name'] !== 'live')
    const schema = operation['requestBody']?.content['application/json'].schema as Json | undefined
    return fc.record({
      method: fc.constant(method),
      path: pathOf(path, ids),
      query: fc
        .record(Object.fromEntries(ofQuery.map((one) => [one['name'], valueOf(one['schema'], components.schemas)])), {
          requiredKeys: [],
        })
        .map(queryText),
      body: schema ? fc.oneof(valueOf(schema, components.schemas), fc.constant(undefined)) : fc.constant(undefined),
      headers: fc.constantFrom(
        {},
        {},
        { 'idempotency-key': 'one' },
        { 'idempotency-key': 'two' },
        { 'last-event-id': 'x' },
      ),
    })
  })
  return fc.oneof({ weight: 20, arbitrary: drawn }, { weight: 1, arbitrary: taken })
}

/** What is taken: with options and arguments that are drawn, nearly all is refused. */
const taken: fc.Arbitrary<Sent> = fitting.chain(({ task, args, ...rest }) =>
  fc.constantFrom(
    { method: 'POST', path: `/api/tasks/${task}`, query: '', body: { args }, headers: {} },
    { method: 'POST', path: '/api/collections', query: '', body: { canvas: { task, args, ...rest } }, headers: {} },
  ),
)

function pathOf(template: string, ids: () => readonly string[]): fc.Arbitrary<string> {
  const names = fc.constantFrom('math.add', 'images.resize', 'steps', 'fail', 'default', 'shop')
  const known = fc.nat().map((n) => ids()[n % Math.max(1, ids().length)] ?? 'none')
  const segment = template.includes('{id}') ? known : names
  const strange = fc.string({ minLength: 1, unit: 'binary' }).map((text) => encodeURIComponent(text.toWellFormed()))
  return fc
    .oneof({ weight: 8, arbitrary: segment }, { weight: 1, arbitrary: strange })
    .map((text) => template.replace(/\{\w+\}/, () => text))
}

function queryText(query: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => [name, typeof one === 'string' ? one : JSON.stringify(one)]),
  )
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs as [string, string][]).toString()}`
}

describeEngines((engine) => {
  const runs = 10_000 * engine.pace

  test(
    `${runs} generated requests are answered as the document says, none with a fault inside`,
    { timeout: 120_000 },
    async () => {
      const faults: unknown[] = []
      const api = await openApiOn(engine, { auth: 'none', onError: (error) => void faults.push(error) })
      const ids: string[] = ['01a20050-8ac2-7113-b78d-6992027b03ae']
      const statuses = new Map<number, number>()
      await fc.assert(
        fc.asyncProperty(
          requests(api, () => ids),
          async ({ method, path, query, body, headers }) => {
            // A stream that goes on has no end to read up to.
            if (path.endsWith('/events')) return
            faults.length = 0
            const { status, body: answer } = await api.ask(method, `${path}${query}`, body, headers)
            statuses.set(status, (statuses.get(status) ?? 0) + 1)
            if (faults.length > 0) throw faults[0]
            expect(status, JSON.stringify(answer)).toBeLessThan(500)
            if (status === 202)
              ids.splice(
                0,
                ids.length > 50 ? 25 : 0,
                ...[answer.id, ...answer.jobs.map((job: Json) => job['id'])].slice(0, 4),
              )
          },
        ),
        { numRuns: runs },
      )
      // It is not the refusals alone that are tried.
      expect(statuses.get(202)).toBeGreaterThan(0)
      expect(statuses.get(200)).toBeGreaterThan(runs / 20)
    },
  )
})
