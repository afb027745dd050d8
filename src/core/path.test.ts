import { describe, expect, it } from 'vitest'
import { pathText } from './path.ts'

describe('pathText', () => {
  it('writes the way as code does', () => {
    expect(pathText('args', [])).toBe('args')
    expect(pathText('args', [0, 'rows', 3, 'first name', '', 'a"b', '0', 'größe', Symbol('s')])).toBe(
      'args[0].rows[3]["first name"][""]["a\\"b"]["0"].größe[Symbol(s)]',
    )
  })

  it('stays short', () => {
    const steps = Array.from({ length: 1000 }, (_, n) => (n % 2 === 0 ? n : 'x'.repeat(10_000)))
    expect(pathText('args', steps)).toMatch(/^args\[0\]\["x{60}…"\]\[2\].*….*\[998\]\["x{60}…"\]$/)
    expect(pathText('args', steps).length).toBeLessThan(600)
  })
})
