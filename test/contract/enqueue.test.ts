import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import fc from 'fast-check'
import { Celeriac } from 'celeriac'
import { fingerprintOfCall } from '../../src/app/fingerprint.ts'
import { createRegistry } from '../../src/app/registry.ts'
import { submissionOfCall } from '../../src/app/submission.ts'
import { defineTask } from '../../src/canvas/definition.ts'
import { callTerms } from '../../src/core/call-options.ts'
import { createIds, isId } from '../../src/core/id.ts'
import { argumentsText } from '../../src/core/json.ts'
import type { CallOptions } from '../../src/core/options.ts'
import { systemRuntime } from '../../src/core/runtime.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { hand } from '../fixtures/hand.ts'
import { type OpenStore, onEveryEngine } from '../fixtures/store.ts'

interface Database {
  readonly engine: Engine
  readonly schema: string
  /** A connection that nobody else uses. */
  readonly listener: pg.Client
  /** Whoever may use SQL, as the owner of the store. */
  sql(text: string, values?: unknown[]): Promise<pg.QueryResult<Record<string, any>>>
  /** Enqueues; gives the id of the job. */
  enqueue(task: string, args?: unknown, options?: unknown): Promise<string>
}

async function openDatabase(open: OpenStore): Promise<Database> {
  const { engine } = await open()
  await engine.migrate()
  const url = new URL(engine.url!)
  const schema = url.searchParams.get('schema')!
  for (const name of [...url.searchParams.keys()]) if (name !== 'options') url.searchParams.delete(name)
  const client = new pg.Client({ connectionString: url.href })
  const listener = new pg.Client({ connectionString: url.href })
  await Promise.all([client.connect(), listener.connect()])
  onTestFinished(async () => {
    await Promise.all([client.end(), listener.end()])
  })
  const sql: Database['sql'] = (text, values) => client.query(text.replaceAll('celeriac.', `${schema}.`), values)
  return {
    engine,
    schema,
    listener,
    sql,
    async enqueue(task, args = [], options = {}) {
      const values = [task, JSON.stringify(args), JSON.stringify(options)]
      const { rows } = await sql('select celeriac.enqueue($1::text, $2::text, $3::text) as id', values)
      return rows[0]!['id'] as string
    },
  }
}

/** What `delay` would have stored of the same call. */
function sentByCode(args: unknown[], options: CallOptions) {
  const context = {
    runtime: systemRuntime,
    registry: createRegistry(),
    newId: createIds(systemRuntime),
    retention: 1,
    maxJobs: 1,
    callbacks: { allow: [] },
  }
  const definition = defineTask('mail.send', {}, () => undefined)
  return submissionOfCall(context, definition, argumentsText(args), callTerms(options, 'with'))
}

onEveryEngine(
  (open) => {
    describe('enqueuing by SQL', () => {
      test('sends one call, whose id comes back', async () => {
        const { engine, sql } = await openDatabase(open)
        const worker = await hand(engine)
        const { rows } = await sql(
          `select celeriac.enqueue('mail.send', '["a@b.c", {"n": 1.50}]', '{"queue": "mail"}') as id`,
        )
        const { id } = rows[0] as { id: string }
        expect(isId(id)).toBe(true)
        expect(id[14]).toBe('7')
        expect(Math.abs(Number.parseInt(id.replace('-', '').slice(0, 12), 16) - Date.now())).toBeLessThan(3_600_000)
        const job = await worker.take('mail.send')
        expect(job).toMatchObject({ id, collectionId: id, args: '["a@b.c", {"n": 1.50}]', queue: 'mail', attempt: 1 })
        expect(await worker.succeed(job)).toBe('accepted')
      })

      test('takes text, json and jsonb, and what is left out', async () => {
        const { engine, sql } = await openDatabase(open)
        await sql(`select celeriac.enqueue('a'), celeriac.enqueue('b', '[1]'), celeriac.enqueue('c', '[1]'::json),
        celeriac.enqueue('d', jsonb_build_array(1), '{"priority": 5}'), celeriac.enqueue('e', '[1]'::json, '{"priority": 4}'::json)`)
        expect(await (await hand(engine)).drain()).toEqual(['d', 'e', 'a', 'b', 'c'])
      })

      test('is part of the transaction that it is in', async () => {
        const { engine, sql, enqueue } = await openDatabase(open)
        const worker = await hand(engine)
        await sql('begin')
        await enqueue('never')
        await sql('rollback')
        await sql('begin')
        const id = await enqueue('sent')
        expect(await engine.job(id)).toBeNull()
        await sql('commit')
        expect(await worker.drain()).toEqual(['sent'])
      })

      test.each<[CallOptions, unknown[]?]>([
        [{}, []],
        [
          { queue: 'mail', priority: -5, tags: ['a', 'b', 'a'], description: 'To Ann', actor: { id: 'ann' } },
          ['x', null],
        ],
        [{ startIn: '1.5h', timeout: '30s', retention: '2w', expires: 90_000 }],
        [{ startAt: '2199-03-01T09:00+02:00', retry: { limit: 3 } }],
        [
          {
            startAt: 7_000_000_000_000,
            retry: { limit: 0, backoff: { base: '2s', factor: 1.5, max: '1m', jitter: false } },
          },
        ],
        [{ unique: { key: 'u' } }],
        [{ unique: { key: 'u', until: '5m', onConflict: 'replace' } }],
      ])('stores %j as delay does', async (options, args = [{ a: [] }]) => {
        const { engine, sql, enqueue, schema } = await openDatabase(open)
        const sent = sentByCode(args, options)
        await engine.submit([{ ...sent, retention: options.retention === undefined ? null : sent.retention }])
        const columns = `state, task, queue, priority, args, options::jsonb, actor, description, tags::jsonb, retention, unique_claim::jsonb,
        start_in, start_at, timeout, role, input, round, behind, feeds, (due_at - created_at) / 1000 as due_in, (expires_at - created_at) / 1000 as expires_in`
        const rowOf = async (id: string) =>
          (await sql(`select ${columns} from celeriac.jobs where id = $1`, [id])).rows[0]
        const byCode = await rowOf(sent.graph.id)
        await sql('delete from celeriac.unique_keys')
        const { job, ...rest } = callTerms(options, 'with')
        const bySql = await rowOf(await enqueue('mail.send', args, { ...job, ...rest }))
        // The clock of the tests is not that of the server, by which SQL counts.
        const isAbsolute = options.startAt !== undefined
        expect({ ...bySql, ...(isAbsolute && { due_in: null }) }).toEqual({
          ...byCode,
          ...(isAbsolute && { due_in: null }),
        })
        expect(byCode).toBeDefined()
        expect(schema).not.toBe('')
      })

      test('keeps keys: the same again is the same job, another call is refused', async () => {
        const { engine, enqueue, sql } = await openDatabase(open)
        const keyed = { idempotencyKey: 'k' }
        const first = await enqueue('a', [1], keyed)
        expect(await enqueue('a', [1], keyed)).toBe(first)
        await expect(enqueue('a', [2], keyed)).rejects.toThrow(
          'the idempotency key "k" was used for another call, collection',
        )
        const unique = { unique: { key: 'u', onConflict: 'reject' } }
        await enqueue('a', [1], unique)
        await expect(enqueue('a', [1], unique)).rejects.toThrow('the unique key "u" is held by collection')
        expect((await sql('select count(*)::integer as count from celeriac.jobs')).rows).toEqual([{ count: 2 }])
        expect((await engine.jobs({ limit: 10 })).items).toHaveLength(2)
      })

      test.each([
        ['', [], {}, 'the name of a task is needed'],
        ['x'.repeat(201), [], {}, 'at most 200 characters'],
        ['a\nb', [], {}, 'no control characters'],
        ['celeriac.each', [], {}, "the package's own"],
        ['a', { b: 1 }, {}, 'the arguments are a JSON list, such as ["a@b.c", 5], not {"b":1}'],
        ['a', ['x'.repeat(262_144)], {}, 'more than 256 KiB'],
        ['a', [nested(65)], {}, 'nested more than 64 deep'],
        ['a', [], [], 'options are a JSON object'],
        ['a', [], { priorty: 5 }, 'there is no option "priorty": the options are queue, priority'],
        ['a', [], { priority: 1.5 }, 'priority: a whole number from -1000 to 1000 is needed, not 1.5'],
        ['a', [], { priority: '5' }, 'priority: a whole number'],
        ['a', [], { queue: '' }, 'queue: it is empty'],
        ['a', [], { queue: 'a\tb' }, 'queue: it has a control character'],
        ['a', [], { queue: 5 }, 'queue: a text is needed, not 5'],
        [
          'a',
          [],
          { startIn: '5m' },
          'startIn: a whole number of milliseconds from 0 to 3155760000000 is needed, not "5m"',
        ],
        ['a', [], { startIn: -1 }, 'startIn: a whole number of milliseconds from 0 to'],
        ['a', [], { timeout: 0 }, 'timeout: a whole number of milliseconds from 1 to'],
        ['a', [], { startIn: 1, startAt: 1 }, 'give startIn or startAt, not both'],
        ['a', [], { startAt: '2026-03-01' }, 'startAt: a whole number of milliseconds from -8640000000000000'],
        ['a', [], { retry: {} }, 'retry: "limit" is missing'],
        ['a', [], { retry: { limit: -1 } }, 'retry: limit: a whole number'],
        [
          'a',
          [],
          { retry: { limit: 1, when: 'x' } },
          'retry: there is no option "when": the options are limit, base, factor, max, jitter',
        ],
        ['a', [], { retry: { limit: 1, base: 2000, max: 1000 } }, 'retry: max is less than base'],
        ['a', [], { retry: { limit: 1, factor: 0.5 } }, 'retry: factor: a number from 1 to 1000 is needed, not 0.5'],
        ['a', [], { retry: { limit: 1, jitter: 1 } }, 'retry: jitter: true or false is needed'],
        ['a', [], { tags: 'a' }, 'tags: a list is needed'],
        ['a', [], { tags: Array.from({ length: 33 }, (_, n) => `t${n}`) }, 'tags: the most are 32'],
        ['a', [], { queue: '😀'.repeat(65) }, 'queue: it has 130 characters, the most are 128'],
        ['a', [], { unique: { key: 'k', until: 'soon' } }, 'unique: until: one of started, settled is needed'],
        ['a', [], { unique: { key: 'k', until: 0 } }, 'unique: until: a whole number of milliseconds from 1'],
        ['a', [], { tags: ['a', 5] }, 'tags: a text is needed, not 5'],
        ['a', [], { unique: { until: 5000 } }, 'unique: "key" is missing'],
        ['a', [], { unique: { key: 'k', onConflict: 'ignore' } }, 'onConflict: one of existing, replace, reject'],
        ['a', [], { actor: 'ann' }, 'actor: an object is needed'],
      ])('refuses %.20s with %.40j and %.60j', async (task, args, options, words) => {
        const { engine, enqueue } = await openDatabase(open)
        await expect(enqueue(task, args, options)).rejects.toMatchObject({
          code: '22023',
          message: expect.stringContaining(words) as string,
        })
        expect((await engine.jobs({ limit: 10 })).items).toEqual([])
      })

      test.each([
        ['[1e400]', 'there is a number|cannot be held by JavaScript'],
        ['[-1.8e308]', 'cannot be held by JavaScript'],
        ['[{"a": [9007199254740993]}]', 'the number 9007199254740993 cannot be held by JavaScript: send it as a text'],
        ['["a\\u0000"]', 'a NUL character'],
        ['["\\ud800"]', 'half of a surrogate pair'],
        ['[{"\\udc00": 1}]', 'half of a surrogate pair'],
        ['[1', 'this is no JSON'],
      ])('refuses arguments that JavaScript does not hold: %s', async (args, words) => {
        const { engine, sql } = await openDatabase(open)
        for (const type of ['text', 'json'])
          await expect(sql(`select celeriac.enqueue('a', $1::text::${type})`, [args])).rejects.toThrow(
            type === 'json' && args === '[1' ? 'invalid input syntax' : new RegExp(words),
          )
        expect((await engine.jobs({ limit: 10 })).items).toEqual([])
      })

      test('one key, from SQL and from code, is one job', async () => {
        const { engine, enqueue } = await openDatabase(open)
        const app = new Celeriac({ engine })
        onTestFinished(() => app.close())
        const send = app.task('mail.send', (..._: unknown[]) => undefined)
        const args = [{ b: [1.5, -0, 1e21], 10: 'ä\u2028"\u001f', 9: null }, 'x']
        const given: CallOptions = { queue: 'mail', retry: { limit: 3 }, timeout: '5m', tags: ['b', 'a', 'b'] }
        for (const [idempotencyKey, options] of [
          ['plain', {}],
          ['full', given],
        ] as const) {
          const { job, ...rest } = callTerms({ ...options, idempotencyKey }, 'with')
          const bySql = await enqueue('mail.send', args, { ...job, ...rest })
          expect((await send.with({ ...options, idempotencyKey }).delay(...args)).id).toBe(bySql)
          const other = send.with({ ...options, idempotencyKey }).delay('another')
          await expect(other).rejects.toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
        }
        const byCode = await send.with({ ...given, idempotencyKey: 'back' }).delay(...args)
        const { job } = callTerms(given, 'with')
        expect(await enqueue('mail.send', args, { ...job, idempotencyKey: 'back' })).toBe(byCode.id)
        await expect(enqueue('mail.send', args, { idempotencyKey: 'back' })).rejects.toThrow(
          'was used for another call',
        )
      })

      test('fingerprints are those of the code, whatever the arguments', { timeout: 60_000 }, async () => {
        const { sql } = await openDatabase(open)
        const number = fc.oneof(
          fc.double({ noNaN: true, noDefaultInfinity: true }),
          fc.maxSafeInteger(),
          fc.constantFrom(
            47544334602642420,
            298942643063226400,
            5e-324,
            1.7976931348623157e308,
            1e21,
            1e20,
            123456789e13,
            1e-6,
            1e-7,
            1.5e-7,
            0.1,
          ),
        )
        const text = fc
          .oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\u007f', '\uffff', '😀', '__proto__', '10', '9'))
          .filter((one) => !one.includes('\0'))
        const { value } = fc.letrec((tie) => ({
          value: fc.oneof(
            { maxDepth: 3 },
            number,
            text,
            fc.constantFrom(true, false, null),
            fc.array(tie('value'), { maxLength: 4 }),
            fc.dictionary(text, tie('value'), { maxKeys: 5 }),
          ),
        }))
        await fc.assert(
          fc.asyncProperty(
            fc.array(value, { maxLength: 4 }),
            fc.integer({ min: -9, max: 9 }),
            async (args, priority) => {
              const { rows } = await sql(
                'select celeriac.fingerprint($1, $2::jsonb, $3::jsonb) as made from (select set_config($4, $5, false)) s',
                ['a "b"', JSON.stringify(args), JSON.stringify({ priority }), 'extra_float_digits', '1'],
              )
              expect(rows[0]!['made']).toBe(fingerprintOfCall('a "b"', JSON.stringify(args), { priority }))
            },
          ),
          { numRuns: 500 },
        )
      })

      test('what is at the limits is taken', async () => {
        const { engine, enqueue } = await openDatabase(open)
        await enqueue('x'.repeat(200), [nested(64), '[{"\\\\[['], { description: 'two\nlines', queue: '😀'.repeat(64) })
        await enqueue('a', [
          Number.MAX_VALUE,
          -Number.MAX_VALUE,
          5e-324,
          Number.MAX_SAFE_INTEGER,
          47544334602642420,
          1e300,
          0.1,
        ])
        expect((await engine.jobs({ limit: 10 })).items).toHaveLength(2)
      })

      test('a trigger sends for every row, and whoever listens is told', async () => {
        const { engine, sql, schema, listener } = await openDatabase(open)
        const worker = await hand(engine)
        const heard: string[] = []
        listener.on('notification', ({ channel }) => heard.push(channel))
        await listener.query(`listen "celeriac:${schema}"`)
        await sql(`
        create table celeriac.orders (id text primary key, email text);
        create function celeriac.confirm() returns trigger language plpgsql as $$
        begin
          perform celeriac.enqueue('mail.send', jsonb_build_array(new.email), '{"queue": "mail"}');
          return new;
        end $$;
        create trigger confirm after insert on celeriac.orders for each row execute function celeriac.confirm();`)
        await sql(`insert into celeriac.orders select n, n || '@example.org' from generate_series(1, 3) n`)
        // What was said to this connection comes before the answer to what it asks next.
        await listener.query('select 1')
        expect(heard).toEqual([`celeriac:${schema}`])
        const jobs = await worker.claim(10)
        expect(jobs.map(({ args }) => JSON.parse(args) as unknown)).toEqual([
          ['1@example.org'],
          ['2@example.org'],
          ['3@example.org'],
        ])
      })

      test('somebody who may only use the schema may enqueue, and read nothing', async () => {
        const { engine, sql, schema, enqueue } = await openDatabase(open)
        const role = `${schema}_shop`
        await sql(
          `create role ${role}; grant usage on schema ${schema} to ${role}; create schema ${role} authorization ${role}`,
        )
        onTestFinished(async () => {
          await sql(`reset role; reset search_path; drop owned by ${role}; drop role ${role}`)
        })
        await sql(`set role ${role}`)
        await expect(sql('select * from celeriac.jobs')).rejects.toThrow('permission denied')
        // Nor may it lend the owner's rights to a function of its own, that goes by a name of the catalog.
        await sql(`create function ${role}.length(text) returns integer language sql as 'select 1 / 0'`)
        await sql(`set search_path = ${role}, pg_catalog`)
        await expect(sql(`select length('a'::text)`)).rejects.toThrow('division by zero')
        await enqueue('mail.send', ['a@b.c'])
        await sql('reset role')
        expect(await (await hand(engine)).drain()).toEqual(['mail.send'])
      })
    })
  },
  ['postgres'],
)

function nested(depth: number): unknown {
  let value: unknown = 'deep'
  for (let n = 0; n < depth; n++) value = n % 2 ? { value } : [value]
  return value
}
