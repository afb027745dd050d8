import { openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { engineFromUrl } from '../app/connect.ts'
import type { Failure } from '../core/failure.ts'
import type { Runtime } from '../core/runtime.ts'
import { lastWordsName } from '../engine/recovery.ts'
import type { SoleAttempt } from '../worker/sole-attempt.ts'

/** How a worker process ended. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** What Node said when no memory was left; null if that is not why. */
  readonly outOfMemory: string | null
}

/** Maximum characters of Node's reason that are stored. */
const reasonLength = 300
const attemptFile = 'attempt'
const reportFile = 'report.json'

// ── in the worker ────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Keeps in a folder of the supervisor's what a process that is killed cannot say: which attempt runs alone, written before its
 * handler is called, and Node's report should memory run out.
 *
 * @returns notes the attempt; null: none or several run
 */
export function keepForSupervisor(folder: string): (attempt: SoleAttempt | null) => void {
  const { report } = process
  // Somebody who asked for reports of their own gets those.
  if (!report.reportOnFatalError)
    Object.assign(report, {
      reportOnFatalError: true,
      directory: folder,
      filename: reportFile,
      compact: true,
      excludeEnv: true,
      excludeNetwork: true,
    })
  // A write to a file outlives the process at once; a message to the supervisor may still wait to be sent.
  const file = openSync(join(folder, attemptFile), 'w', 0o600)
  let isNone = true
  return (attempt) => {
    if (attempt === null && isNone) return
    isNone = attempt === null
    writeSync(file, `${JSON.stringify(attempt)}\n`, 0)
  }
}

// ── in the supervisor ────────────────────────────────────────────────────────────────────────────────────────────

/** Forgets the worker before. */
export function forgetWorker(folder: string): void {
  for (const file of [attemptFile, reportFile]) rmSync(join(folder, file), { force: true })
}

/** The attempt that ran alone when the worker ended without having said why. */
export function readSole(folder: string): SoleAttempt | null {
  // Behind the line stands what is left of a longer one.
  return readJson(folder, attemptFile, (text) => text.split('\n', 1)[0] ?? '') as SoleAttempt | null
}

/** What Node reported if no memory was left. */
export function readOutOfMemory(folder: string): string | null {
  const report = readJson(folder, reportFile) as { header?: { event?: unknown; trigger?: unknown } } | null
  return report?.header?.trigger === 'OOMError' ? String(report.header.event).slice(0, reasonLength) : null
}

/** null if it is not there or was not finished. */
function readJson(folder: string, file: string, part = (text: string): string => text): unknown {
  try {
    return JSON.parse(part(readFileSync(join(folder, file), 'utf8'))) as unknown
  } catch {
    return null
  }
}

/** Completes "The process ended …". */
export function describeEnd({ code, signal, outOfMemory }: End): string {
  if (outOfMemory !== null) return `out of memory: ${outOfMemory}`
  if (signal === null) return `with exit code ${code}`
  const causes: { readonly [signal: string]: string } = {
    SIGKILL: ': somebody killed it, its loop stayed blocked, or the kernel had no memory left',
    SIGABRT: ': it aborted, and its stderr says why',
  }
  return `by ${signal}${causes[signal] ?? ''}`
}

/** Stores how the process ended with the attempt that ran alone in it, unless the store knows by now what became of that. */
export async function storeEnd(sole: SoleAttempt, end: End, runtime: Runtime): Promise<void> {
  const { url, session, lease, jobId, ref, token, attempt } = sole
  const engine = (await engineFromUrl(url))(runtime)
  try {
    const job = await engine.job(jobId, { history: false })
    // A beat would bring a session back that has ended.
    if (job?.state !== 'running' || job.attempt !== attempt) return
    const note = { name: lastWordsName(attempt), value: JSON.stringify(failureOf(end, attempt, runtime.now())) }
    const notes = [{ ref, token, note }]
    await engine.heartbeat({ session, lease, held: null, progress: [], log: [], notes })
  } finally {
    await engine.close()
  }
}

function failureOf(end: End, attempt: number, now: number): Failure {
  const name = end.outOfMemory !== null ? 'OutOfMemory' : end.signal !== null ? 'ProcessKilled' : 'ProcessExit'
  return { name, message: `The process ended ${describeEnd(end)}.`, attempt, at: new Date(now).toISOString() }
}
