import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What a process has taken: resident memory in bytes, and processor time of all its threads in µs. */
export interface Usage {
  readonly memory: number
  readonly processor: number
}

/** Our API, or the least that may stand beside it. */
export type ServerProgram = 'http-server.mjs' | 'bare-server.mjs'

const programs = fileURLToPath(new URL('../programs/', import.meta.url))

/** A server in a process of its own. */
export class ServerProcess {
  readonly url: string
  readonly #child: ChildProcess

  static async start(program: ServerProgram, storeUrl: string): Promise<ServerProcess> {
    const execArgv = ['--disable-warning=ExperimentalWarning', '--expose-gc']
    const child = fork(programs + program, [storeUrl], { execArgv })
    const [url] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [string | number | null]
    if (typeof url !== 'string') throw new Error(`${program} did not start`)
    return new ServerProcess(child, url)
  }

  private constructor(child: ChildProcess, url: string) {
    this.#child = child
    this.url = url
  }

  async usage(): Promise<Usage> {
    const answered = once(this.#child, 'message')
    this.#child.send('usage')
    const [usage] = (await answered) as [Usage]
    return usage
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill()
    await ended
  }
}

/** Runs `use` with a server that ends behind it. */
export async function withServer<T>(
  program: ServerProgram,
  storeUrl: string,
  use: (server: ServerProcess) => Promise<T>,
): Promise<T> {
  const server = await ServerProcess.start(program, storeUrl)
  try {
    return await use(server)
  } finally {
    await server.stop()
  }
}
