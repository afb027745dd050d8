import { fileURLToPath } from 'node:url'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'
import { ClosingLine } from './scripts/closing-line.ts'

const source = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

/** Projects run one group after the other, so a slow test never competes with a fast one for the same cores. */
function project(name: string, include: string[], groupOrder: number, seconds: number): TestProjectInlineConfiguration {
  return {
    extends: true,
    test: { name, include, sequence: { groupOrder }, testTimeout: seconds * 1000, hookTimeout: seconds * 1000 },
  }
}

// Set for the workers and, through NODE_OPTIONS, for the processes that tests start.
const quiet = '--disable-warning=ExperimentalWarning'
// V8 13.6 (Node 24) now and then ends a process by a trap while it compiles on a second thread, and with it a whole test
// file: nodejs/node#66126. Compiling on the main thread costs 3 % of the time.
const compileInTurn = '--no-concurrent-recompilation'

export default defineConfig({
  resolve: {
    alias: [
      { find: /^celeriac$/, replacement: source('index.ts') },
      { find: /^celeriac\/(worker|callbacks|http|client)$/, replacement: source('$1/$1.ts') },
      { find: /^celeriac\/client\/element$/, replacement: source('client/element/element.ts') },
      { find: /^celeriac\/(sqlite|postgres|redis)$/, replacement: source('engines/$1/$1.ts') },
    ],
  },
  test: {
    pool: 'forks',
    maxWorkers: 2,
    execArgv: [quiet, compileInTurn],
    // In milliseconds. Few lines, so that the end of a log shows what a process said before it ended.
    slowTestThreshold: 5_000,
    env: { NODE_OPTIONS: quiet },
    passWithNoTests: true,
    globalSetup: ['test/servers/setup.ts'],
    reporters: ['default', new ClosingLine()],
    projects: [
      project('unit', ['src/**/*.test.ts', 'scripts/**/*.test.ts', 'test/{servers,fixtures}/**/*.test.ts'], 0, 10),
      project('contract', ['test/contract/**/*.test.ts', 'test/model/**/*.test.ts'], 1, 20),
      project('scenario', ['test/{scenario,http}/**/*.test.ts'], 2, 30),
      project('browser', ['test/browser/**/*.test.ts'], 3, 60),
      project('chaos', ['test/chaos/**/*.test.ts'], 4, 120),
      project('long', ['test/long/**/*.test.ts'], 5, 600),
    ],
  },
})
