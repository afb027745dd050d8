import { InvalidArgumentError } from 'commander'
import type { JwtOptions } from '../http/jwt.ts'
import { findModule } from './config.ts'
import { type AddCommand, type Context, type GlobalOptions, optionsOf } from './context.ts'
import { UsageError } from './mistake.ts'
import { openApp, openModule } from './store.ts'

interface ServerOptions {
  readonly port: number
  readonly host: string
  readonly base?: string
  readonly origin?: readonly string[]
  readonly issuer?: string
  readonly audience?: string
  readonly jwks?: string
  readonly openLocally?: true
}

/** Where a secret may stand: never on a command line, which everybody on the machine can read. */
const secretVariable = 'CELERIAC_JWT_SECRET'

export const addServer: AddCommand = (program, context) => {
  program
    .command('server')
    .description('serve the HTTP API: submit, look, follow live, retry, cancel')
    .argument('[module]', 'the file that exports the app; without one, nothing can be submitted')
    .option('--port <port>', 'where it listens; 0 takes any that is free', readPort, 8080)
    .option('--host <host>', 'address to bind', '127.0.0.1')
    .option(
      '--open-locally',
      'without keys or tokens: programs of this machine may do everything; never behind a proxy',
    )
    .option('--base <path>', 'what stands before all paths, such as /jobs')
    .option('--origin <url...>', 'pages of these origins may ask from the browser')
    .option('--issuer <issuer>', 'take tokens of your identity provider: what iss says')
    .option('--audience <audience>', 'and what aud says')
    .option('--jwks <url>', `and where its keys are; or its secret in ${secretVariable}`)
    .action(async (given: string | undefined, _own, self) => {
      const options = optionsOf<ServerOptions>(self)
      await runServer(context, options, given ?? findModule(context, options))
    })
}

async function runServer(
  context: Context,
  options: GlobalOptions & ServerOptions,
  module: string | undefined,
): Promise<void> {
  const { terminal } = context
  const jwt = jwtOf(options, context.environment[secretVariable])
  const app = module === undefined ? await openApp(context, options) : await openModule(context, options, module)
  try {
    const { serve } = await import('../http/serve.ts')
    const { port, host, base, origin, openLocally = false } = options
    const stopped = new Promise<void>((resolve) => context.onStop(() => resolve()))
    const serving = await serve(app, { port, host, base, origins: origin, auth: { jwt }, openLocally })
    terminal.note(`Serving at ${serving.url}${base ?? ''}: /docs lists all there is.`)
    if (serving.isOpenLocally) terminal.note(...openNotice)
    await stopped
    terminal.note('Stopping.')
    await serving.close()
  } finally {
    await app.close()
  }
}

/** What whoever starts it ought to know, and how to change it. */
export const openNotice: readonly string[] = [
  'No keys: any program of this machine may do everything, and so may a proxy here.',
  'To close it: celeriac keys create --name … --scopes …',
]

function jwtOf({ issuer, audience, jwks }: ServerOptions, secret: string | undefined): JwtOptions | undefined {
  if ([issuer, audience, jwks, secret].every((one) => one === undefined)) return undefined
  if (issuer === undefined || audience === undefined) {
    const given = secret === undefined ? '' : ` ${secretVariable} is set, and does nothing without them.`
    throw new UsageError(`Tokens are taken from one issuer for one audience: give --issuer and --audience.${given}`)
  }
  if ((jwks === undefined) === (secret === undefined)) {
    throw new UsageError(`Tokens are known by --jwks or by the secret in ${secretVariable}: give one of them.`)
  }
  return { issuer, audience, jwks, secret }
}

export function readPort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN
  if (port <= 65_535) return port
  throw new InvalidArgumentError('A port is a number from 0 to 65535.')
}
