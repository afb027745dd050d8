import { writeSync } from 'node:fs'
import type { Reporter, TestCase, TestModule, TestSuite, Vitest } from 'vitest/node'

export interface Totals {
  passed: number
  failed: number
  skipped: number
}

/**
 * A vitest reporter that ends the run with one line, `N passed, N failed, N skipped`, and fails a run in which every
 * test of an engine or a browser (a `describe('engine <name>')`) in a file was skipped: such a run would prove nothing about it.
 * Where the environment says why in `CELERIAC_UNTESTED_<NAME>`, it is told once, with the reason. A run narrowed by `-t`
 * is spared, but told all the same; with `CI=true` it is not spared.
 */
export class ClosingLine implements Reporter {
  #totals: Totals = { passed: 0, failed: 0, skipped: 0 }
  #complaints: string[] = []
  #isFiltered = false

  onInit(vitest: Vitest): void {
    this.#isFiltered = vitest.config.testNamePattern !== undefined
    // On exit, because other reporters and vitest itself still print after the last reporter hook.
    process.once('exit', (code) => {
      if (code !== 0 && this.#totals.failed === 0) this.#totals.failed = 1
      if (this.#totals.failed > 0) process.exitCode = 1
      writeSync(1, [...this.#complaints, closingLine(this.#totals)].map((line) => `${line}\n`).join(''))
    })
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    this.#totals = { passed: 0, failed: unhandledErrors.length, skipped: 0 }
    this.#complaints = []
    for (const module of modules) {
      this.#totals.failed += brokenOutsideTests(module)
      for (const test of module.children.allTests()) this.#totals[verdict(test)] += 1
      for (const name of skippedWhole(module)) this.#complain(name, module)
    }
  }

  #complain(name: string, module: TestModule): void {
    const reason = process.env[`CELERIAC_UNTESTED_${name.replace(isTold, '').toUpperCase()}`]
    if (this.#isFiltered && reason === undefined) return
    const isSpared = this.#isFiltered && process.env['CI'] !== 'true'
    const complaint =
      reason === undefined
        ? `FAILED: every test of "${name}" in ${module.relativeModuleId} was skipped`
        : `${isSpared ? 'NOT TESTED' : 'FAILED, NOT TESTED'}: ${name}, because ${reason}`
    if (this.#complaints.includes(complaint)) return
    this.#complaints.push(complaint)
    if (!isSpared) this.#totals.failed += 1
  }
}

export function closingLine({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

function verdict(test: TestCase): keyof Totals {
  const { state } = test.result()
  return state === 'pending' ? 'failed' : state
}

/** Files that do not load and suites whose hooks throw have no failed test of their own. */
function brokenOutsideTests(module: TestModule): number {
  const suites = [module, ...module.children.allSuites()]
  return suites.filter((suite) => suite.errors().length > 0).length
}

const isTold = /^(engine|browser) /

function skippedWhole(module: TestModule): string[] {
  return [...module.children.allSuites()]
    .filter(({ name }) => isTold.test(name))
    .filter(isSkippedWhole)
    .map((suite) => suite.name)
}

function isSkippedWhole(suite: TestSuite): boolean {
  return [...suite.children.allTests()].every((test) => test.result().state === 'skipped')
}
