import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { systemRuntime } from '../../core/runtime.ts'
import { Database } from './database.ts'
import { GroupCommit } from './group-commit.ts'

function start() {
  const db = new Database(new DatabaseSync(':memory:'), systemRuntime)
  db.exec('create table notes (text text unique, changes integer)')
  const commits = new GroupCommit(db)
  /** What was there before shows whether the writes before it, of the same turn, came first. */
  const note = (text: string) =>
    commits.add(() => db.run('insert into notes values (?, (select count(*) from notes))', text))
  const notes = () => db.all<{ text: string; changes: number }>('select * from notes').map((row) => ({ ...row }))
  return { db, commits, note, notes }
}

test('writes of one turn share a transaction, in the order in which they were asked for', async () => {
  const { db, commits, note, notes } = start()
  const transactions: boolean[] = []
  const look = () => commits.add(() => void transactions.push(db.isInTransaction))
  await Promise.all([note('a'), look(), note('b')])
  expect(notes()).toEqual([
    { text: 'a', changes: 0 },
    { text: 'b', changes: 1 },
  ])
  expect(transactions).toEqual([true])
  expect(db.isInTransaction).toBe(false)
})

test('one that fails leaves the others standing', async () => {
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
  expect(db.isInTransaction).toBe(false)
})

test('what ends the transaction itself ends all of its turn', async () => {
  const { db, commits, note, notes } = start()
  const over = commits.add(() => {
    db.run('rollback')
    throw new Error('the disk is full')
  })
  const answers = await Promise.allSettled([note('a'), over, note('b')])
  expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  expect(notes()).toEqual([])
})
