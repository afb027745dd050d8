import { CeleriacError } from '../core/errors.ts'
import { badOption, type OptionReaders, readOptions, shortText, wholeNumber } from '../core/option.ts'
import { type Runtime, systemRuntime } from '../core/runtime.ts'
import { longerThanNothing } from '../core/stored-options.ts'
import { type Duration, milliseconds } from '../core/time.ts'
import type { Engine } from '../engine/engine.ts'
import { type CallbackOptions, type CallbackSettings, callbackSettings, readCallbacks } from './callback-settings.ts'
import { checkUrl, defaultUrl, type EngineFactory, engineFromUrl } from './connect.ts'

/** Where an app keeps its jobs, and its limits. Everything has a default. */
export interface CeleriacOptions {
  /**
   * `sqlite:path`, `sqlite:///absolute/path` or `sqlite::memory:`, with `?mode=fast` for speed over safety on power loss.
   * Default: the environment's CELERIAC_URL, else `sqlite:celeriac.db` in the working folder.
   */
  readonly url?: string | undefined
  /** In place of a url: the store itself, from `celeriac/sqlite`. */
  readonly engine?: Engine | EngineFactory | undefined
  /** How long a collection is kept after it settled. Default 7 days. */
  readonly retention?: Duration | undefined
  /** The most jobs that one canvas may come to. Default 100,000. */
  readonly maxJobs?: number | undefined
  /**
   * How long sending waits for a store that does not answer, for each 1,000 jobs sent together. Then it fails with
   * StoreUnavailable, which says whether the job may have been stored all the same. Default 5 s.
   */
  readonly sendTimeout?: Duration | undefined
  /** How the callbacks of submissions are signed, and where they may go. */
  readonly callbacks?: CallbackOptions | undefined
  /** Time and randomness, for tests that bring their own. */
  readonly runtime?: Runtime | undefined
}

export interface Config {
  readonly runtime: Runtime
  /** In milliseconds. */
  readonly retention: number
  readonly maxJobs: number
  /** In milliseconds. */
  readonly sendTimeout: number
  readonly callbacks: CallbackSettings
  /** Makes the engine; loads it first where a url names it. */
  readonly openEngine: () => Promise<Engine>
}

/** @throws CeleriacError BAD_OPTION, BAD_URL, BAD_DURATION, UNSUPPORTED */
export function readConfig(
  options: CeleriacOptions,
  environment: Readonly<Record<string, string | undefined>>,
): Config {
  const read = readOptions<ReadOptions>(options, readers, 'new Celeriac')
  const { engine, runtime = systemRuntime, retention = 7 * 24 * 60 * 60_000, maxJobs = 100_000 } = read
  const callbacks = callbackSettings(read.callbacks ?? {}, environment)
  const limits = { runtime, retention, maxJobs, sendTimeout: read.sendTimeout ?? 5_000, callbacks }
  if (engine !== undefined && read.url !== undefined) {
    throw badOption('new Celeriac', 'url and engine both say where the jobs are kept: give one of them')
  }
  if (engine) return { ...limits, openEngine: async () => made(engine, runtime) }
  const url = read.url ?? (environment['CELERIAC_URL'] || defaultUrl)
  checkUrl(url)
  return { ...limits, openEngine: async () => made(await engineFromUrl(url), runtime) }
}

interface ReadOptions {
  readonly url?: string
  readonly broker?: never
  readonly engine?: Engine | EngineFactory
  readonly retention?: number
  readonly maxJobs?: number
  readonly sendTimeout?: number
  readonly callbacks?: ReturnType<typeof readCallbacks>
  readonly runtime?: Runtime
}

const readers: OptionReaders<ReadOptions> = {
  url: shortText(2048),
  broker(_value, what) {
    throw new CeleriacError(
      'UNSUPPORTED',
      `${what}: this version of Celeriac has no brokers, its workers ask the store: leave it out.`,
    )
  },
  engine(value, what) {
    if (typeof value === 'function' || (typeof value === 'object' && value !== null && 'submit' in value)) {
      return value as Engine | EngineFactory
    }
    throw badOption(what, "a store is needed, such as sqlite({ path: 'jobs.db' }) from 'celeriac/sqlite'")
  },
  retention: (value, what) => milliseconds(value as Duration, what),
  maxJobs: wholeNumber(1, 1_000_000),
  sendTimeout: longerThanNothing,
  callbacks: readCallbacks,
  runtime: (value) => value as Runtime,
}

const made = (engine: Engine | EngineFactory, runtime: Runtime): Engine =>
  typeof engine === 'function' ? engine(runtime) : engine
