import { describe, expect, it } from 'vitest'
import { collectionSnapshot, jobSummary, later } from '../../test/fixtures/snapshots.ts'
import type { JobSummary } from '../core/handle.ts'
import { displayWidth } from './text.ts'
import { renderTree } from './tree.ts'
import { colourPaint, plainPaint, type View } from './view.ts'

const view: View = { width: 80, unicode: true, paint: plainPaint, now: later(5_000).getTime() }

type Facts = Partial<JobSummary> & { readonly id: string }

const succeeded = (facts: Facts): JobSummary =>
  jobSummary({ state: 'succeeded', attempt: 1, startedAt: later(10), finishedAt: later(40), ...facts })

const failed = (facts: Facts, message: string): JobSummary => ({
  ...succeeded(facts),
  state: 'failed',
  failures: 1,
  failedJobId: facts.id,
  failure: { name: 'Error', message, attempt: 1, at: '2026-03-01T09:00:00.000Z' },
})

const packs = ['p1', 'p2'].map((id, n) => succeeded({ id, task: 'backup.pack', args: [n, { a: 1 }], after: ['scan'] }))

const backup = [
  succeeded({ id: 'scan', task: 'backup.scan', args: ['/srv/shop'] }),
  ...packs,
  failed({ id: 'send', task: 'backup.transfer', after: ['p1', 'p2'] }, 'connect ECONNREFUSED 127.0.0.1:9000'),
  jobSummary({ id: 'restore', task: 'backup.restore', state: 'skipped', after: ['send'], finishedAt: later(40) }),
  succeeded({ id: 'tell', task: 'mail.admin', role: 'side', after: ['restore'] }),
  jobSummary({ id: 'cheer', role: 'side', state: 'skipped', reason: 'not-needed', after: ['restore'] }),
]

describe('renderTree', () => {
  it('shows where it failed, what that held up, and what hangs on it', () => {
    const collection = collectionSnapshot(backup, {
      state: 'failed',
      description: 'Back up the shop',
      actor: { id: 'user-7' },
      round: 2,
      settledAt: later(1_300),
      counts: { ...collectionSnapshot(backup).counts, skipped: 1 },
    })
    expect(`\n${renderTree(collection, view).join('\n')}\n`).toBe(`
✗ failed  Back up the shop                                                 1.3 s
  0199b1f0-0000-7000-8000-000000000000 · round 2 · by user-7
  4 succeeded · 1 failed · 1 skipped

├─ ✓ backup.scan  "/srv/shop"                                  succeeded   30 ms
├─ ✓ group of 2                                                succeeded   30 ms
│  ├─ ✓ backup.pack  0 {…}                                     succeeded   30 ms
│  └─ ✓ backup.pack  1 {…}                                     succeeded   30 ms
├─ ✗ backup.transfer                                           failed      30 ms
│    connect ECONNREFUSED 127.0.0.1:9000
│    job send
├─ − backup.restore                                            skipped
└─ ↳ ✓ mail.admin                                              succeeded   30 ms
`)
  })

  it('shows what is under way: bars, waits, attempts, and what a handler returned', () => {
    const jobs = [
      jobSummary({ id: 'e', task: 'celeriac.each', state: 'waiting', continued: true, args: [{ node: 1 }] }),
      jobSummary({
        id: 'r',
        parentId: 'e',
        task: 'thumbs.make',
        state: 'running',
        attempt: 2,
        startedAt: later(4_000),
        progress: { done: 30, total: 64, message: '1.2 of 3.4 MB' },
      }),
      jobSummary({
        id: 's',
        parentId: 'e',
        state: 'scheduled',
        failures: 1,
        dueAt: later(65_000),
        failure: { name: 'TypeError', message: 'no such shop', attempt: 1, at: '' },
      }),
      jobSummary({ id: 'q', parentId: 'e', state: 'queued', cancelling: true }),
      jobSummary({ id: 'c', parentId: 'e', state: 'running', startedAt: later(4_500), progress: { done: 1_234 } }),
    ]
    const collection = collectionSnapshot(jobs, { progress: { done: 0, total: 5 } })
    expect(`\n${renderTree(collection, view).join('\n')}\n`).toBe(`
● running  each                                                            5.0 s
  0199b1f0-0000-7000-8000-000000000000
  ░░░░░░░░░░░░░░░░░░░░░░░░ 0 of 5
  1 waiting · 1 scheduled · 1 queued · 2 running

└─ · each  group of 4                                          waiting
   ├─ ● thumbs.make  attempt 2  █████░░░░░ 46% · 1.2 of 3.4 MB running     1.0 s
   ├─ ◷ shop.order  after a failure  in 1m 00s                 scheduled
   │    TypeError: no such shop
   ├─ ○ shop.order  cancelling                                 queued
   └─ ● shop.order  1,234                                      running    500 ms
`)
  })

  it('folds many that are alike, and keeps those that failed', () => {
    const many = Array.from({ length: 10_000 }, (_, n) => succeeded({ id: `m${n}`, task: 'mail.send', args: [n] }))
    const jobs = many.with(7_000, failed({ id: 'm7000', task: 'mail.send', args: [7_000] }, 'no such address'))
    const lines = renderTree(collectionSnapshot(jobs), view)
    expect(lines.at(-1)).toBe('   └─ … 9,990 more: 9,990 succeeded')
    expect(lines.filter((line) => /─ . mail.send/.test(line))).toHaveLength(10)
    expect(lines.filter((line) => line.includes('✗ mail.send  7000'))).toHaveLength(1)
  })

  it('folds the middle of a long chain in its place', () => {
    const jobs = Array.from({ length: 1_000 }, (_, n) => {
      const facts = { id: `l${n}`, after: n === 0 ? [] : [`l${n - 1}`], args: [n] }
      return n < 500 ? succeeded(facts) : jobSummary({ ...facts, state: n === 500 ? 'running' : 'waiting' })
    })
    const lines = renderTree(collectionSnapshot(jobs), view).slice(5)
    expect(lines.map((line) => line.replace(/ shop\.order|\s{2,}(succeeded|running|waiting).*/g, ''))).toEqual([
      '├─ ✓  0',
      '├─ ✓  1',
      '├─ ✓  2',
      '├─ ✓  3',
      '├─ … 494 more: 494 succeeded',
      '├─ ✓  498',
      '├─ ✓  499',
      '├─ ●  500',
      '├─ ·  501',
      '├─ ·  502',
      '├─ … 496 more: 496 waiting',
      '└─ ·  999',
    ])
  })

  it('shows everything where all is asked for', () => {
    const lines = renderTree(collectionSnapshot(backup), view, { all: true, ids: true })
    expect(lines.some((line) => line.includes('↳ − shop.order'))).toBe(true)
    expect(lines.filter((line) => /job \w+$/.test(line))).toHaveLength(backup.length)
    const many = Array.from({ length: 200 }, (_, n) => succeeded({ id: `m${n}` }))
    expect(renderTree(collectionSnapshot(many), view, { all: true })).toHaveLength(4 + 1 + 1 + 200)
  })

  it('fits into the rows there are', () => {
    const many = Array.from({ length: 50 }, (_, n) => succeeded({ id: `m${n}`, after: n < 25 ? [] : ['m0'] }))
    const deep = collectionSnapshot(many)
    for (const rows of [40, 20, 12, 6]) {
      expect(renderTree(deep, view, { rows }).length).toBeLessThanOrEqual(rows)
    }
    expect(renderTree(deep, view, { rows: 6 }).at(-1)).toMatch(/^… \d+ more lines$/)
  })

  it('is never wider than it may be, however deep and whatever the names', () => {
    const nested = Array.from({ length: 60 }, (_, n) =>
      failed(
        {
          id: `n${n}`,
          ...(n === 0 ? {} : { parentId: `n${n - 1}` }),
          task: `注文の作成.${n}`,
          args: ['長い'.repeat(40)],
        },
        'é'.repeat(500),
      ),
    )
    const counts = {
      waiting: 1e6,
      scheduled: 1e6,
      queued: 1e6,
      running: 1e6,
      succeeded: 1e6,
      failed: 1e6,
      cancelled: 1e6,
      skipped: 1e6,
    }
    const collection = collectionSnapshot(nested, { description: '説明'.repeat(60), counts })
    for (const [width, unicode] of [
      [20, true],
      [47, false],
      [80, true],
      [120, false],
    ] as const) {
      const lines = renderTree(collection, { ...view, width, unicode }, { all: true })
      for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(width)
      expect(lines.join('\n')).toContain('注文')
    }
  })

  it('uses ASCII alone where the terminal has nothing else', () => {
    const lines = renderTree(collectionSnapshot(backup, { state: 'failed' }), { ...view, unicode: false, width: 60 })
    expect(lines.join('\n')).toMatch(/^[\x20-\x7e\n]+$/)
    expect(lines[4]).toBe('|- + backup.scan  "/srv/shop"              succeeded   30 ms')
  })

  it('lets nothing through that moves the cursor', () => {
    const evil = '\x1b[2J\x1b[H\r\n\u202e'
    const job = failed({ id: 'x', task: evil, args: [evil], progress: { done: 1, message: evil } }, evil)
    const collection = collectionSnapshot([job, jobSummary({ ...job, id: 'y', state: 'running' })], {
      description: evil,
      actor: { id: evil },
      tags: [evil],
    })
    expect(renderTree(collection, view).join('\n')).not.toMatch(/[^\P{C}\n]/u)
  })

  it('colours states, and measures the same', () => {
    const plain = renderTree(collectionSnapshot(backup), view)
    const painted = renderTree(collectionSnapshot(backup), { ...view, paint: colourPaint })
    expect(painted.join('\n')).toContain('\x1b[31m')
    expect(painted.map((line) => line.replaceAll(/\x1b\[\d+m/g, '').trimEnd())).toEqual(plain)
  })
})
