import { describe, expect, it } from 'vitest'
import { type Column, drawTable } from './table.ts'
import { displayWidth } from './text.ts'
import { plainPaint, type View } from './view.ts'

interface Row {
  readonly id: string
  readonly name: string
  readonly count: number
}

const view: View = { width: 30, unicode: true, paint: plainPaint, now: 0 }

const columns: Column<Row>[] = [
  { title: 'id', value: ({ id }) => id },
  { title: 'name', value: ({ name }) => name, least: 6 },
  { title: 'count', value: ({ count }) => String(count), align: 'right', expendable: 1 },
]

describe('drawTable', () => {
  it('lines up columns under their titles', () => {
    const rows = [
      { id: 'a', name: 'short', count: 7 },
      { id: 'bcd', name: 'longer', count: 1_234 },
    ]
    expect(drawTable(columns, rows, view)).toEqual(['id   name    count', 'a    short       7', 'bcd  longer   1234'])
  })

  it('cuts what may be cut before it leaves anything out', () => {
    const rows = [{ id: 'an-id-of-16-chars', name: 'a rather long name', count: 1 }]
    expect(drawTable(columns, rows, { ...view, width: 32 })).toEqual([
      'id                 name    count',
      'an-id-of-16-chars  a rat…      1',
    ])
    expect(drawTable(columns, rows, { ...view, width: 31 })).toEqual([
      'id                 name',
      'an-id-of-16-chars  a rather lo…',
    ])
  })

  it('is never wider than it may be, and lets nothing through that moves the cursor', () => {
    const rows = [{ id: '注文'.repeat(20), name: '\x1b[2J\nname', count: 1 }]
    const lines = drawTable(columns, rows, view)
    for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(30)
    expect(lines).toHaveLength(2)
    expect(lines.join('')).not.toMatch(/\p{C}/u)
  })
})
