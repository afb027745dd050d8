import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { isNodeSupported } from './node-version.ts'

const supported = ['22.22.3', '22.23.0', '24.15.0', '24.21.0', '26.0.0', '26.12.1', '100.0.0']
const refused = ['20.20.2', '22.0.0', '22.18.0', '22.22.2', '23.11.1', '24.0.0', '24.14.1', '25.9.0', '0.12.0', '']
const repository = new URL('../../', import.meta.url)

test('tells the versions that the package runs on', () => {
  expect(supported.filter((version) => !isNodeSupported(version))).toEqual([])
  expect(refused.filter(isNodeSupported)).toEqual([])
})

test('package.json names the same versions', () => {
  const { engines } = JSON.parse(readFileSync(new URL('package.json', repository), 'utf8'))
  expect(engines).toEqual({ node: '^22.22.3 || ^24.15.0 || >=26.0.0' })
})

test('the scripts of the repository refuse the same versions', () => {
  const script = readFileSync(new URL('scripts/require-node.mjs', repository), 'utf8')
  const isRefused = (version: string): boolean => {
    const pretend = `Object.defineProperty(process, 'versions', { value: { node: '${version}' } });`
    return spawnSync(process.execPath, ['--input-type=module', '-e', `${pretend}${script}`]).status === 1
  }
  expect(supported.filter(isRefused)).toEqual([])
  expect(refused.filter((version) => !isRefused(version))).toEqual([])
})
