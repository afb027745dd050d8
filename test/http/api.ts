import { onTestFinished } from 'vitest'
import { Celeriac, type CeleriacOptions, currentJob } from 'celeriac'
import { createHandler, type Handler } from 'celeriac/http'
import { Worker } from 'celeriac/worker'
import { z } from 'zod'
import type { HandlerOptions } from '../../src/http/api.ts'
import type { EngineUnderTest } from '../engines.ts'
import { Documented, type Document } from './documented.ts'

export interface Asked {
  readonly status: number
  readonly type: string | null
  readonly headers: Headers
  readonly body: any
}

export interface Api {
  readonly app: Celeriac
  readonly tasks: ReturnType<typeof defineTasks>
  readonly handler: Handler
  readonly documented: Documented
  /** Asks, and holds the answer against the document. */
  ask(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Asked>
  /** As somebody with that token. */
  as(token: string): Api['ask']
  /** Starts a worker, which is stopped when the test is over. */
  work(): Promise<Worker>
}

/** On an empty store of this engine, which is removed when the test is over. */
export async function openApiOn({ place }: EngineUnderTest, options?: HandlerOptions): Promise<Api> {
  const there = await place()
  onTestFinished(() => there.remove())
  return openApi({ url: there.url }, options)
}

/** The HTTP API of an app with some tasks, on a store. Closed when the test is over. */
export async function openApi(store: CeleriacOptions, options: HandlerOptions = { auth: 'none' }): Promise<Api> {
  const app = new Celeriac(store)
  onTestFinished(async () => app.close())
  const tasks = defineTasks(app)
  const handler = createHandler(app, options)
  const documented = new Documented(await documentOf(handler))
  const ask: Api['ask'] = async (method, path, body, headers = {}) => {
    const request = requestOf(method, path, body, headers)
    const asked = await readAnswer(await handler(request))
    documented.expectAnswer(method, new URL(request.url).pathname, asked)
    return asked
  }
  return {
    app,
    tasks,
    handler,
    documented,
    ask,
    as: (token) => (method, path, body, headers) =>
      ask(method, path, body, { authorization: `Bearer ${token}`, ...headers }),
    async work() {
      const worker = new Worker(app)
      onTestFinished(async () => worker.stop({ grace: 0 }))
      await worker.start()
      return worker
    },
  }
}

export const documentOf = async (handler: Handler): Promise<Document> =>
  (await (await handler(new Request('http://localhost/openapi.json'))).json()) as Document

export function requestOf(
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Request {
  const sent =
    body === undefined
      ? { headers }
      : {
          body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
          headers: { 'content-type': 'application/json', ...headers },
        }
  return new Request(`http://localhost${path}`, { method, ...sent })
}

export async function readAnswer(response: Response): Promise<Asked> {
  const type = response.headers.get('content-type')
  const text = await response.text()
  const body: unknown = type?.includes('json') ? JSON.parse(text) : text
  return { status: response.status, type, headers: response.headers, body }
}

function defineTasks(app: Celeriac) {
  return {
    add: app.task('math.add', { expose: true, description: 'Adds.' }, (x: number, y: number) => x + y),
    resize: app.task(
      'images.resize',
      { expose: true, input: z.object({ width: z.number(), name: z.string().optional() }) },
      (input) => ({ ...input, done: true }),
    ),
    fail: app.task('fail', { expose: true }, (message: string): string => {
      throw new Error(message)
    }),
    steps: app.task('steps', { expose: true }, async (count: number) => {
      for (let step = 1; step <= count; step++) currentJob().progress(step, count, `step ${step}`)
      return count
    }),
    hidden: app.task('hidden', (text: string) => text),
  }
}
