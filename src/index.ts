export type { CallbackOptions } from './app/callback-settings.ts'
export { Celeriac } from './app/celeriac.ts'
export type { CeleriacOptions } from './app/config.ts'
export type { EngineFactory } from './app/connect.ts'
export { currentJob } from './app/current-job.ts'
export type { CollectionQuery, JobQuery, Page } from './app/listing.ts'
export type { QueueSummary } from './app/queues.ts'
export type { WorkerSummary } from './app/workers.ts'
export type { AnyCanvas, Canvas, Group, Signature } from './canvas/canvas.ts'
export { chain } from './canvas/chain.ts'
export { chord } from './canvas/chord.ts'
export { each } from './canvas/each.ts'
export { group } from './canvas/group.ts'
export type { Handler, ResultOf } from './canvas/handler.ts'
export type { AnyTask, Task, TaskCalls } from './canvas/task.ts'
export type { CollectionState, JobCounts, SettledState } from './core/collection.ts'
export { CeleriacError, JobCancelled, JobFailed, JobSkipped, NotFound, StoreUnavailable } from './core/errors.ts'
export type { ErrorCode } from './core/errors.ts'
export type { Failure, FailureReason } from './core/failure.ts'
export type {
  Attempt,
  CollectionEvent,
  CollectionHandle,
  CollectionSnapshot,
  CollectionSummary,
  CurrentJob,
  FollowOptions,
  JobEvent,
  JobHandle,
  JobLogLine,
  JobSnapshot,
  JobSummary,
  WaitOptions,
} from './core/handle.ts'
export type { Actor, JobState, Progress, Reason, Role } from './core/job.ts'
export type {
  CallbackTarget,
  AcceptedOption,
  CallOptions,
  FailureReport,
  JobOptions,
  RetryOptions,
  SettledSummary,
  SubmitOptions,
  TaskOptions,
  UniqueOptions,
} from './core/options.ts'
export type { Runtime, Timer } from './core/runtime.ts'
export type { OpenTransaction, TransactionClient } from './core/transaction.ts'
export type { Duration } from './core/time.ts'
export type { Engine } from './engine/engine.ts'
