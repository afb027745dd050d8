import { z } from 'zod'
import type { TaskDefinition } from '../../canvas/definition.ts'
import { signatureNode } from '../../canvas/node.ts'
import { NotFound } from '../../core/errors.ts'
import { noOptions } from '../../core/stored-options.ts'
import { argumentsSchema } from '../arguments-schema.ts'
import { settledCallback } from '../callback-terms.ts'
import { exposedTask } from '../exposed.ts'
import type { Identity } from '../identity.ts'
import { calledBack, idempotencyHeader, options } from '../inputs.ts'
import { json, type Reply } from '../reply.ts'
import { route } from '../route.ts'
import * as schemas from '../schemas.ts'
import { accept, optionsOf } from '../submitting.ts'
import { described } from '../described.ts'

const tag = 'Tasks'
const params = z.object({ name: z.string() })
const { notFound } = schemas

const task = z
  .object({
    name: z.string(),
    description: z.string().optional(),
    queue: z.string(),
    exposed: z.boolean().register(described, { description: 'It may be sent over HTTP.' }),
    args: z.record(z.string(), z.unknown()).optional().register(described, {
      description: 'The JSON Schema of its list of arguments; absent where nothing is known of them.',
    }),
  })
  .register(described, { id: 'Task' })

export const taskRoutes = [
  route({
    method: 'get',
    path: '/api/tasks',
    operationId: 'listTasks',
    tag,
    summary: 'List the tasks, with the schema of their arguments',
    scope: 'read',
    answers: {
      200: { description: 'All of them, by name, on one page.', schema: schemas.pageOf(task, 'TaskPage') },
    },
    async handle({ service, identity }) {
      return listOf(service.parts.registry.all(), seesAll(identity))
    },
  }),
  route({
    method: 'get',
    path: '/api/tasks/{name}',
    operationId: 'readTask',
    tag,
    summary: 'Read a task',
    scope: 'read',
    params,
    answers: { 200: { description: 'The task.', schema: task }, ...notFound },
    async handle({ service, identity, params }) {
      const definition = service.parts.registry.find(params.name)
      if (definition && isShown(identity, definition)) return json(200, answerOf(definition))
      throw new NotFound(`There is no task ${JSON.stringify(params.name.slice(0, 60))} here.`)
    },
  }),
  route({
    method: 'post',
    path: '/api/tasks/{name}',
    operationId: 'submitTask',
    tag,
    summary: 'Send a task',
    description:
      'Answers once it is stored: with a collection of one job, to be read, followed, retried and cancelled.',
    scope: 'submit',
    headers: idempotencyHeader,
    params,
    body: z
      .strictObject({
        args: z.array(z.unknown()).optional(),
        options: options.optional(),
        ...calledBack,
      })
      .optional(),
    answers: {
      202: { description: 'It is stored.', schema: schemas.operatedCollection, headers: schemas.location },
      ...notFound,
      ...schemas.notTaken,
    },
    callbacks: settledCallback({ callback_url: 'taskSettled', 'callback/url': 'taskSettledAsAsked' }),
    async handle({ service, identity, request, base, params, body = {} }) {
      const { name } = exposedTask(service.parts.registry, params.name)
      const node = signatureNode(name, body.args ?? [], false, noOptions)
      return accept({ service, identity, request, base }, node, optionsOf({ identity, request, body }))
    },
  }),
]

const seesAll = ({ actor, collectionId }: Identity): boolean => actor === null && collectionId === null

/** What may not be sent from outside is nothing to a user there. */
const isShown = (identity: Identity, { terms }: TaskDefinition): boolean => terms.expose === true || seesAll(identity)

/** The answers made of a list of tasks, which is another list when a task is added: writing JSON Schema takes long. */
const lists = new WeakMap<readonly TaskDefinition[], Partial<Record<'all' | 'exposed', Reply>>>()

function listOf(tasks: readonly TaskDefinition[], all: boolean): Reply {
  let made = lists.get(tasks)
  if (made === undefined) lists.set(tasks, (made = {}))
  return (made[all ? 'all' : 'exposed'] ??= write(tasks.filter(({ terms }) => all || terms.expose === true)))
}

function write(tasks: readonly TaskDefinition[]): Reply {
  return json(200, { items: tasks.map(answerOf).sort((one, other) => (one.name < other.name ? -1 : 1)) })
}

type Task = z.input<typeof task>
const answers = new WeakMap<TaskDefinition, Task>()

function answerOf(definition: TaskDefinition): Task {
  let made = answers.get(definition)
  if (made === undefined) answers.set(definition, (made = taskAnswer(definition)))
  return made
}

function taskAnswer({ name, schema, terms }: TaskDefinition): Task {
  const args = schema === null ? null : argumentsSchema(schema)
  return {
    name,
    ...(terms.description !== undefined && { description: terms.description }),
    queue: terms.job.queue ?? 'default',
    exposed: terms.expose === true,
    ...(args && { args }),
  }
}
