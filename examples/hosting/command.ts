// Runs the command line of the package, as a user would: npx celeriac …
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = import.meta.resolve('celeriac')
const program = fileURLToPath(new URL(`cli/main${extname(root)}`, root))

/** The exit code of a command that was ended by ctrl-C. */
export const interrupted = 130

/** Runs `celeriac …` in this terminal. Answers with its exit code. */
export async function celeriac(...args: readonly string[]): Promise<number> {
  console.log(`\n$ npx celeriac ${args.join(' ')}\n`)
  const command = spawn(process.execPath, [program, ...args], { stdio: 'inherit' })
  const forward = (): void => void command.kill('SIGINT')
  process.on('SIGINT', forward)
  const [code] = (await once(command, 'exit')) as [number | null]
  process.off('SIGINT', forward)
  return code ?? interrupted
}
