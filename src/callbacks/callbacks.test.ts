import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

/** What a module loads, and what that loads, types left out: they are gone by then. */
function loadedBy(file: string, found = new Set<string>()): Set<string> {
  const text = readFileSync(file, 'utf8')
  for (const [, name = ''] of text.matchAll(/^(?:import|export) (?!type )[^'"]*?from '([^']+)'/gm)) {
    const target = name.startsWith('.') ? join(dirname(file), name) : name
    if (found.has(target)) continue
    found.add(target)
    if (name.startsWith('.')) loadedBy(target, found)
  }
  return found
}

test('receivers need nothing of Node: they load rules and values only', () => {
  const loaded = [...loadedBy(join(import.meta.dirname, 'callbacks.ts'))]
  expect(loaded.length).toBeGreaterThan(5)
  expect(loaded.filter((file) => !/\/src\/(core|callbacks)\//.test(file))).toEqual([])
})
