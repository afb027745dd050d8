import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Figures, Run } from './case.ts'
import type { Answer } from './child.ts'

const childFile = fileURLToPath(new URL('child.ts', import.meta.url))

/**
 * A contender in a process of its own, so that neither the compiled code nor the memory of one touches the other. `name`
 * is one of the case's contenders, or `prepare`.
 */
export class ContenderProcess {
  readonly #child: ChildProcess

  static async start(caseFile: string, name: string): Promise<ContenderProcess> {
    const child = fork(childFile, [caseFile, name], { execArgv: ['--disable-warning=ExperimentalWarning'] })
    const [first] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as unknown[]
    if (first !== 'ready') throw new Error(`the process of ${name} did not start`)
    return new ContenderProcess(child)
  }

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  async sample(run: Run): Promise<Figures> {
    const answered = Promise.race([once(this.#child, 'message'), once(this.#child, 'exit')])
    this.#child.send(run)
    const [answer] = (await answered) as [Answer | number | null]
    if (answer === null || typeof answer === 'number') throw new Error(`a contender's process ended with ${answer}`)
    if ('error' in answer) throw new Error(answer.error)
    return answer.figures
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }
}
