// A handler of Hono's that stores one row in the same store, and does nothing else: the least that a submission can cost.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { DatabaseSync } from 'node:sqlite'
import { getRequestListener } from '@hono/node-server'
import { createClient } from '@redis/client'
import { Hono } from 'hono'
import pg from 'pg'
import { answerQuestions } from './answer-questions.mjs'

const openers = { 'sqlite:': openSqlite, 'postgres:': openPostgres, 'redis:': openRedis }

const [url] = process.argv.slice(2)
const store = await openers[/^\w+:/.exec(url)[0]](url)
const hono = new Hono()
hono.post('/api/tasks/:name', async (context) => {
  const { args } = await context.req.json()
  const id = randomUUID()
  await store(id, JSON.stringify({ task: context.req.param('name'), args }))
  return context.json({ id, state: 'running' }, 202)
})
const server = createServer(getRequestListener(hono.fetch)).listen(0, '127.0.0.1')
await once(server, 'listening')
answerQuestions(`http://127.0.0.1:${server.address().port}`)

function openSqlite(url) {
  const [, path, mode] = /^sqlite:([^?]+)\?mode=(\w+)$/.exec(url)
  const database = new DatabaseSync(path)
  database.exec(`
    pragma journal_mode = wal;
    pragma synchronous = ${mode === 'durable' ? 'full' : 'normal'};
    create table if not exists one (id text primary key, value text not null) strict, without rowid;
  `)
  const insert = database.prepare('insert into one values (?, ?)')
  return (id, row) => insert.run(id, row)
}

async function openPostgres(connectionString) {
  const pool = new pg.Pool({ connectionString, max: 10 })
  await pool.query('create table if not exists one (id text primary key, value text not null)')
  return (id, row) => pool.query({ name: 'store', text: 'insert into one values ($1, $2)', values: [id, row] })
}

async function openRedis(url) {
  const client = createClient({ url })
  await client.connect()
  return (id, row) => client.set(`one:${id}`, row)
}
