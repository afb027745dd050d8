import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JobSummary } from './handle.ts'
import { outlineOf, type Outline } from './outline.ts'
import { jobSummary } from '../../test/fixtures/snapshots.ts'

/** `a` · `chain: [...]` · `group: [...]`, and side branches after a slash. */
type Told = string | { readonly chain: readonly Told[] } | { readonly group: readonly Told[] }

function tell(outline: Outline | null): unknown {
  if (!outline) return null
  const branches = outline.branches.length > 0 ? { branches: outline.branches.map(tell) } : {}
  if (outline.kind !== 'job') return { [outline.kind]: outline.parts.map(tell), ...branches }
  const inside = outline.inside ? { inside: tell(outline.inside) } : {}
  return Object.keys({ ...inside, ...branches }).length > 0
    ? { job: outline.job.id, ...inside, ...branches }
    : outline.job.id
}

const job = (id: string, after: readonly string[] = [], more: Partial<JobSummary> = {}): JobSummary =>
  jobSummary({ id, after, ...more })

describe('outlineOf', () => {
  it('tells a chain with a group in it', () => {
    const jobs = [
      job('a'),
      job('b', ['a']),
      job('c', ['a']),
      job('d', ['c']),
      job('e', ['b', 'd']),
      job('f', ['b', 'd']),
    ]
    expect(tell(outlineOf(jobs))).toEqual({
      chain: ['a', { group: ['b', { chain: ['c', 'd'] }] }, { group: ['e', 'f'] }],
    })
  })

  it('tells one job, and none', () => {
    expect(tell(outlineOf([job('a')]))).toBe('a')
    expect(outlineOf([])).toBeNull()
  })

  it('hangs a side branch on the largest canvas that ends where it waits', () => {
    const side = { role: 'side' } as const
    const jobs = [
      job('a'),
      job('b', ['a']),
      job('c', ['a']),
      job('d', ['b', 'c']),
      job('onA', ['a'], side),
      job('onGroup', ['b', 'c'], side),
      job('then', ['onGroup'], side),
      job('onAll', ['d'], side),
      job('alsoOnAll', ['d'], { role: 'callback' }),
    ]
    expect(tell(outlineOf(jobs))).toEqual({
      chain: [{ job: 'a', branches: ['onA'] }, { group: ['b', 'c'], branches: [{ chain: ['onGroup', 'then'] }] }, 'd'],
      branches: ['onAll', 'alsoOnAll'],
    })
  })

  it('leaves out side branches that were not needed, unless all is asked for', () => {
    const jobs = [job('a'), job('h', ['a'], { role: 'side', state: 'skipped', reason: 'not-needed' })]
    expect(tell(outlineOf(jobs))).toBe('a')
    expect(tell(outlineOf(jobs, { all: true }))).toEqual({ job: 'a', branches: ['h'] })
  })

  it('tells what a handler returned inside its job', () => {
    const jobs = [
      job('a'),
      job('x', [], { parentId: 'a' }),
      job('y', [], { parentId: 'a' }),
      job('h', ['x', 'y'], { parentId: 'a', role: 'side' }),
      job('b', ['a']),
      job('s', ['b'], { role: 'side' }),
      job('t', [], { parentId: 's', role: 'side' }),
    ]
    expect(tell(outlineOf(jobs))).toEqual({
      chain: [{ job: 'a', inside: { group: ['x', 'y'], branches: ['h'] } }, 'b'],
      branches: [{ job: 's', inside: 't' }],
    })
  })

  it('lists in order what is no canvas', () => {
    const jobs = [job('a', ['b']), job('b')]
    expect(tell(outlineOf(jobs))).toEqual({ chain: ['a', 'b'] })
  })

  it('tells any canvas as it was written, but for parts of one', () => {
    const { canvas } = fc.letrec<{ canvas: Told; inner: Told }>((tie) => ({
      canvas: fc.oneof(
        { maxDepth: 4 },
        fc.constant('job'),
        fc.record({ chain: fc.array(tie('canvas'), { minLength: 1, maxLength: 4 }) }),
        fc.record({ group: fc.array(tie('canvas'), { minLength: 1, maxLength: 4 }) }),
      ),
      inner: fc.constant('job'),
    }))
    fc.assert(
      fc.property(canvas, (written) => {
        const jobs: JobSummary[] = []
        const named = store(written, [], jobs).told
        expect(tell(outlineOf(jobs))).toEqual(named)
      }),
    )
  })

  it('takes time in line with the jobs of a large collection', () => {
    const header = Array.from({ length: 20_000 }, (_, n) => job(`h${n}`))
    const inputs = header.map(({ id }) => id)
    const second = Array.from({ length: 20_000 }, (_, n) => job(`s${n}`, inputs))
    const outline = outlineOf([...header, ...second])
    expect(outline).toMatchObject({ kind: 'chain', parts: [{ kind: 'group' }, { kind: 'group' }] })
  })

  it('knows a large group although only the first thousand of its jobs are named', () => {
    const header = Array.from({ length: 1_500 }, (_, n) => job(`h${n}`, ['a']))
    const named = header.slice(0, 1_000).map(({ id }) => id)
    const jobs = [
      job('a'),
      ...header,
      job('b', named),
      job('c', ['a']),
      job('d', ['b', 'c']),
      job('side', named, { role: 'side' }),
    ]
    expect(outlineOf(jobs)).toMatchObject({
      kind: 'chain',
      parts: [
        { job: { id: 'a' } },
        {
          kind: 'group',
          parts: [
            { kind: 'chain', parts: [{ kind: 'group', branches: [{ job: { id: 'side' } }] }, { job: { id: 'b' } }] },
            { job: { id: 'c' } },
          ],
        },
        { job: { id: 'd' } },
      ],
    })
  })
})

/** Adds the jobs of a canvas; tells its last jobs, and the canvas with names and without parts of one. */
function store(canvas: Told, after: readonly string[], jobs: JobSummary[]): { sinks: string[]; told: Told } {
  if (typeof canvas === 'string') {
    const id = `j${jobs.length}`
    jobs.push(job(id, after))
    return { sinks: [id], told: id }
  }
  if ('group' in canvas) {
    const members = canvas.group.map((member) => store(member, after, jobs))
    const told = members.flatMap((member) => spread(member.told, 'group'))
    return { sinks: members.flatMap(({ sinks }) => sinks), told: told.length === 1 ? told[0]! : { group: told } }
  }
  let sinks = after
  const told: Told[] = []
  for (const step of canvas.chain) {
    const stored = store(step, sinks, jobs)
    sinks = stored.sinks
    told.push(...spread(stored.told, 'chain'))
  }
  return { sinks: [...sinks], told: told.length === 1 ? told[0]! : { chain: told } }
}

function spread(told: Told, kind: 'chain' | 'group'): readonly Told[] {
  return typeof told === 'object' && kind in told ? (told as Record<typeof kind, readonly Told[]>)[kind] : [told]
}
