import { z } from 'zod'
import { listQueues, setPaused } from '../../app/queues.ts'
import { readStatistics } from '../../app/statistics.ts'
import { listWorkers } from '../../app/workers.ts'
import { collectionStates } from '../../core/collection.ts'
import { jobStates } from '../../core/job.ts'
import { shortText } from '../../core/option.ts'
import { toSnake } from '../../core/snake.ts'
import { demandMany, mayRead } from '../identity.ts'
import { cursor } from '../inputs.ts'
import { followFeed } from '../live/feed.ts'
import { feedAnswers, feedQuery, streamEvents } from '../live/sse.ts'
import { RequestError } from '../problem.ts'
import { json, type Reply } from '../reply.ts'
import { type Given, route } from '../route.ts'
import * as schemas from '../schemas.ts'
import { issueTicket } from '../tickets.ts'
import { described } from '../described.ts'

const count = z.int().min(0)
const countsOf = (states: readonly string[]) => z.object(Object.fromEntries(states.map((state) => [state, count])))

const queue = z
  .object({ name: z.string(), paused: z.boolean(), counts: countsOf(['waiting', 'scheduled', 'queued', 'running']) })
  .register(described, { id: 'Queue' })
const queueReceipt = z.object({ name: z.string(), paused: z.boolean() })
const queueParams = z.object({ name: z.string() })

const worker = z
  .object({
    id: z.string(),
    name: z.string(),
    host: z.string(),
    pid: z.int(),
    queues: z.array(z.string()).optional().register(described, { description: 'Absent: every queue.' }),
    concurrency: z.int(),
    state: z.enum(['running', 'ended', 'lost']),
    started_at: schemas.instant,
    seen_at: schemas.instant,
    running_count: count,
  })
  .register(described, { id: 'Worker' })

const stateCounts = z
  .object({ jobs: countsOf(jobStates), collections: countsOf(collectionStates) })
  .register(described, { id: 'Counts' })

const minute = z
  .object({
    minute: schemas.instant.clone().register(described, { description: 'When it begins.' }),
    task: z.string(),
    succeeded: count,
    failed: count,
    retried: count,
    cancelled: count,
    ran_ms: z.number().register(described, { description: 'How long their attempts ran, added up.' }),
    longest_ms: z.number(),
  })
  .register(described, { id: 'MinuteOfTask' })

const tickets = z.object({ ticket: z.string(), expires_at: schemas.instant }).register(described, { id: 'Ticket' })
const health = z.object({ status: z.literal('ok') }).register(described, { id: 'Health' })

/** The longest stretch of statistics in one answer: it is kept for two days. */
const longestStretch = 48 * 60

export const systemRoutes = [
  route({
    method: 'get',
    path: '/api/queues',
    operationId: 'listQueues',
    tag: 'Queues',
    summary: 'List the queues, with their unfinished jobs',
    scope: 'read',
    isOfEverybody: true,
    answers: { 200: { description: 'All of them, on one page.', schema: schemas.pageOf(queue, 'QueuePage') } },
    async handle({ service }) {
      const { engine } = await service.connect()
      return json(200, { items: toSnake(await listQueues(engine)) })
    },
  }),
  ...(['pause', 'resume'] as const).map((verb) =>
    route({
      method: 'post',
      path: `/api/queues/{name}/${verb}`,
      operationId: `${verb}Queue`,
      tag: 'Queues',
      summary: verb === 'pause' ? 'Start no more jobs of a queue' : 'Start its jobs again',
      description:
        'Its jobs stay where they are; those that run go on. A queue that nobody has used yet may be paused too.',
      scope: 'operate',
      isOfEverybody: true,
      params: queueParams,
      answers: {
        200: { description: 'The queue; its counts to those who may read.', schema: z.union([queue, queueReceipt]) },
      },
      handle: (given) => setQueue(given, verb === 'pause'),
    }),
  ),
  route({
    method: 'get',
    path: '/api/workers',
    operationId: 'listWorkers',
    tag: 'Workers',
    summary: 'List the workers that live, and those that ended or were lost within the last day',
    scope: 'read',
    isOfEverybody: true,
    answers: { 200: { description: 'All of them, on one page.', schema: schemas.pageOf(worker, 'WorkerPage') } },
    async handle({ service }) {
      const { engine } = await service.connect()
      return json(200, { items: toSnake(await listWorkers(engine)) })
    },
  }),
  route({
    method: 'get',
    path: '/api/counts',
    operationId: 'countStates',
    tag: 'Statistics',
    summary: 'How many jobs and collections are in each state',
    scope: 'read',
    query: z.strictObject({
      actor: z.string().max(256).optional().register(described, { description: 'Of whom; else of everybody.' }),
    }),
    answers: { 200: { description: 'The counts, of all that this one may see.', schema: stateCounts } },
    async handle({ service, identity, query }) {
      demandMany(identity)
      if (identity.actor !== null && (query.actor ?? identity.actor) !== identity.actor) {
        throw new RequestError('FORBIDDEN', 'What was sent sees only its own work.')
      }
      const { engine } = await service.connect()
      const actor = identity.actor ?? (query.actor === undefined ? undefined : shortText(256)(query.actor, 'actor'))
      const look = () => engine.counts(actor === undefined ? {} : { actor })
      return json(200, await service.scans.find(identity, ['counts', actor], look))
    },
  }),
  route({
    method: 'get',
    path: '/api/statistics',
    operationId: 'readStatistics',
    tag: 'Statistics',
    summary: 'What the attempts of every task came to, minute by minute',
    description:
      'Workers tell of it every few seconds; it is kept for two days. Minutes and tasks without any are left out.',
    scope: 'read',
    isOfEverybody: true,
    query: z.strictObject({
      minutes: z.coerce
        .number()
        .int()
        .min(1)
        .max(longestStretch)
        .optional()
        .register(described, { description: 'How far back. Default 60.' }),
      task: z.string().max(200).optional(),
      cursor,
    }),
    answers: { 200: { description: 'Oldest first, whole minutes.', schema: schemas.pageOf(minute, 'StatisticsPage') } },
    async handle({ service, identity, query: { minutes = 60, task, cursor } }) {
      const connection = await service.connect()
      const asked = { minutes, task: task === undefined ? undefined : shortText(200)(task, 'task'), cursor }
      const look = () => readStatistics(connection, asked)
      const { items, ...next } = await service.scans.find(identity, ['statistics', asked], look)
      const told = items.map(({ minute, ran, longest, ...rest }) => ({
        minute: new Date(minute).toISOString(),
        ...rest,
        ran_ms: ran,
        longest_ms: longest,
      }))
      return json(200, { items: told, ...next })
    },
  }),
  route({
    method: 'post',
    path: '/api/tickets',
    operationId: 'createTicket',
    tag: 'Live',
    summary: 'Ask for a ticket',
    description:
      'Opens one stream of events, by `?ticket=`, once and within 30 seconds: for browsers, which cannot send a header there.',
    scope: 'read',
    answers: { 201: { description: 'The ticket.', schema: tickets } },
    async handle({ service, identity }) {
      const { ticket, expiresAt } = await issueTicket(await service.connect(), identity)
      return json(201, { ticket, expires_at: expiresAt.toISOString() })
    },
  }),
  route({
    method: 'get',
    path: '/api/events',
    operationId: 'followAll',
    tag: 'Live',
    summary: 'Follow everything that one may see',
    scope: 'read',
    takesTicket: true,
    query: feedQuery,
    answers: feedAnswers,
    handle: (given) => streamEvents(given, (options) => followFeed(given.service, given.identity, options)),
  }),
  route({
    method: 'get',
    path: '/api/health/live',
    operationId: 'isLive',
    tag: 'Health',
    summary: 'Whether this process answers',
    scope: null,
    answers: { 200: { description: 'It does.', schema: health } },
    handle: async () => json(200, { status: 'ok' }),
  }),
  route({
    method: 'get',
    path: '/api/health/ready',
    operationId: 'isReady',
    tag: 'Health',
    summary: 'Whether the store answers too',
    scope: null,
    answers: {
      200: { description: 'It does.', schema: health },
      503: { description: 'It does not.', schema: schemas.problem },
    },
    async handle({ service }) {
      const { engine } = await service.connect()
      await engine.cursor()
      return json(200, { status: 'ok' })
    },
  }),
]

async function setQueue(
  {
    service,
    identity,
    params,
  }: Pick<Given<{ readonly name: string }, unknown, unknown>, 'service' | 'identity' | 'params'>,
  paused: boolean,
): Promise<Reply> {
  const { engine } = await service.connect()
  const { name } = params
  await setPaused(engine, name, paused)
  if (!mayRead(identity)) return json(200, { name, paused })
  const found = (await listQueues(engine)).find((one) => one.name === name)
  return json(200, toSnake(found ?? { name, paused, counts: { waiting: 0, scheduled: 0, queued: 0, running: 0 } }))
}
