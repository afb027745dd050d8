import { z } from 'zod'
import { collectionStates } from '../core/collection.ts'
import { attemptOutcomes, jobStates } from '../core/job.ts'
import { described } from './described.ts'

// What is answered, as schemas: for the document, and for tests that hold every answer against them. That they say what
// the library's own types say, the compiler checks in schemas.test-d.ts.

export const instant = z.iso.datetime().register(described, { description: 'An instant in UTC, as ISO 8601 text.' })
export const id = z.uuid().register(described, { description: 'The id of a job or collection: a UUID of version 7.' })
export const actor = z.object({ id: z.string() })
const text = z.string()
const count = z.int().min(0)
/** What people gave or got: any JSON. */
export const payload = z.unknown()

export const failure = z.object({
  name: text,
  message: text,
  stack: text
    .optional()
    .register(described, { description: 'Where it was thrown. Not told to those who see only their own work.' }),
  get cause() {
    return failure.optional()
  },
  attempt: count,
  at: instant,
})
// By itself: the type of what refers to itself comes of nothing else.
failure.register(described, { id: 'Failure', description: 'An error as data.' })

export const jobState = z.enum(jobStates).register(described, { id: 'JobState' })
export const collectionState = z.enum(collectionStates).register(described, { id: 'CollectionState' })
export const settledState = z.enum(['succeeded', 'failed', 'cancelled'])
const role = z.enum(['main', 'side', 'callback'])
const reason = z.enum(['failed', 'timeout', 'poisoned', 'cancelled', 'expired', 'fail-fast', 'upstream', 'not-needed'])

const progressParts = { done: z.number(), total: z.number().optional(), message: text.optional() }
export const progress = z.object(progressParts).register(described, { id: 'Progress' })

const counts = z
  .object(
    Object.fromEntries(jobStates.map((state) => [state, count])) as Record<(typeof jobStates)[number], typeof count>,
  )
  .register(described, {
    id: 'JobCounts',
    description: 'How many jobs are in each state. Jobs that were not needed are left out.',
  })

const jobParts = {
  id,
  task: text,
  collection_id: id,
  state: jobState,
  reason: reason.optional().register(described, { description: 'Why it is not a success.' }),
  role: role.clone().register(described, {
    description: '`side` and `callback` jobs neither delay nor change the outcome of their collection.',
  }),
  queue: text,
  priority: z.int(),
  args: z
    .array(payload)
    .register(described, { description: 'The arguments given; a result that came before them is not among them.' }),
  parent_id: id
    .optional()
    .register(described, { description: 'The job whose handler returned the canvas that this one belongs to.' }),
  after: z.array(id).register(described, {
    description:
      'The jobs it waits for, or waited for; of a large group the first 1,000. A collection in which very many wait for very many names them once, and of the other jobs that wait for the same only the first.',
  }),
  after_count: count
    .clone()
    .optional()
    .register(described, { description: 'In a collection: how many jobs it waits for, if `after` names fewer.' }),
  attempt: count,
  failures: count.clone().register(described, { description: 'How many attempts failed in this round.' }),
  round: count,
  progress: progress.optional(),
  failure: failure.optional(),
  failed_job_id: id
    .optional()
    .register(described, { description: 'Whose failure that is, where another job caused it.' }),
  shortened: z.literal(true).optional().register(described, {
    description:
      'The collection has more than 4 MiB of arguments, tags and failures: long arguments and tags of this job are left out here, and its failure and the message of its progress are cut. The job itself has them whole.',
  }),
  actor: actor.optional().register(described, { description: 'Who asked for it.' }),
  description: text.optional(),
  tags: z.array(text),
  worker: text.optional(),
  created_at: instant,
  due_at: instant.optional(),
  started_at: instant.optional(),
  finished_at: instant.optional(),
  cancelling: z.boolean(),
  continued: z
    .boolean()
    .register(described, { description: 'Its handler returned a canvas, whose result is this job’s.' }),
}
export const job = z.object(jobParts).register(described, { id: 'Job' })

export const attempt = z
  .object({
    attempt: count,
    round: count,
    worker: text.optional(),
    started_at: instant,
    finished_at: instant.optional(),
    outcome: z.enum(attemptOutcomes),
    failure: failure.optional(),
  })
  .register(described, { id: 'Attempt' })

export const logLine = z
  .object({
    at: instant,
    attempt: count,
    level: z.enum(['info', 'warn', 'error']),
    message: text,
    data: payload.optional(),
  })
  .register(described, { id: 'LogLine' })

export const jobDetail = z
  .object({
    ...jobParts,
    attempts: z.array(attempt),
    log: z.array(logLine),
    omitted: z.object({ failures: count, lines: count }).optional().register(described, {
      description:
        'How many failures of its oldest attempts and how many of its oldest log lines are left out: the newest 2 MiB of each are here. Absent if all are.',
    }),
    result: payload
      .optional()
      .register(described, { description: 'Where it succeeded, and its handler returned something.' }),
  })
  .register(described, { id: 'JobDetail' })

const collectionParts = {
  id,
  state: collectionState,
  round: count.clone().register(described, { description: '1 at submission, one more with each retry.' }),
  description: text.optional(),
  actor: actor.optional().register(described, { description: 'Who asked for it.' }),
  tags: z.array(text),
  callback_url: text.optional().register(described, {
    description:
      'Where it calls back. Its query is for its actor, and for keys that may `operate`: others see the address without it.',
  }),
  counts,
  progress: z
    .object({ done: count, total: count })
    .register(described, { description: 'How many of its main jobs are final, of how many known so far.' }),
  created_at: instant,
  settled_at: instant.optional(),
  cancelling: z.boolean(),
  failure: failure.optional(),
  failed_job_id: id.optional(),
}
export const collection = z.object(collectionParts).register(described, { id: 'Collection' })
const resultOfCollection = payload.optional().register(described, { description: 'Where it succeeded.' })
export const collectionDetail = z
  .object({
    ...collectionParts,
    jobs: z
      .array(job)
      .register(described, { description: 'In the order of the graph; `after` tells which waits for which.' }),
    result: resultOfCollection,
  })
  .register(described, { id: 'CollectionDetail' })

export const acceptedCollection = z
  .object({
    ...collectionDetail.shape,
    token: text
      .optional()
      .register(described, { description: 'Lets its holder read and follow this collection, and nothing else.' }),
  })
  .register(described, { id: 'AcceptedCollection' })

const cursor = text.clone().register(described, { description: 'Where to go on from behind this event.' })
const at = { cursor, at: instant, job_id: id }
const snapshotOfCollection = z.object({ type: z.literal('snapshot'), cursor, collection: collectionDetail })
const snapshotOfJob = z.object({ type: z.literal('snapshot'), cursor, job: jobDetail })
const stateEvent = z.object({ type: z.literal('state'), ...at, state: jobState, attempt: count })
const progressEvent = z.object({ type: z.literal('progress'), ...at, ...progressParts })
const jobsEvent = z
  .object({ type: z.literal('jobs'), cursor, jobs: z.array(job) })
  .register(described, { description: 'Jobs joined it: a handler returned a canvas.' })
const roundEvent = z
  .object({ type: z.literal('round'), cursor, round: count })
  .register(described, { description: 'Somebody retried it.' })
const settledEvent = z.object({ type: z.literal('settled'), cursor, at: instant, state: settledState, round: count })

export const collectionEvent = z
  .discriminatedUnion('type', [snapshotOfCollection, stateEvent, progressEvent, jobsEvent, roundEvent, settledEvent])
  .register(described, { id: 'CollectionEvent' })
export const jobEvent = z
  .discriminatedUnion('type', [snapshotOfJob, stateEvent, progressEvent])
  .register(described, { id: 'JobEvent' })

const ofCollection = { cursor, at: instant, collection_id: id }
export const feedEvent = z
  .discriminatedUnion('type', [
    z
      .object({ type: z.literal('start'), cursor })
      .register(described, { description: 'From here on every change is told. Comes again where changes were lost.' }),
    z.object({ type: z.literal('job'), ...ofCollection, job_id: id, state: jobState, attempt: count }),
    z.object({ type: z.literal('progress'), ...ofCollection, job_id: id, ...progressParts }),
    z
      .object({ type: z.literal('collection'), ...ofCollection, state: collectionState, round: count })
      .register(described, { description: 'It settled, or began another round, or jobs joined it.' }),
  ])
  .register(described, { id: 'FeedEvent' })

export const problem = z
  .object({
    type: text,
    title: text,
    status: z.int(),
    code: text.clone().register(described, { description: 'For programs: it never changes its meaning.' }),
    detail: text.clone().register(described, { description: 'For people: what is wrong, and what to do.' }),
    errors: z.array(z.object({ path: text, message: text })).optional(),
    may_be_stored: z.boolean().optional(),
  })
  .register(described, { id: 'Problem', description: 'An error, as RFC 9457 has it.' })

/** A page of a list: the one form of all of them. */
export const pageOf = <Item extends z.ZodType>(item: Item, name: string) =>
  z
    .object({
      items: z.array(item),
      next: text
        .optional()
        .register(described, { description: 'Give it as `cursor` for the next page; absent on the last one.' }),
    })
    .register(described, { id: name })

// ── answers that many operations have ────────────────────────────────────────────────────────────────────────────

/** Of a retry. */
export const startsNow = z.boolean().optional().register(described, {
  description: 'Jobs that had not begun start at once. Without it their start time holds them until the same instant.',
})

export const notFound = { 404: { description: 'There is none, or it is somebody else’s.', schema: problem } }
export const conflict = { 409: { description: 'It is not in a state for that.', schema: problem } }
export const notTaken = {
  409: { description: 'Another submission holds its unique key.', schema: problem },
  413: { description: 'It is too large.', schema: problem },
  422: {
    description: 'A task is not known, or does not take these arguments; or the key was used for other work.',
    schema: problem,
  },
}
export const location = z.object({
  location: z.string().register(described, { description: 'Where the collection is.' }),
})

const withoutRead = 'To a key without the scope `read`: that it is there, and how it stands.'
const collectionReceipt = z
  .object({ id, state: collectionState, round: z.int() })
  .register(described, { id: 'CollectionReceipt', description: withoutRead })
const jobReceipt = z
  .object({ id, collection_id: id, state: jobState })
  .register(described, { id: 'JobReceipt', description: withoutRead })

/** What an operation answers: all of it to those who may read. */
export const operatedCollection = z.union([collectionDetail, collectionReceipt])
export const operatedJob = z.union([jobDetail, jobReceipt])
