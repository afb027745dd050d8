import { describe, expect, it } from 'vitest'
import { jobSummary, later, start } from '../../../test/fixtures/snapshots.ts'
import type { JobSummary } from '../../core/handle.ts'
import { outlineOf } from '../../core/outline.ts'
import { type Choices, type Row, rowsOf } from './rows.ts'

const job = (id: string, after: readonly string[] = [], more: Partial<JobSummary> = {}): JobSummary =>
  jobSummary({ id, after, task: `task.${id}`, ...more })

const nothing: Choices = { open: new Map(), shown: new Map() }
const rows = (jobs: readonly JobSummary[], choices = nothing): Row[] =>
  rowsOf(outlineOf(jobs), choices, later(60_000).getTime())

/** `  name (place of size) state about`, indented by level; `+` is closed, `-` open. */
const drawn = (list: readonly Row[]): string[] =>
  list.map(({ level, name, isOpen, state, about, place, size, isSide }) =>
    [
      '  '.repeat(level - 1) + (isSide ? '↳ ' : '') + (isOpen === null ? '' : isOpen ? '- ' : '+ ') + name,
      `${place}/${size}`,
      state,
      about,
    ]
      .filter(Boolean)
      .join(' '),
  )

describe('rows', () => {
  it('tell a chain as rows, and groups nested', () => {
    const jobs = [
      job('a', [], { state: 'succeeded' }),
      job('b', ['a'], { state: 'running', attempt: 2 }),
      job('c', ['a'], { state: 'queued' }),
      job('d', ['c']),
      job('e', ['b', 'd']),
      job('side', ['e'], { role: 'side' }),
    ]
    expect(drawn(rows(jobs))).toEqual([
      'task.a 1/4 succeeded',
      '- group of 2 2/4 running 1 waiting, 1 queued, 1 running',
      '  task.b 1/2 running attempt 2',
      '  - chain of 2 2/2 queued 1 waiting, 1 queued',
      '    task.c 1/2 queued',
      '    task.d 2/2 waiting',
      'task.e 3/4 waiting',
      '↳ task.side 4/4 waiting',
    ])
  })

  it('tell what a handler returned inside its job, and close what people close', () => {
    const jobs = [
      job('a', [], { state: 'waiting', continued: true }),
      job('x', [], { parentId: 'a', state: 'running' }),
      job('y', ['x'], { parentId: 'a' }),
    ]
    const open = rows(jobs)
    expect(drawn(open)).toEqual(['- task.a 1/1 running', '  task.x 1/2 running', '  task.y 2/2 waiting'])
    const choices = { open: new Map([[open[0]!.key, false]]), shown: new Map() }
    expect(drawn(rows(jobs, choices))).toEqual(['+ task.a 1/1 running'])
  })

  it('fold a group of hundreds into one row, which can be opened, a hundred at a time', () => {
    const jobs = Array.from({ length: 500 }, (_, n) =>
      job(`j${n}`, [], {
        task: 'photos.resize',
        state: n === 7 ? 'failed' : n < 250 ? 'succeeded' : 'waiting',
        ...(n === 7 && { failure: { name: 'Error', message: 'no memory', attempt: 1, at: '' }, failedJobId: 'j7' }),
      }),
    )
    const [folded, ...others] = rows(jobs)
    expect(others).toEqual([])
    expect(folded).toMatchObject({
      name: '500 × photos.resize',
      isOpen: false,
      about: '250 waiting, 249 succeeded, 1 failed',
      failure: 'no memory',
      progress: { share: 0.5, text: '50 % · 250 of 500 done' },
    })
    const open = new Map([[folded!.key, true]])
    const opened = rows(jobs, { open, shown: new Map() })
    expect(opened).toHaveLength(1 + 100 + 1)
    expect(opened[0]).toMatchObject({ isOpen: true, failure: '' })
    expect(opened.at(-1)).toMatchObject({ name: 'Show 100 more of 400', place: 101, size: 101, level: 2 })
    const more = rows(jobs, { open, shown: new Map([[folded!.key, 500]]) })
    expect(more).toHaveLength(501)
    expect(new Set(more.map(({ key }) => key)).size).toBe(501)
  })

  it('say how far a job is, how long it has run, and why it failed', () => {
    const failure = { name: 'TypeError', message: 'not a table', attempt: 1, at: '' }
    const [running, failed, retried, behind] = rows([
      job('a', [], { state: 'running', startedAt: start, progress: { done: 1, total: 3, message: 'sawing' } }),
      job('b', [], { state: 'failed', startedAt: start, finishedAt: later(1_500), failure, failedJobId: 'b' }),
      job('c', [], {
        args: ['oak & co', { not: 'shown' }, 7],
        state: 'scheduled',
        failures: 2,
        attempt: 2,
        failure,
        dueAt: later(65_000),
      }),
      job('d', [], { state: 'skipped', reason: 'upstream', failure, failedJobId: 'b' }),
    ]).slice(1)
    expect(running).toMatchObject({ progress: { share: 1 / 3, text: '33 % · sawing' }, duration: '1m 00s' })
    expect(failed).toMatchObject({ failure: 'TypeError: not a table', duration: '1.5 s', progress: null })
    expect(retried).toMatchObject({
      about: '("oak & co", {…}, 7), after 2 failures, in 5.0 s',
      failure: 'TypeError: not a table',
    })
    expect(behind).toMatchObject({ failure: '', duration: '' })
  })

  it('of many that run side by side tell those first that failed, and only those where that is wanted', () => {
    const jobs = Array.from({ length: 5_000 }, (_, n) =>
      job(`j${n}`, [], { task: 'photos.resize', state: n % 1_000 === 999 ? 'failed' : 'succeeded' }),
    )
    const [folded] = rows(jobs)
    const opened = rows(jobs, { open: new Map([[folded!.key, true]]), shown: new Map() })
    expect(opened.slice(1, 7).map(({ key, place }) => [key, place])).toEqual([
      ['j999', 1],
      ['j1999', 2],
      ['j2999', 3],
      ['j3999', 4],
      ['j4999', 5],
      ['j0', 6],
    ])
    const failed = rows(jobs, { ...nothing, only: 'failed' })
    expect(failed.map(({ key, level, size }) => [key, level, size])).toEqual(
      [999, 1999, 2999, 3999, 4999].map((n) => [`j${n}`, 1, 5]),
    )
    expect(rows(jobs, { ...nothing, only: 'succeeded' })).toHaveLength(101)
    expect(rows(jobs, { ...nothing, only: 'running' })).toEqual([])
  })

  it('find jobs of a state wherever they are: in chains, inside of others, beside them', () => {
    const jobs = [
      job('a', [], { state: 'waiting', continued: true }),
      job('x', [], { parentId: 'a', state: 'running' }),
      job('y', ['x'], { parentId: 'a' }),
      job('side', ['a'], { role: 'side' }),
    ]
    const keys = (only: 'waiting' | 'running') =>
      rows(jobs, { ...nothing, only }).map(({ key, isSide }) => [key, isSide])
    expect(keys('running')).toEqual([['x', false]])
    expect(keys('waiting')).toEqual([
      ['a', false],
      ['y', false],
      ['side', true],
    ])
  })

  it('say the beginning of a long failure, and all of it where that is wanted', () => {
    const failed = (message: string): JobSummary =>
      job('a', [], { state: 'failed', failure: { name: 'Error', message, attempt: 1, at: '' }, failedJobId: 'a' })
    const lines = Array.from({ length: 50 }, (_, n) => `line ${n}`).join('\n')
    for (const message of [lines, 'x'.repeat(5_000)]) {
      const [first] = rows([failed(message)])
      expect(first).toMatchObject({ isLong: true, isWhole: false, failure: expect.stringMatching(/ …$/) })
      expect(first!.failure.length).toBeLessThan(410)
      const [whole] = rows([failed(message)], { ...nothing, whole: new Set(['a']) })
      expect(whole).toMatchObject({ isLong: true, isWhole: true, failure: message })
    }
    expect(rows([failed('short')])[0]).toMatchObject({ isLong: false, isWhole: false, failure: 'short' })
  })

  it('say the same by bar and text', () => {
    const half = { done: 1, total: 2 }
    const [group] = rows([
      job('a', [], { state: 'running', progress: half }),
      job('b', [], { state: 'running', progress: half }),
      job('c', [], { state: 'succeeded' }),
      job('d', [], { state: 'queued' }),
    ])
    expect(group!.progress).toEqual({ share: 0.5, text: '50 % · 1 of 4 done' })
  })
})
