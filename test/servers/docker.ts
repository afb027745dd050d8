import { spawnSync } from 'node:child_process'
import { findProgram } from './programs.ts'
import { type Server, untilAnswering } from './server.ts'

export const hasDocker = (): boolean =>
  findProgram('docker') !== null && spawnSync('docker', ['info'], { stdio: 'ignore', timeout: 10_000 }).status === 0

interface Container {
  readonly url: string
  readonly image: string
  /** The port of this machine that leads to the one of the server in the container. */
  readonly ports: readonly [outside: number, inside: number]
  readonly env?: Readonly<Record<string, string>>
  readonly args: readonly string[]
  isAnswering(): Promise<boolean>
}

/** A server in a container, where the machine has none of its own. The container keeps its data while it is stopped. */
export function containerServer({ url, image, ports, env = {}, args, isAnswering }: Container): Server {
  const name = `celeriac-test-${ports[0]}`
  const variables = Object.entries(env).flatMap(([key, value]) => ['-e', `${key}=${value}`])
  let isMade = false
  const isGone = (): boolean => docker('inspect', '-f', '{{.State.Running}}', name).trim() !== 'true'
  return {
    url,
    async start() {
      if (isMade) docker('start', name)
      else docker('run', '-d', '--name', name, '-p', `127.0.0.1:${ports.join(':')}`, ...variables, image, ...args)
      isMade = true
      await untilAnswering({ folder: '', isAnswering }, isGone)
    },
    stop: async (how) => void docker(...(how === 'properly' ? ['stop'] : ['kill']), name),
    remove: async () => void spawnSync('docker', ['rm', '-fv', name], { stdio: 'ignore' }),
  }
}

function docker(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('docker', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`docker ${args[0]} failed: ${stderr.trim()}`)
  return stdout
}
