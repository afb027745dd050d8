import { z } from 'zod'
import { jobHandle } from '../../app/handles.ts'
import { jobEvents } from '../../app/job-events.ts'
import { pageOf, readJobQuery } from '../../app/listing.ts'
import { snapshotOfJob, summaryOfJob } from '../../app/snapshots.ts'
import { tell } from '../answers.ts'
import { demand, mayRead } from '../identity.ts'
import { listQuery } from '../inputs.ts'
import { lookAt, nothing } from '../listed.ts'
import { eventsAnswers, eventsQuery, streamEvents } from '../live/sse.ts'
import { json, type Reply } from '../reply.ts'
import { type Given, route } from '../route.ts'
import * as schemas from '../schemas.ts'
import { narrowed, seeJob } from '../visible.ts'
import { described } from '../described.ts'

const tag = 'Jobs'
const params = z.object({ id: z.string() })
const page = schemas.pageOf(schemas.job, 'JobPage')
const { notFound, conflict } = schemas
const whole = { 200: { description: 'The job.', schema: schemas.jobDetail } }
const operated = { 200: { description: 'The job.', schema: schemas.operatedJob } }

export const jobRoutes = [
  route({
    method: 'get',
    path: '/api/jobs',
    operationId: 'listJobs',
    tag,
    summary: 'List and search jobs, newest first',
    scope: 'read',
    query: z.strictObject({
      state: z
        .array(schemas.jobState)
        .max(8)
        .optional()
        .register(described, { description: 'Given several times: any of them.' }),
      task: z
        .string()
        .max(200)
        .optional()
        .register(described, { description: '`*` stands for any characters: `tables.*`.' }),
      queue: z.string().max(200).optional(),
      collection: z.string().max(200).optional().register(described, { description: 'The id of a collection.' }),
      text: z
        .string()
        .max(200)
        .optional()
        .register(described, { description: 'What stands in the task, description, tags, arguments or failure.' }),
      ...listQuery,
    }),
    answers: { 200: { description: 'A page.', schema: page } },
    async handle(given) {
      const { service, identity, query } = given
      const { engine, runtime } = await service.connect()
      const own = narrowed(identity, readJobQuery(query, runtime.now()))
      const found = own === null ? nothing : await lookAt(given, 'jobs', () => engine.jobs(own))
      return json(200, tell(identity, pageOf(found, summaryOfJob)))
    },
  }),
  route({
    method: 'get',
    path: '/api/jobs/{id}',
    operationId: 'readJob',
    tag,
    summary: 'Read a job with its result, its attempts and its log',
    scope: 'read',
    params,
    answers: { ...whole, ...notFound },
    handle: readWhole,
  }),
  route({
    method: 'post',
    path: '/api/jobs/{id}/retry',
    operationId: 'retryJob',
    tag,
    summary: 'Run a job again, and what it held up',
    description: 'With other arguments than it was sent with: for the scope `admin`.',
    scope: 'operate',
    params,
    body: z.strictObject({ args: z.array(z.unknown()).optional(), now: schemas.startsNow }).optional(),
    answers: {
      ...operated,
      ...notFound,
      ...conflict,
      422: { description: 'Its task does not take these arguments.', schema: schemas.problem },
    },
    async handle(given) {
      const { service, identity, params, body } = given
      if (body?.args !== undefined) demand(identity, 'admin')
      const { collectionId } = await seeJob(await service.connect(), identity, params.id, false)
      await jobHandle(service.parts, params.id, collectionId).retry({ args: body?.args, now: body?.now })
      return readWhole(given)
    },
  }),
  route({
    method: 'post',
    path: '/api/jobs/{id}/cancel',
    operationId: 'cancelJob',
    tag,
    summary: 'Cancel a job',
    scope: 'operate',
    params,
    answers: { ...operated, ...notFound },
    async handle(given) {
      const { service, identity, params } = given
      const { collectionId } = await seeJob(await service.connect(), identity, params.id, false)
      await jobHandle(service.parts, params.id, collectionId).cancel()
      return readWhole(given)
    },
  }),
  route({
    method: 'get',
    path: '/api/jobs/{id}/events',
    operationId: 'followJob',
    tag,
    summary: 'Follow a job: its snapshot first, then every change',
    scope: 'read',
    takesTicket: true,
    params,
    query: eventsQuery,
    answers: eventsAnswers('JobEvent'),
    async handle(given) {
      const { service, identity, params } = given
      const { collectionId } = await seeJob(await service.connect(), identity, params.id, false)
      const job = { id: params.id, collectionId }
      return streamEvents(given, (options) => jobEvents(service.connect, job, options))
    },
  }),
]

async function readWhole({
  service,
  identity,
  params,
}: Pick<Given<{ readonly id: string }, unknown, unknown>, 'service' | 'identity' | 'params'>): Promise<Reply> {
  const connection = await service.connect()
  const found = await seeJob(connection, identity, params.id, mayRead(identity))
  if (!mayRead(identity)) return json(200, { id: found.id, collection_id: found.collectionId, state: found.state })
  return json(200, tell(identity, await snapshotOfJob(connection.engine, found)))
}
