import { checkArity } from '../canvas/arity.ts'
import { CeleriacError, type ErrorCode, NotFound } from '../core/errors.ts'
import { argumentsText } from '../core/json.ts'
import { badOption, type OptionReaders, readOptions } from '../core/option.ts'
import { validate } from '../core/schema.ts'
import { shown } from '../core/text.ts'
import type { RetryAnswer, RetryRequest } from '../engine/control.ts'
import type { Engine } from '../engine/engine.ts'
import { lookAtCollection } from './collection-events.ts'
import type { Connection } from './events.ts'
import { type FoundJob, lookAtJob } from './job-events.ts'
import type { Registry } from './registry.ts'

const passing: readonly ErrorCode[] = ['STORE_BUSY', 'STORE_UNREACHABLE', 'STORE_FAILED']

/**
 * Retries one job, with the arguments given in place of its own.
 *
 * @throws CeleriacError BAD_OPTION, NOT_JSON, TOO_LARGE, TOO_DEEP, INVALID_ARGUMENTS, and what `retrySelection` throws
 */
export async function retryJob(
  access: { readonly registry: Registry; connect(): Promise<Connection> },
  { id }: { readonly id: string },
  collectionId: string,
  options: unknown,
): Promise<void> {
  const { args, now = false } = readOptions<RetryOptions>(options, retryReaders, 'retry')
  const connection = await access.connect()
  if (args !== undefined) {
    const found = await lookAtJob(connection, id, { history: false })
    if (keepsCanvas(found)) throw keptCanvas(found)
    // Of arguments that a result is put before, and of a list of calls, the schema is asked when they run.
    const definition = found.hasAllArguments ? access.registry.find(found.task) : undefined
    if (definition?.schema) await validate(definition.schema, JSON.parse(args) as unknown[], found.task)
    else if (definition?.terms.expose) checkArity(definition, (JSON.parse(args) as unknown[]).length)
  }
  const about = { selection: { jobId: id }, mode: 'failed', now, ...(args !== undefined && { args }) } as const
  await retrySelection(connection, about, collectionId, `Job ${id}`)
}

interface RetryOptions {
  /** As JSON text. */
  readonly args?: string
  readonly now?: boolean
}

const retryReaders: OptionReaders<RetryOptions> = {
  args(value, what) {
    if (Array.isArray(value)) return argumentsText(value)
    throw badOption(what, `a list of arguments is needed, not ${shown(value)}`)
  },
  now(value, what) {
    if (typeof value === 'boolean') return value
    throw badOption(what, `true or false is needed, not ${shown(value)}`)
  },
}

/** A main job that continued as a canvas is not called again by a retry: what failed in that canvas is. */
const keepsCanvas = ({ continued, role, state }: FoundJob): boolean =>
  continued && role === 'main' && (state === 'failed' || state === 'cancelled')

const keptCanvas = ({ id, failedJobId }: FoundJob): CeleriacError =>
  new CeleriacError(
    'NOT_RETRYABLE',
    `Job ${id} returned a canvas, which a retry goes on with: its own arguments are not used again. Retry the job that failed in it${failedJobId === null ? '' : ` (${failedJobId})`}, or the whole collection in mode 'all'.`,
  )

/**
 * Retries what is selected, in the round that its collection is in now. If the answer is lost the request is sent once
 * more: the next round having begun is then what was asked for.
 *
 * @throws CeleriacError NOT_SETTLED, NOT_RETRYABLE, UNIQUE_CONFLICT, NotFound
 */
export async function retrySelection(
  connection: Connection,
  about: Omit<RetryRequest, 'expectedRound'>,
  collectionId: string,
  what: string,
): Promise<void> {
  const { mode, now = false } = about
  if (mode !== 'failed' && mode !== 'all') {
    throw new CeleriacError('BAD_OPTION', `retry: mode is 'failed' or 'all', not ${String(mode)}`)
  }
  if (typeof now !== 'boolean') throw new CeleriacError('BAD_OPTION', `retry: now is true or false, not ${shown(now)}`)
  const { round } = await lookAtCollection(connection, collectionId, false)
  const answer = await askTwice(connection.engine, { ...about, expectedRound: round })
  if (answer !== 'retried') throw refusal(answer, what)
}

async function askTwice(engine: Engine, request: RetryRequest): Promise<RetryAnswer> {
  try {
    return await engine.retry(request)
  } catch (error) {
    if (!(error instanceof CeleriacError && passing.includes(error.code))) throw error
    const answer = await engine.retry(request)
    return answer === 'round' && (await hasArguments(engine, request)) ? 'retried' : answer
  }
}

/** Whether it was this request that began the round, as far as arguments tell. */
async function hasArguments(engine: Engine, { selection, args }: RetryRequest): Promise<boolean> {
  if (args === undefined || !('jobId' in selection)) return true
  return (await engine.job(selection.jobId, { history: false }))?.args === args
}

function refusal(answer: Exclude<RetryAnswer, 'retried'>, what: string): CeleriacError {
  switch (answer) {
    case 'round':
      return new CeleriacError('NOT_SETTLED', `${what} was retried by somebody else just now: this changed nothing.`)
    case 'running':
      return new CeleriacError('NOT_SETTLED', `${what} is not over yet: wait for it, or cancel it, and then retry.`)
    case 'cancelling':
      return new CeleriacError('NOT_SETTLED', `${what} is still being cancelled: retry when that is done.`)
    case 'succeeded':
      return new CeleriacError(
        'NOT_RETRYABLE',
        `${what} succeeded, so there is nothing to retry: a whole collection runs again in mode 'all'.`,
      )
    case 'blocked':
      return new CeleriacError(
        'NOT_RETRYABLE',
        `${what} waits for something that failed or is not over: retry that, or the whole collection.`,
      )
    case 'unique':
      return new CeleriacError(
        'UNIQUE_CONFLICT',
        `${what} holds a unique key that another submission holds now: retry when that one is over.`,
      )
    case 'not-found':
      return new NotFound(`${what} is not there any more: it was removed when its retention ended.`)
  }
}
