import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { systemRuntime } from '../../core/runtime.ts'
import { Database } from './database.ts'
import { GroupCommit } from './group-commit.ts'

function start() {
  const db = new Database(new DatabaseSync(':memory:'), systemRuntime)
  db.exec('create table notes (text text unique, before integer)')
  let transactions = 0
  const write = db.write.bind(db)
  db.write = (body) => {
    transactions++
    return write(body)
  }
  const commits = new GroupCommit(db)
  /** What was there before shows whether the writes before it, of the same turn, came first. */
  const note = (text: string) =>
    commits.add(() => db.run('insert into notes values (?, (select count(*) from notes))', text))
  const notes = () => db.all<{ text: string; before: number }>('select * from notes').map((row) => ({ ...row }))
  return { db, commits, note, notes, transactionCount: () => transactions }
}

test('writes of one turn share a transaction, in the order in which they were asked for', async () => {
  const { commits, note, notes, transactionCount } = start()
  await Promise.all([note('a'), note('b'), note('c')])
  expect(notes()).toEqual([
    { text: 'a', before: 0 },
    { text: 'b', before: 1 },
    { text: 'c', before: 2 },
  ])
  expect(transactionCount()).toBe(1)
  await commits.add(() => undefined)
  expect(transactionCount()).toBe(2)
})

test('one that fails leaves the others standing, each done once', async () => {
  const { note, notes } = start()
  const answers = await Promise.allSettled([note('a'), note('a'), note('b')])
  expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(answers[1]).toMatchObject({ reason: { code: 'STORE_FAILED' } })
  expect(notes().map(({ text }) => text)).toEqual(['a', 'b'])
})

test('one that fails alone leaves nothing', async () => {
  const { db, commits, notes } = start()
  const half = commits.add(() => {
    db.run("insert into notes values ('half', 0)")
    throw new Error('no more')
  })
  await expect(half).rejects.toThrow('no more')
  expect(notes()).toEqual([])
})
