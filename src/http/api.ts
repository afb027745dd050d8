import { type Context, Hono } from 'hono'
import { cors } from 'hono/cors'
import type { Celeriac } from '../app/celeriac.ts'
import { partsOf } from '../app/parts.ts'
import { anything, badOption, functionOption, isTrue, type OptionReaders, readOptions } from '../core/option.ts'
import { Authenticator, type Auth } from './authenticate.ts'
import { isLarge, readJson } from './body.ts'
import { docsPage } from './docs-page.ts'
import { documentOf } from './document.ts'
import { Faults, logFault, type OnError } from './faults.ts'
import { demand, demandEverything, type Identity } from './identity.ts'
import { Keyring } from './keys.ts'
import { Held } from './live/held.ts'
import { rememberedOwners } from './live/owners.ts'
import type { Incoming } from './local.ts'
import { problemOf, problemReply, RequestError } from './problem.ts'
import { isReply, json, type Reply } from './reply.ts'
import { queryOf, readBy, type Route, type Service } from './route.ts'
import { collectionRoutes } from './routes/collections.ts'
import { jobRoutes } from './routes/jobs.ts'
import { systemRoutes } from './routes/system.ts'
import { taskRoutes } from './routes/tasks.ts'
import { Scans } from './scans.ts'
import { Trust } from './trust.ts'
import { Turns } from './turns.ts'

export interface HandlerOptions {
  /** Who may do what. Default: API keys. */
  readonly auth?: Auth | undefined
  /**
   * Until there is a key or `auth`: whether programs of this machine may do everything. A request with any sign of a proxy is
   * not of this machine, but a proxy need not leave any: never where one forwards to here. Default true, and false where
   * `NODE_ENV` is `production`.
   */
  readonly openLocally?: boolean | undefined
  /** What stands before all paths, such as `/jobs`: then they are `/jobs/api/…`, `/jobs/docs`. Default nothing. */
  readonly base?: string | undefined
  /** Pages of these origins may ask from the browser: `https://app.example.com`. Default none but its own. */
  readonly origins?: readonly string[] | undefined
  /**
   * Called with what went wrong inside, which callers do not see: each kind of failure at once, and then once a minute with how
   * often it was repeated. Default: `console.error`, at most 8,000 characters.
   */
  readonly onError?: OnError | undefined
}

/** Answers a request. `incoming` says where it came from: without it, nobody counts as being on this machine. */
export type Answer = (request: Request, incoming?: Incoming) => Promise<Reply | Response>

export const routes: readonly Route[] = [...taskRoutes, ...collectionRoutes, ...jobRoutes, ...systemRoutes]

export interface Api {
  readonly answer: Answer
  readonly authenticator: Authenticator
  readonly service: Service
  readonly base: string
  /** Whether there is something at a path: what is not ours is for others. */
  readonly isOurs: (path: string) => boolean
}

export function createApi(app: Celeriac, options: HandlerOptions): Api {
  const {
    auth = {},
    base = '',
    origins = [],
    onError = logFault,
    openLocally = !isProduction(),
  } = readHandlerOptions(options)
  const parts = partsOf(app)
  const connect = () => parts.connect()
  const keyring = new Keyring(connect)
  const authenticator = new Authenticator(auth, keyring, { origins, openLocally }, parts.runtime, connect)
  const faults = new Faults(onError, parts.runtime)
  const explain: Service['explain'] = (thrown, asked) => {
    const { problem, isInternal } = problemOf(thrown)
    if (isInternal) faults.report(thrown, asked)
    return problem
  }
  const trust = new Trust(parts.runtime, (keyId) => keyring.stillHolds(keyId))
  const service: Service = {
    parts,
    connect,
    owners: rememberedOwners(connect),
    trust,
    answers: new Turns(mostAtOnce),
    openings: new Turns(mostAtOnce),
    held: new Held(),
    scans: new Scans(parts.runtime),
    explain,
  }
  const uploads = new Turns(mostUploads)
  const hono = new Hono<{ Bindings: Env }>()

  hono.onError((error, { req, env }) => {
    // As it was asked for: decoded it may have line breaks, and a log lines that somebody else wrote.
    const problem = explain(error, { method: req.method, path: new URL(req.url).pathname })
    return carried(problemReply(problem, error instanceof RequestError ? error.headers : {}), env)
  })
  hono.notFound(({ req, env }) => carried(problemReply(noSuchPath(req.path)), env))
  if (origins.length > 0) {
    hono.use('*', cors({ origin: [...origins], allowMethods: methods, exposeHeaders: ['location'] }))
  }
  for (const one of routes) {
    const answer = async ({ req, env }: Asking): Promise<Response> => {
      const request = req.raw
      const takesTicket = one.takesTicket === true
      const identity = one.scope === null ? nobody : await authenticator.identify(request, env.incoming, takesTicket)
      return carried(await run(one, { service, uploads, identity, request, base, names: req.param() }), env)
    }
    for (const path of pathsOf(base, one.path)) hono.on(one.method.toUpperCase(), path, answer)
  }
  const document = once(() => documentOf(routes, base))
  // Anybody may ask for them, and writing one takes longer than most requests.
  const asJson = once(() => json(200, document()))
  const asPage = once(() => docsPage(document(), base))
  for (const path of pathsOf(base, '/api/openapi.json')) hono.get(path, ({ env }) => carried(asJson(), env))
  for (const path of pathsOf(base, '/api/docs')) hono.get(path, ({ env }) => carried(asPage(), env))
  for (const path of new Set(routes.map((one) => one.path))) hono.all(honoPath(base, path), () => refuseMethod(path))

  const answer: Answer = async (request, incoming) => {
    const env: Env = { incoming, reply: null }
    const response = await hono.fetch(request, env)
    if (env.reply === null || origins.length === 0) return env.reply ?? response
    // What pages of other origins need to be told went into the empty response.
    return { ...env.reply, headers: { ...Object.fromEntries(response.headers), ...env.reply.headers } }
  }
  return { answer, authenticator, service, base, isOurs: knowsPath(base) }
}

/** What pages of other origins may ask with: hono answers HEAD where there is GET. */
const methods = ['HEAD', ...new Set(routes.map(({ method }) => method.toUpperCase()))]

function once<Made>(make: () => Made): () => Made {
  let made: { readonly made: Made } | undefined
  return () => (made ??= { made: make() }).made
}

/** How much of what was read for one credential may be on its way to it: so many answers, and as many snapshots of what it follows. */
const mostAtOnce = 8

/** How many large bodies of one credential are received, and carried out, at once. */
const mostUploads = 32

/** What goes with a request through the router, which knows responses only: an answer that is none yet comes back here. */
interface Env {
  readonly incoming: Incoming | undefined
  reply: Reply | null
}
type Asking = Context<{ Bindings: Env }>

function carried(answer: Reply | Response, env: Env): Response {
  if (!isReply(answer)) return answer
  env.reply = answer
  return new Response(null)
}

/** What no app of one's own has at those places may be found there too: `/docs`, `/openapi.json`, `/health/live`. */
const shortOf = /^\/api(?=\/(openapi\.json|docs|health\/))/

const pathsOf = (base: string, path: string): readonly string[] =>
  shortOf.test(path) ? [base + path, base + path.replace(shortOf, '')] : [honoPath(base, path)]

/** Beside routes of somebody's own, no more is taken than there is: nothing outside of `/api`, and there what has a path. */
function knowsPath(base: string): Api['isOurs'] {
  const own = base === '' ? [] : ['/openapi.json', '/docs', '/health/live', '/health/ready']
  const all = [...routes.map(({ path }) => path), '/api/openapi.json', '/api/docs', ...own]
  const patterns = [...new Set(all)].map((path) => path.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+'))
  const known = new RegExp(`^${base.replaceAll('.', '\\.')}(${patterns.join('|')})$`)
  return (path) => known.test(path)
}

const nobody: Identity = { name: 'nobody', scopes: [], actor: null, collectionId: null }

interface Asked {
  readonly service: Service
  readonly uploads: Turns
  readonly identity: Identity
  readonly request: Request
  readonly base: string
  readonly names: Readonly<Record<string, string>>
}

/** From what may be asked to the answer. Who may not ask is told before what was wrong with the question. */
async function run(one: Route, asked: Asked): Promise<Reply | Response> {
  const { uploads, identity, request } = asked
  if (one.scope !== null) demand(identity, one.scope)
  if (one.isOfEverybody) demandEverything(identity)
  const received = one.body && isLarge(request) ? await uploads.take(identity, request) : undefined
  try {
    return await carryOut(one, asked)
  } finally {
    received?.()
  }
}

async function carryOut(one: Route, { service, identity, request, base, names }: Asked): Promise<Reply | Response> {
  const params: unknown = one.params && readBy(one.params, names, 'path')
  const query: unknown = one.query && readBy(one.query, queryOf(new URL(request.url).searchParams, one.query), 'query')
  const body: unknown = one.body && readBy(one.body, await readJson(request, service.parts.runtime), 'body')
  const given = { service, identity, request, base, params, query, body }
  // Submissions that come together are one write, and take a turn where they tell what was there; streams take turns of their own.
  if (one.scope === null || one.scope === 'submit' || one.takesTicket) return one.handle(given)
  const done = await service.answers.take(identity, request)
  try {
    const reply = await one.handle(given)
    if (isReply(reply)) return { ...reply, done }
    done()
    return reply
  } catch (error) {
    done()
    throw error
  }
}

/** `{name}` as the router writes it. */
const honoPath = (base: string, path: string): string => base + path.replace(/\{(\w+)\}/g, ':$1')

const noSuchPath = (path: string) =>
  problemOf(new RequestError('NO_SUCH_PATH', `There is nothing at ${path.slice(0, 100)}: /docs lists all there is.`))
    .problem

function refuseMethod(path: string): never {
  const allowed = routes.filter((one) => one.path === path).map(({ method }) => method.toUpperCase())
  throw new RequestError('METHOD_NOT_ALLOWED', `Ask here with ${allowed.join(' or ')}.`, {
    headers: { allow: allowed.join(', ') },
  })
}

const handlerReaders: OptionReaders<HandlerOptions> = {
  auth: anything,
  openLocally: isTrue,
  base: anything,
  origins: (value, what) => {
    if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return [...value]
    throw badOption(what, "a list of origins is needed, such as ['https://app.example.com']")
  },
  onError: functionOption,
}

function readHandlerOptions(options: HandlerOptions): HandlerOptions {
  const { base = '', ...rest } = readOptions<HandlerOptions>(options, handlerReaders, 'createHandler')
  if (typeof base !== 'string' || !/^(\/[A-Za-z0-9._~-]+)*$/.test(base)) {
    throw badOption('createHandler: base', 'write a path such as /jobs, without a slash at its end')
  }
  return { base, ...rest }
}

const isProduction = (): boolean => process.env['NODE_ENV'] === 'production'
