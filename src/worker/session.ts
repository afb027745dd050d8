import { hostname } from 'node:os'
import type { CompileContext } from '../canvas/compile.ts'
import { eachTask } from '../canvas/fragment.ts'
import { CeleriacError } from '../core/errors.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Graph } from '../core/graph.ts'
import { createTokens } from '../core/id.ts'
import { type Runtime, systemRuntime } from '../core/runtime.ts'
import type { Engine } from '../engine/engine.ts'
import type { Signal } from '../engine/feed.ts'
import type { ClaimedJob, SessionRecord, SettleAnswer } from '../engine/work.ts'
import type { Attempt, Telling } from './attempt.ts'
import { Blocked } from './blocked.ts'
import { complete, type CompletionParts, tellLate } from './complete.ts'
import { execute, executeTimedOut, failureOf, type Workshop } from './execute.ts'
import { Heartbeat } from './heartbeat.ts'
import { LastWords } from './last-words.ts'
import { LoopGuard } from './loop-guard.ts'
import { createReporter, type Reporter } from './report.ts'
import type { RunnableTask } from './runnable-task.ts'
import { findThreadCode, refuseWithoutThreads, SessionThread } from './session-thread.ts'
import type { WorkerSettings } from './settings.ts'
import { type OwedSettlement, Settler } from './settler.ts'
import { Slots } from './slots.ts'
import { soleReporter } from './sole-attempt.ts'
import { Source } from './source.ts'
import { Tallies } from './tallies.ts'
import { Timekeeper } from './timekeeper.ts'
import { createUnknownTasks } from './unknown-tasks.ts'

/** What a session works with. */
export interface SessionAccess {
  readonly engine: Engine
  readonly runtime: Runtime
  /** undefined: no such task can run here. The package's own are among them. */
  readonly findTask: (name: string) => RunnableTask | undefined
  readonly compiling: CompileContext
  /** Refuses a canvas whose arguments its tasks would not take. */
  readonly checkGraph: (graph: Graph) => Promise<void>
}

/** How long handlers that were told to stop may take to do so, in milliseconds. */
const timeToReact = 250
/** How long `close` waits for a store that does not answer, in milliseconds. */
const timeToStore = 5_000

/** One life of a worker, from its first heartbeat to its last: wires its parts together and takes them apart in order. */
export class Session {
  readonly record: SessionRecord
  readonly #access: SessionAccess
  readonly #settings: WorkerSettings
  readonly #reporter: Reporter
  readonly #slots: Slots
  readonly #source: Source
  readonly #settler: Settler
  readonly #heartbeat: Heartbeat
  readonly #tallies: Tallies
  readonly #timekeeper: Timekeeper
  readonly #telling: Telling
  readonly #blocked: Blocked
  readonly #guard: LoopGuard
  #thread: SessionThread | null = null
  #lastWords: LastWords | null = null
  #unsubscribe: (() => void) | null = null
  #hurry: () => void = () => {}
  readonly #hurried = new Promise<void>((resolve) => (this.#hurry = resolve))

  constructor(access: SessionAccess, settings: WorkerSettings) {
    this.#access = access
    this.#settings = settings
    this.#reporter = createReporter(settings.log)
    this.record = recordOf(access.compiling.newId(), settings)
    this.#tallies = this.#createTallies()
    this.#heartbeat = this.#createHeartbeat()
    this.#settler = this.#createSettler()
    this.#telling = this.#createTelling()
    this.#blocked = this.#createBlocked()
    this.#guard = this.#createGuard()
    this.#slots = this.#createSlots()
    this.#source = this.#createSource()
    this.#timekeeper = new Timekeeper({
      ...this.#shared(),
      longest: Math.floor(settings.lease / 6),
      onDue: () => this.#source.wake(),
    })
  }

  /** @throws CeleriacError UNSUPPORTED, or what the store answers to the first requests */
  async open(): Promise<void> {
    const { engine } = this.#access
    if (this.#hasThread) refuseWithoutThreads()
    await engine.migrate()
    await this.#heartbeat.start()
    this.#startThread()
    this.#unsubscribe = engine.subscribe((signal) => this.#heed(signal))
    this.#timekeeper.start()
    this.#source.wake()
  }

  /**
   * Claims no more, waits up to `grace` milliseconds for the handlers, aborts them, hands back what is left, and ends.
   * Resolves when the store knows, or cannot be reached.
   */
  async close(grace: number): Promise<void> {
    if (grace === 0) this.hurry()
    this.#unsubscribe?.()
    this.#timekeeper.stop()
    await this.#upTo(timeToStore, this.#source.stop())
    await this.#upTo(grace, this.#slots.empty(), this.#hurried)
    await this.#abortRest()
    await this.#storeRest()
    // Before the last beat: one of the thread's after it would bring the session back to life.
    this.#lastWords?.stop()
    await this.#thread?.stop(this.#access.runtime)
    this.#guard.stop()
    await this.#upTo(timeToStore, this.#end())
  }

  /** Ends the waiting of a `close` under way. */
  hurry(): void {
    this.#hurry()
  }

  // ── stopping ─────────────────────────────────────────────────────────────────────────────────────────────────

  async #abortRest(): Promise<void> {
    if (this.#slots.runningCount === 0) return
    this.#slots.abortAll('stop')
    await this.#upTo(timeToReact, this.#slots.empty(), this.#hurried)
    // Also in a hurry, a handler that listens to its signal gets the turn in which it ends.
    await new Promise<void>((resolve) => this.#access.runtime.soon(resolve))
    this.#slots.endAll({ type: 'released', started: true, delay: 0 })
  }

  async #storeRest(): Promise<void> {
    await this.#upTo(timeToStore, this.#settler.idle())
    const lostCount = this.#settler.abandon()
    if (lostCount > 0)
      this.#reporter.warn('abandoned', `${lostCount} outcomes could not be stored: those jobs run again.`)
  }

  async #end(): Promise<void> {
    try {
      await this.#heartbeat.end()
    } catch (error) {
      if (!isClosed(error)) this.#reporter.warn('end', `The last heartbeat failed: ${String(error)}`)
    }
  }

  /** Waits for the first of these, and so many milliseconds at most. */
  async #upTo(ms: number, ...events: readonly Promise<void>[]): Promise<void> {
    let ring: () => void = () => {}
    const rung = new Promise<void>((resolve) => (ring = resolve))
    const timer = this.#access.runtime.after(ms, ring)
    await Promise.race([...events, rung])
    timer.cancel()
  }

  // ── the parts ────────────────────────────────────────────────────────────────────────────────────────────────

  #shared(): { store: Engine; runtime: Runtime; reporter: Reporter } {
    return { store: this.#access.engine, runtime: this.#access.runtime, reporter: this.#reporter }
  }

  #createTallies(): Tallies {
    return new Tallies({
      now: () => this.#access.runtime.now(),
      unsettledSince: () => this.#settler.unsettledSince,
      onChange: () => this.#heartbeat.noteTallies(),
    })
  }

  #createHeartbeat(): Heartbeat {
    return new Heartbeat({
      ...this.#shared(),
      session: this.record,
      lease: this.#settings.lease,
      held: () => [...this.#slots.jobs(), ...this.#source.jobs(), ...this.#settler.jobs()],
      isHolding: () => this.#slots.runningCount + this.#source.waitingCount + this.#settler.size > 0,
      tallies: this.#tallies,
      onCancel: (id, token) => this.#cancel(id, token),
      onLost: (id, token) => this.#lose(id, token),
    })
  }

  #createSettler(): Settler {
    return new Settler({
      ...this.#shared(),
      before: () => this.#heartbeat.sendNews(),
      probe: () => this.#heartbeat.probe(),
      asRefused: (job, { code, why }) => {
        const error = new CeleriacError(code, `The store refused what the job came to: ${why}`)
        return { type: 'failed', reason: 'failed', failure: failureOf(job, this.#access.runtime, error) }
      },
      onAnswered: (item, answer) => this.#count(item, answer),
      // What a job of a workflow lets go can be claimed at once.
      onSent: (batch) =>
        batch.some(({ job }) => job.collectionId !== job.id) ? this.#source.wake() : this.#source.pull(),
      onFlushed: () => this.#source.pull(),
    })
  }

  #createSlots(): Slots {
    const { runtime } = this.#access
    const shop = this.#createWorkshop()
    return new Slots({
      count: this.#settings.concurrency,
      runtime,
      telling: this.#telling,
      execute: (attempt) => execute(attempt, shop),
      timedOut: (attempt) => executeTimedOut(attempt, shop),
      timeoutOf: (job) => this.#timeoutOf(job),
      settle: (attempt, outcome) => this.#settle(attempt, outcome),
      isTaken: (job) => this.#blocked.isTaken(job),
      onTimed: (deadline) => this.#guard.noteDeadline(deadline),
      onFreed: () => this.#source.pull(),
      onSole: soleReporter(this.#access.engine.url, this.record, this.#settings),
    })
  }

  #createTelling(): Telling {
    const { runtime } = this.#access
    return {
      now: () => runtime.now(),
      elapsed: () => runtime.elapsed(),
      note: (attempt) => this.#heartbeat.note(attempt),
      complete: (attempt, write) => complete(attempt, write, this.#completionParts()),
    }
  }

  #createBlocked(): Blocked {
    const { runtime } = this.#access
    return new Blocked({
      elapsed: () => runtime.elapsed(),
      running: () => this.#slots.attempts(),
      unbegun: () => this.#source.jobs(),
      unsent: () => this.#settler.unsent,
      owns: (attempt) => attempt.tells(this.#telling),
      timeoutOf: (job) => this.#timeoutOf(job),
      timedOut: (attempt, where) => executeTimedOut(attempt, this.#createWorkshop(), where),
      onSettled: ({ job, startedAt }, outcome) => {
        const ran = runtime.elapsed() - startedAt
        this.#count({ ref: job.ref, token: job.token, outcome, job, endedAt: runtime.now(), ran }, 'accepted')
      },
    })
  }

  #createGuard(): LoopGuard {
    const { exitWhenBlocked, grace } = this.#settings
    return new LoopGuard({
      runtime: this.#access.runtime,
      session: this.record.id,
      look: () => this.#blocked.look(),
      latestDeadline: () => this.#slots.latestDeadline(),
      onTurn: () => this.#leaveTaken(),
      freesSignalsAfter: exitWhenBlocked ? grace : null,
    })
  }

  #timeoutOf({ options, task }: ClaimedJob): number | undefined {
    return options.timeout ?? this.#access.findTask(task)?.terms.job.timeout
  }

  #completionParts(): CompletionParts {
    return {
      ...this.#shared(),
      before: () => this.#heartbeat.sendNews(),
      onLost: (id, token) => this.#slots.abort(id, token, 'lost'),
    }
  }

  #createWorkshop(): Workshop {
    const { engine, runtime, findTask, compiling, checkGraph } = this.#access
    return {
      runtime,
      store: engine,
      findTask,
      compiling,
      checkGraph,
      delayForUnknown: createUnknownTasks(runtime, this.#reporter),
    }
  }

  #createSource(): Source {
    return new Source({
      ...this.#shared(),
      sink: this.#slots,
      session: this.record.id,
      queues: this.#settings.queues,
      newToken: createTokens(this.#access.runtime),
      isHeldBack: () => this.#settler.isBehind,
      isAboutToSettle: () => this.#settler.isAboutToFlush,
      giveBack: (job) => this.#giveBack(job),
      onNextAt: (at) => this.#timekeeper.claimDueAt(at),
    })
  }

  /** A clock that is not the system's does not reach into a thread. */
  get #hasThread(): boolean {
    return this.#access.runtime === systemRuntime && this.#access.engine.url !== null
  }

  #startThread(): void {
    const { engine, runtime } = this.#access
    if (runtime !== systemRuntime) return
    const code = findThreadCode()
    if (engine.url === null || code === null) return this.#sayWithoutThread(code)
    const { lease, exitWhenBlocked } = this.#settings
    const orders = { session: this.record, lease, loop: this.#guard.state.buffer, exitsWhenBlocked: exitWhenBlocked }
    this.#guard.start()
    this.#thread = new SessionThread(code, { url: engine.url, ...orders }, this.#reporter, () => {
      this.#heartbeat.isRelieved = false
    })
    this.#heartbeat.isRelieved = true
    this.#lastWords = this.#createLastWords(this.#thread)
    this.#lastWords.listen()
  }

  #createLastWords(thread: SessionThread): LastWords {
    return new LastWords({
      blocked: this.#blocked,
      sole: () => this.#slots.sole(),
      now: () => this.#access.runtime.now(),
      elapsed: () => this.#access.runtime.elapsed(),
      send: (dying) => thread.sendLast(dying),
      state: this.#guard.state,
    })
  }

  #sayWithoutThread(code: URL | null): void {
    const so = 'so heartbeats come from the main loop: no handler may block it for long'
    if (code !== null) return this.#reporter.info(`The store has no url, ${so}.`)
    const advice =
      'give the bundler celeriac/heartbeat-thread as another entry of that name, or leave celeriac out of the bundle'
    this.#reporter.warn('thread-code', `There is no heartbeat-thread beside this bundle, ${so}. To mend it, ${advice}.`)
  }

  // ── what others want ─────────────────────────────────────────────────────────────────────────────────────────

  #heed(signal: Signal): void {
    this.#heartbeat.nudge(signal)
    // The engine may be in the middle of its own work, so it is not called from here.
    if (signal.queued) queueMicrotask(() => this.#source.wake())
  }

  #cancel(id: string, token: number): void {
    const unbegun = this.#source.withdraw(id, token)
    if (unbegun) this.#addUnbegun(unbegun, { type: 'cancelled' })
    else this.#slots.abort(id, token, 'cancel')
  }

  #lose(id: string, token: number): void {
    if (this.#source.withdraw(id, token) === undefined) this.#slots.abort(id, token, 'lost')
  }

  /** The loop turns again: what the heartbeat thread settled meanwhile is not this worker's any more. */
  #leaveTaken(): void {
    this.#slots.leaveTaken()
    for (const job of this.#blocked.clear()) this.#source.withdraw(job.id, job.token)
  }

  #settle(attempt: Attempt, outcome: Outcome): void {
    const { job, settledAs } = attempt
    const ran = this.#slots.lastEndAt - attempt.startedAt
    const item = { ref: job.ref, token: job.token, outcome, job, endedAt: this.#access.runtime.now(), ran }
    attempt.notes?.flush(outcome.type === 'succeeded')
    if (settledAs === null) return this.#settler.add(item)
    this.#count({ ...item, outcome: { type: 'succeeded', ...settledAs } }, 'accepted')
    const late = tellLate(outcome, settledAs)
    if (late === null) return
    // What was thrown goes to the job's own log: a notice holds no payload.
    if (outcome.type === 'failed' || outcome.type === 'retried') {
      attempt.addLateLine(`After completeWithin: ${outcome.failure.name}: ${outcome.failure.message}`)
    }
    const message = `A handler of ${job.task} ${late}: its job had been completed by completeWithin, and stays so.`
    this.#reporter.warn(`completed:${job.task}`, message)
  }

  #giveBack(job: ClaimedJob): void {
    this.#addUnbegun(job, { type: 'released', started: false, delay: 0 })
  }

  #addUnbegun(job: ClaimedJob, outcome: Outcome): void {
    const endedAt = this.#access.runtime.now()
    this.#settler.add({ ref: job.ref, token: job.token, outcome, job, endedAt, ran: 0 })
  }

  /** What the package does for itself, such as handing out the elements of a list, is no task of anybody's. */
  #count({ job: { task }, outcome: { type: outcome }, endedAt, ran }: OwedSettlement, answer: SettleAnswer): void {
    if (task !== eachTask) this.#tallies.count({ task, outcome, answer, endedAt, ran })
  }
}

function recordOf(id: string, { name, queues, concurrency }: WorkerSettings): SessionRecord {
  const host = hostname()
  return { id, name: name ?? `${host}-${process.pid}`, host, pid: process.pid, queues, concurrency }
}

const isClosed = (error: unknown): boolean => error instanceof CeleriacError && error.code === 'CLOSED'
