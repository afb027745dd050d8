// Runs every check in order and stops at the first that fails. The last line printed is always the totals of the tests.
import { spawnSync } from 'node:child_process'

const beforeTests = ['format:check', 'lint', 'law', 'typecheck']
const testProjects = ['unit', 'contract', 'scenario', 'browser', 'chaos']

for (const script of beforeTests) {
  console.log(`> ${script}`)
  if (!succeeds('npm', ['run', '--silent', script])) {
    console.error(`\n${script} FAILED, so no test was run`)
    console.log('0 passed, 1 failed, 0 skipped')
    process.exit(1)
  }
}
console.log('> tests')
process.exit(
  succeeds('vitest', ['run', '--allowOnly=false', ...testProjects.flatMap((project) => ['--project', project])])
    ? 0
    : 1,
)

function succeeds(command: string, args: readonly string[]): boolean {
  const run = spawnSync(command, args, { stdio: 'inherit', shell: process.platform === 'win32' })
  if (run.error) console.error(run.error.message)
  return run.status === 0
}
