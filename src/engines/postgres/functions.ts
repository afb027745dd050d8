import { createHash } from 'node:crypto'
import { alikeFunctions } from './alike.ts'
import { cascadeFunctions } from './cascade.ts'
import { changeFunctions } from './change.ts'
import { claimFunctions } from './claim.ts'
import { choreFunctions } from './chores.ts'
import { controlFunctions } from './control.ts'
import { enqueueFunctions } from './enqueue.ts'
import { dueFunctions } from './due.ts'
import { feedFunctions } from './feed.ts'
import { gatherFunctions } from './gather.ts'
import { heartbeatFunctions } from './heartbeat.ts'
import { heldFunctions } from './held.ts'
import { insertFunctions } from './insert.ts'
import { inspectFunctions } from './inspect.ts'
import { journalFunctions } from './journal.ts'
import { keyFunctions } from './keys.ts'
import { lineFunctions } from './line.ts'
import { recordFunctions } from './record.ts'
import { resultFunctions } from './results.ts'
import { retentionFunctions } from './retention.ts'
import { retryFunctions } from './retry.ts'
import { settleFunctions } from './settle.ts'
import { statisticsFunctions } from './statistics.ts'
import { submitFunctions } from './submit.ts'
import { sweepFunctions } from './sweep.ts'
import { turnFunctions } from './turn.ts'
import { transferFunctions } from './transfer.ts'
import { withinFunctions } from './within.ts'
import { uploadFunctions } from './upload.ts'
import { valueFunctions } from './values.ts'
import { workFunctions } from './work.ts'

/**
 * What is atomic is one request, and one request is one call of a function in the schema. The SQL of the functions stands
 * beside the TypeScript that calls them: each file exports one text (`claimFunctions` …) of `create or replace function`
 * statements. In it every name of ours is written as if the schema were called `celeriac` (`celeriac.jobs`,
 * `celeriac.claim(…)`); `inSchema` puts in the real one. Bodies are quoted by `$$`, begin with `#variable_conflict use_column`
 * and call their arguments `a_…`, their variables `v_…`. The first argument is `a_now`: null for the server's clock.
 *
 * What a call does to the store goes through a `celeriac.change` (`c`), which `begin_change` makes, the other functions
 * take and give back, and `finish` sees to the end. A composite cannot be one of several targets of `into`: such answers are
 * selected into a record `r` first.
 *
 * What is called by other functions is in PL/pgSQL, also where it is one query: of a function in SQL that it cannot put in its
 * place the server makes the plan anew in every call, which costs 0.2 ms.
 *
 * A function whose signature or meaning changes so that workers of the version before could not go on gets another name. After
 * any change: `npm run functions`.
 */
export const functions: readonly string[] = [
  // They call one another: none is looked into before all are there.
  'set local check_function_bodies = off',
  changeFunctions,
  journalFunctions,
  insertFunctions,
  submitFunctions,
  alikeFunctions,
  uploadFunctions,
  keyFunctions,
  cascadeFunctions,
  workFunctions,
  claimFunctions,
  lineFunctions,
  dueFunctions,
  gatherFunctions,
  recordFunctions,
  resultFunctions,
  settleFunctions,
  heldFunctions,
  controlFunctions,
  retryFunctions,
  heartbeatFunctions,
  sweepFunctions,
  turnFunctions,
  retentionFunctions,
  choreFunctions,
  feedFunctions,
  inspectFunctions,
  transferFunctions,
  withinFunctions,
  enqueueFunctions,
  valueFunctions,
  statisticsFunctions,
]

export const functionsHash = createHash('sha256').update(functions.join('\n')).digest('hex').slice(0, 12)
